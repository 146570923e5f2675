package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// StoreStats counts what the sink side took from Kafka.
type StoreStats struct {
	Records        atomic.Int64
	RecordsInvalid atomic.Int64 // not what their topic holds: dead letters
	Readings       atomic.Int64 // acknowledged by the store
	Gaps           atomic.Int64
	Sessions       atomic.Int64 // charging sessions acknowledged; a later version counts again
	Vehicles       atomic.Int64 // vehicle records acknowledged
}

// Sinks is where the records of each topic become durable. A nil one leaves its
// topic to others: the store must then not be given that topic.
type Sinks struct {
	Readings Sink[schema.Reading]
	Gaps     Sink[schema.Gap]
	Sessions Sink[schema.ChargingSession]
	Vehicles Sink[schema.Vehicle]
}

// Store takes batches of Kafka records to the sinks: decode, write, count. A
// record that is not what its topic holds becomes a dead letter. Safe for concurrent
// use, one call at a time per partition.
type Store struct {
	topics    Topics
	sinks     Sinks
	letters   *DeadLetters
	ledger    *Ledger
	freshness *Freshness
	workers   sync.Pool // of *storeWorker: one per partition at work, its memory kept between batches
	Stats     StoreStats
}

var errNoSink = errors.New("BUG: the store has no sink for this topic")

type storeWorker struct {
	decoder  *schema.Decoder
	readings []schema.Reading
	gaps     []schema.Gap
	sessions []schema.ChargingSession
	vehicles []schema.Vehicle
	letters  []Letter
}

// NewStore builds the sink side from its sinks. freshness may be nil.
func NewStore(topics Topics, sinks Sinks, letters *DeadLetters, ledger *Ledger, freshness *Freshness) *Store {
	return &Store{
		topics: topics, sinks: sinks, letters: letters, ledger: ledger, freshness: freshness,
		workers: sync.Pool{New: func() any { return &storeWorker{decoder: schema.NewDecoder()} }},
	}
}

// Handle returns nil when each record of the batch is durable in the store or as
// a dead letter; the offset may then be committed.
func (s *Store) Handle(ctx context.Context, topic string, _ int, batch []Record) error {
	w := s.workers.Get().(*storeWorker)
	defer s.workers.Put(w)
	s.Stats.Records.Add(int64(len(batch)))
	switch topic {
	case s.topics.Readings:
		return store(ctx, s, w, batch, s.sinks.Readings, &w.readings, w.decoder.Reading, s.countReadings)
	case s.topics.Gaps:
		return store(ctx, s, w, batch, s.sinks.Gaps, &w.gaps, w.decodeGap, counter[schema.Gap](&s.Stats.Gaps))
	case s.topics.ChargingSessions:
		return store(ctx, s, w, batch, s.sinks.Sessions, &w.sessions, w.decoder.Session, counter[schema.ChargingSession](&s.Stats.Sessions))
	case s.topics.Vehicles:
		return store(ctx, s, w, batch, s.sinks.Vehicles, &w.vehicles, w.decoder.Vehicle, counter[schema.Vehicle](&s.Stats.Vehicles))
	}
	return fmt.Errorf("BUG: no store for topic %s", topic)
}

// store decodes the batch into items, keeps what cannot be decoded as dead
// letters, and writes the items. The memory of items is used again.
func store[T any](ctx context.Context, s *Store, w *storeWorker, batch []Record, sink Sink[T], items *[]T, decode func(*T, []byte) error, stored func([]T)) error {
	if sink == nil {
		return errNoSink
	}
	list := (*items)[:0]
	w.letters = w.letters[:0]
	for i := range batch {
		var zero T
		list = append(list, zero)
		if err := decode(&list[len(list)-1], batch[i].Value); err != nil {
			list = list[:len(list)-1]
			s.Stats.RecordsInvalid.Add(1)
			w.letters = append(w.letters, invalidRecord(&batch[i], err))
		}
	}
	*items = list
	if err := s.letters.Put(ctx, w.letters); err != nil {
		return err
	}
	if len(list) == 0 {
		return nil
	}
	if err := sink.Write(ctx, list); err != nil {
		return err
	}
	stored(list)
	return nil
}

// decodeGap gives each gap a list of cars of its own.
func (w *storeWorker) decodeGap(g *schema.Gap, data []byte) error {
	*g = schema.Gap{}
	return w.decoder.Gap(g, data)
}

func counter[T any](n *atomic.Int64) func([]T) {
	return func(items []T) { n.Add(int64(len(items))) }
}

func (s *Store) countReadings(readings []schema.Reading) {
	s.Stats.Readings.Add(int64(len(readings)))
	if s.freshness != nil {
		s.freshness.Observe(readings)
	}
	for start := 0; start < len(readings); {
		end, streamed := start, int64(0)
		for end < len(readings) && readings[end].GCID == readings[start].GCID {
			if readings[end].Source == schema.SourceStream {
				streamed++
			}
			end++
		}
		s.ledger.Account(readings[start].GCID).ReadingsStored.Add(streamed)
		start = end
	}
}

func invalidRecord(r *Record, err error) Letter {
	return Letter{
		Key: string(r.Key), Stage: "sink", Reason: "invalid_record", Text: err.Error(),
		Origin:    r.Topic + "/" + strconv.Itoa(r.Partition) + "/" + strconv.FormatInt(r.Offset, 10),
		FirstSeen: r.Time, Original: r.Value,
	}
}
