package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/journal"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// RelayConfig bounds a Relay.
type RelayConfig struct {
	Topics      Topics
	MaxRecords  int // journal records a batch, 1 and up
	MaxBytes    int // bytes of Kafka records a batch, at which it is closed
	DedupeLimit int // keys remembered
	Raw         bool
	// Damaged is told the span of time in which journal records were lost to a
	// damaged file.
	Damaged func(start, end time.Time)
	Log     *slog.Logger
}

// RelayStats counts what the relay did.
type RelayStats struct {
	Batches        atomic.Int64
	BatchRetries   atomic.Int64 // whole-batch retries after an error a person must mend
	EntriesBroken  atomic.Int64 // journal entries that make no sense: a bug or a foreign file
	RecordsRefused atomic.Int64 // records that Kafka will never take, now dead letters
}

// Relay carries the journal to Kafka: read, normalise, dedupe, encode, produce,
// commit. The read position moves only when Kafka has acknowledged all of a
// batch, and batches go one after the other, so the order in each partition is
// the order of the journal.
type Relay struct {
	journal  *journal.Journal
	producer Producer
	ledger   *Ledger
	cfg      RelayConfig
	build    *builder
	Stats    RelayStats

	lost   uint64    // records of damage not yet ended; of the filling goroutine, like readAt
	readAt time.Time // of the last record read
}

// maxLostSeconds bounds the guess at a span of damage: record numbers jump
// after an unclean stop, and a jump is no loss.
const maxLostSeconds = 7 * 24 * 3600

// NewRelay builds the relay of one process.
func NewRelay(j *journal.Journal, p Producer, c *schema.Catalogue, l *Ledger, cfg RelayConfig) *Relay {
	r := &Relay{journal: j, producer: p, ledger: l, cfg: cfg}
	r.build = newBuilder(c, l, cfg, &r.Stats)
	return r
}

// Run carries records until ctx ends or the journal breaks. While one batch is
// on its way to Kafka the next is built.
func (r *Relay) Run(ctx context.Context) error {
	reader, err := r.journal.Reader(r.journal.Committed() + 1)
	if err != nil {
		return err
	}
	defer reader.Close()
	free := make(chan *batch, 2)
	free <- &batch{}
	free <- &batch{}
	ready := make(chan *batch)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { // ends with ctx or the journal
		defer close(ready)
		return r.fill(ctx, reader, free, ready)
	})
	g.Go(func() error { // ends when ready is closed, or with ctx
		for b := range ready {
			if err := r.ship(ctx, b); err != nil {
				return err
			}
			b.reset()
			free <- b
		}
		return nil
	})
	return g.Wait()
}

// fill builds batches: as much as the journal has ready, up to the limits. The
// wait for the shipper is what makes batches grow under load.
func (r *Relay) fill(ctx context.Context, reader *journal.Reader, free <-chan *batch, ready chan<- *batch) error {
	for {
		var b *batch
		select {
		case b = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		record, err := r.next(ctx, reader)
		if err != nil {
			return err
		}
		for {
			r.build.add(b, &record)
			if b.entries >= r.cfg.MaxRecords || b.bytes >= r.cfg.MaxBytes {
				break
			}
			more, found, err := reader.TryNext()
			if err != nil && !r.damage(err) {
				return err
			}
			if !found {
				break
			}
			record = more
			r.repaired(record.At)
		}
		select {
		case ready <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next waits for the next readable record.
func (r *Relay) next(ctx context.Context, reader *journal.Reader) (journal.Record, error) {
	for {
		record, err := reader.Next(ctx)
		if err == nil {
			r.repaired(record.At)
			return record, nil
		}
		if !r.damage(err) {
			return record, err
		}
	}
}

// damage notes records that a damaged file took away; false when err is another
// matter.
func (r *Relay) damage(err error) bool {
	damage, ok := errors.AsType[*journal.CorruptError](err)
	if !ok {
		return false
	}
	r.lost += damage.Next - damage.Number
	r.cfg.Log.Error("journal is damaged, a gap is recorded", "err", err)
	return true
}

// repaired ends a span of damage with the first readable record after it. The
// span starts at the last record read before; where this life has read none, it
// is bounded by the heartbeats: no record stands for more than a second.
func (r *Relay) repaired(at time.Time) {
	if r.lost > 0 {
		start := r.readAt
		if start.IsZero() {
			start = at.Add(-time.Duration(min(r.lost, maxLostSeconds)+1) * time.Second)
		}
		if r.cfg.Damaged != nil {
			r.cfg.Damaged(start, at)
		}
		r.lost = 0
	}
	r.readAt = at
}

// ship makes the batch durable in Kafka and then lets the journal forget it. It
// gives up only when ctx ends: while Kafka refuses, the journal keeps what comes.
func (r *Relay) ship(ctx context.Context, b *batch) error {
	wait := backoff.Policy{Base: time.Second, Cap: 30 * time.Second}
	records := b.records
	for attempt := 0; len(records) > 0; attempt++ {
		err := r.producer.Produce(ctx, records)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if refused, ok := errors.AsType[*WriteError](err); ok && refused.Class == Permanent {
			r.Stats.RecordsRefused.Add(int64(len(refused.Rejected)))
			records = r.lettersFor(records, refused.Rejected)
			continue
		}
		r.Stats.BatchRetries.Add(1)
		r.cfg.Log.Error("kafka refuses the batch, the journal keeps what comes", "attempt", attempt+1, "err", err)
		if err := backoff.Wait(ctx, wait.Delay(attempt)); err != nil {
			return err
		}
	}
	r.Stats.Batches.Add(1)
	b.settle()
	return r.journal.Commit(b.last)
}

// lettersFor turns records that Kafka will never take into dead letters. A dead
// letter that is refused itself is cut short: its length and hash remain.
func (r *Relay) lettersFor(records []Record, rejected []Rejection) []Record {
	letters := make([]Record, 0, len(rejected))
	for _, rejection := range rejected {
		record := records[rejection.Index]
		if record.Topic == r.cfg.Topics.DeadLetters {
			if short, ok := shorten(record); ok {
				letters = append(letters, short)
			} else {
				r.cfg.Log.Error("dead letter is refused even when cut short", "reason", rejection.Reason, "err", rejection.Text)
			}
			continue
		}
		letter := Letter{
			Key: string(record.Key), Stage: "kafka", Reason: rejection.Reason, Text: rejection.Text,
			Origin: record.Topic, FirstSeen: record.Time, Original: record.Value,
		}
		letters = append(letters, letter.Record(r.cfg.Topics.DeadLetters))
	}
	return letters
}

// WaitFor waits until Kafka has acknowledged every record up to number.
func (r *Relay) WaitFor(ctx context.Context, number uint64) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for r.journal.Committed() < number {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
