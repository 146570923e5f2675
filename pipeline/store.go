package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// StoreStats counts what the sink side took from Kafka.
type StoreStats struct {
	Records        atomic.Int64
	RecordsInvalid atomic.Int64 // not a reading or gap: dead letters
	Readings       atomic.Int64 // acknowledged by the store
	Gaps           atomic.Int64
}

// Store takes batches of Kafka records to the sinks: decode, write, count. A
// record that is no reading or gap becomes a dead letter. Safe for concurrent
// use, one call at a time per partition.
type Store struct {
	topics    Topics
	readings  Sink[schema.Reading]
	gaps      Sink[schema.Gap]
	letters   *DeadLetters
	ledger    *Ledger
	freshness *Freshness
	workers   sync.Pool // of *storeWorker: one per partition at work, its memory kept between batches
	Stats     StoreStats
}

type storeWorker struct {
	decoder  *schema.Decoder
	readings []schema.Reading
	gaps     []schema.Gap
	letters  []Letter
}

// NewStore builds the sink side from its sinks. freshness may be nil.
func NewStore(topics Topics, readings Sink[schema.Reading], gaps Sink[schema.Gap], letters *DeadLetters, ledger *Ledger, freshness *Freshness) *Store {
	return &Store{
		topics: topics, readings: readings, gaps: gaps, letters: letters, ledger: ledger, freshness: freshness,
		workers: sync.Pool{New: func() any { return &storeWorker{decoder: schema.NewDecoder()} }},
	}
}

// Handle returns nil when each record of the batch is durable in the store or as
// a dead letter; the offset may then be committed.
func (s *Store) Handle(ctx context.Context, topic string, _ int, batch []Record) error {
	w := s.workers.Get().(*storeWorker)
	defer s.workers.Put(w)
	w.readings, w.gaps, w.letters = w.readings[:0], w.gaps[:0], w.letters[:0]
	s.Stats.Records.Add(int64(len(batch)))
	switch topic {
	case s.topics.Readings:
		s.decodeReadings(w, batch)
	case s.topics.Gaps:
		s.decodeGaps(w, batch)
	default:
		return fmt.Errorf("BUG: no store for topic %s", topic)
	}
	if err := s.letters.Put(ctx, w.letters); err != nil {
		return err
	}
	return s.write(ctx, w)
}

func (s *Store) write(ctx context.Context, w *storeWorker) error {
	if len(w.readings) > 0 {
		if err := s.readings.Write(ctx, w.readings); err != nil {
			return err
		}
		s.Stats.Readings.Add(int64(len(w.readings)))
		s.count(w.readings)
	}
	if len(w.gaps) > 0 {
		if err := s.gaps.Write(ctx, w.gaps); err != nil {
			return err
		}
		s.Stats.Gaps.Add(int64(len(w.gaps)))
	}
	return nil
}

func (s *Store) count(readings []schema.Reading) {
	if s.freshness != nil {
		s.freshness.Observe(readings)
	}
	for start := 0; start < len(readings); {
		end := start + 1
		for end < len(readings) && readings[end].GCID == readings[start].GCID {
			end++
		}
		s.ledger.Account(readings[start].GCID).ReadingsStored.Add(int64(end - start))
		start = end
	}
}

func (s *Store) decodeReadings(w *storeWorker, batch []Record) {
	for i := range batch {
		w.readings = append(w.readings, schema.Reading{})
		if err := w.decoder.Reading(&w.readings[len(w.readings)-1], batch[i].Value); err != nil {
			w.readings = w.readings[:len(w.readings)-1]
			s.invalid(w, &batch[i], err)
		}
	}
}

func (s *Store) decodeGaps(w *storeWorker, batch []Record) {
	for i := range batch {
		var gap schema.Gap
		if err := w.decoder.Gap(&gap, batch[i].Value); err != nil {
			s.invalid(w, &batch[i], err)
			continue
		}
		w.gaps = append(w.gaps, gap)
	}
}

func (s *Store) invalid(w *storeWorker, r *Record, err error) {
	s.Stats.RecordsInvalid.Add(1)
	w.letters = append(w.letters, Letter{
		Key: string(r.Key), Stage: "sink", Reason: "invalid_record", Text: err.Error(),
		Origin:    r.Topic + "/" + strconv.Itoa(r.Partition) + "/" + strconv.FormatInt(r.Offset, 10),
		FirstSeen: r.Time, Original: r.Value,
	})
}

// ReadingLetter describes a reading that a store refused.
func ReadingLetter(r *schema.Reading) Letter {
	return Letter{Key: string(r.VIN), Origin: "readings", GCID: string(r.GCID), FirstSeen: r.Received, Original: schema.AppendReading(nil, r)}
}

// GapLetter describes a gap that a store refused.
func GapLetter(g *schema.Gap) Letter {
	return Letter{Key: string(g.GCID), Origin: "gaps", GCID: string(g.GCID), FirstSeen: g.End, Original: schema.AppendGap(nil, g)}
}
