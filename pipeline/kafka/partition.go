package kafka

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
)

// buffersPerPartition: one fetch is with the handler, one is read ahead.
const buffersPerPartition = 2

// fetched is one fetch answer with its records, which alias it.
type fetched struct {
	call  *call
	batch batchDecoder
}

// partition reads ahead and handles, each in its own goroutine, until intake ends.
func (g *generation) partition(intake, work context.Context, a *assignment) {
	free := make(chan *fetched, buffersPerPartition)
	ready := make(chan *fetched, buffersPerPartition)
	for range buffersPerPartition {
		free <- &fetched{call: new(call)}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(ready)
		g.fetchLoop(intake, a, free, ready)
	})
	for f := range ready {
		if intake.Err() == nil && !g.deliver(intake, work, a, f) {
			break
		}
		free <- f
	}
	wg.Wait()
}

// deliver hands the records of a fetch over in batches. It says whether to go on.
func (g *generation) deliver(intake, work context.Context, a *assignment, f *fetched) bool {
	c := g.run.c
	records := f.batch.records
	for len(records) > 0 {
		n := min(len(records), c.cfg.MaxBatch)
		select {
		case c.slots <- struct{}{}:
		case <-intake.Done():
			return false
		}
		if intake.Err() != nil {
			<-c.slots
			return false
		}
		err := g.run.handle(work, a.at.topic, int(a.at.partition), records[:n])
		<-c.slots
		if err != nil && work.Err() != nil {
			c.Stats.Abandoned.Add(1)
			c.client.cfg.Log.Warn("handler cut off by the drain timeout, its records will be read again",
				slog.String("topic", a.at.topic), slog.Int("partition", int(a.at.partition)), slog.Int("records", n))
			return false
		}
		if err != nil {
			g.run.fail(err)
			return false
		}
		c.Stats.Records.Add(int64(n))
		a.next.Store(records[n-1].Offset + 1)
		records = records[n:]
	}
	a.next.Store(f.batch.next)
	return true
}

// fetchLoop reads the partition from where the group left it. It ends with ctx.
func (g *generation) fetchLoop(ctx context.Context, a *assignment, free <-chan *fetched, ready chan<- *fetched) {
	c := g.run.c
	next, known := a.start, false
	var f *fetched
	for attempt := 0; ctx.Err() == nil; {
		if f == nil {
			select {
			case f = <-free:
			case <-ctx.Done():
				return
			}
		}
		f.reset(next)
		var err error
		if known {
			err = c.fetch(ctx, a, next, f)
		} else if err = c.position(ctx, a, f); err == nil {
			known = true
		}
		if next != f.batch.next { // with an error too: what came before it counts
			next = f.batch.next
			ready <- f // has room for all buffers there are
			f = nil
		}
		if err == nil {
			attempt = 0
			c.trouble.ok(a.at)
			continue
		}
		if !g.bear(ctx, a, err, attempt) {
			return
		}
		known = known && !errors.Is(err, kafka.OffsetOutOfRange)
		attempt++
	}
}

// bear waits after a failure. It says whether to go on.
func (g *generation) bear(ctx context.Context, a *assignment, err error, attempt int) bool {
	c := g.run.c
	if ctx.Err() != nil {
		return false
	}
	if judge(err) == fatal {
		g.run.fail(c.client.fatal("kafka fetch "+a.at.topic, c.client.refusal(opRead, a.at.topic, err)))
		return false
	}
	c.client.meta.distrust(a.at.topic)
	c.trouble.fail(a.at, err)
	return backoff.Wait(ctx, c.client.cfg.Backoff.Delay(attempt)) == nil
}

// reset empties f; what it holds then reaches up to offset next.
func (f *fetched) reset(next int64) {
	f.batch.records = f.batch.records[:0]
	f.batch.next = next
}

// position compares f's offset with the ends of the log and corrects it: kafka-go
// and the broker would go on elsewhere in silence.
func (c *Consumer) position(ctx context.Context, a *assignment, f *fetched) error {
	first, err := c.client.listOffset(ctx, a.at, startOffset)
	if err != nil {
		return err
	}
	end, err := c.client.listOffset(ctx, a.at, endOffset)
	if err != nil {
		return err
	}
	a.end.Store(end)
	wanted := f.batch.next
	switch {
	case wanted < 0:
		f.batch.next = first
	case wanted < first:
		c.Stats.LostRecords.Add(first - wanted)
		c.outside("records were deleted before they were read", a, wanted, first, end)
		f.batch.next = first
	case wanted > end:
		c.outside("the log ends before the committed offset, reading it anew", a, wanted, first, end)
		f.batch.next = first
	}
	if f.batch.next == wanted {
		a.next.CompareAndSwap(-1, wanted)
		a.committed.CompareAndSwap(-1, wanted)
	}
	return nil
}

func (c *Consumer) outside(what string, a *assignment, wanted, first, end int64) {
	c.Stats.OffsetResets.Add(1)
	c.client.cfg.Log.Error("offset is outside the log", slog.String("what", what),
		slog.String("topic", a.at.topic), slog.Int("partition", int(a.at.partition)),
		slog.Int64("offset", wanted), slog.Int64("first", first), slog.Int64("end", end))
}

// fetch reads from offset next on into f.
func (c *Consumer) fetch(ctx context.Context, a *assignment, next int64, f *fetched) error {
	leader, err := c.client.meta.leader(ctx, a.at)
	if err != nil {
		return err
	}
	c.request(f, leader, a.at, next)
	if err := c.client.do(ctx, f.call, c.cfg.MaxWait); err != nil {
		f.call = new(call) // a connection may still use the old one
		return err
	}
	c.Stats.Fetches.Add(1)
	set, end, err := fetchAnswer(f.call.reply)
	if err != nil {
		return err
	}
	a.end.Store(end)
	c.Stats.Bytes.Add(int64(len(set)))
	return f.batch.decode(set, a.at.topic, int(a.at.partition), next)
}

func (c *Consumer) request(f *fetched, leader int32, at place, next int64) {
	f.call.begin(protocol.Fetch, fetchVersion, leader, c.client.cfg.ClientID)
	b := appendInt32(f.call.request, -1) // no replica
	b = appendInt32(b, int32(c.cfg.MaxWait.Milliseconds()))
	b = appendInt32(b, int32(c.cfg.MinBytes))
	b = appendInt32(b, int32(c.cfg.MaxBytes))
	b = append(b, 0)       // read uncommitted
	b = appendInt32(b, 0)  // no session
	b = appendInt32(b, -1) // its epoch
	b = appendInt32(b, 1)  // topics
	b = appendString(b, at.topic)
	b = appendInt32(b, 1) // partitions
	b = appendInt32(b, at.partition)
	b = appendInt32(b, -1) // leader epoch not known
	b = appendInt64(b, next)
	b = appendInt64(b, -1) // no replica's log start
	b = appendInt32(b, int32(c.cfg.MaxBytes))
	f.call.request = appendInt32(b, 0) // forgotten topics
}

// fetchAnswer gives the record set of the one partition asked for, and the
// log's end.
func fetchAnswer(reply []byte) (set []byte, end int64, err error) {
	r := reader{b: reply}
	r.int32() // throttle
	whole := r.int16()
	r.int32() // session
	if r.array(6) != 1 && r.err == nil && whole == 0 {
		return nil, 0, errTruncated
	}
	r.text()
	if r.array(34) != 1 && r.err == nil && whole == 0 {
		return nil, 0, errTruncated
	}
	r.int32() // partition
	code := r.int16()
	end = r.int64()
	r.take(16)               // last stable offset, log start
	r.take(16 * r.array(16)) // aborted transactions
	set = r.take(max(0, int(r.int32())))
	switch {
	case whole != 0:
		return nil, 0, codeError(whole)
	case r.err != nil:
		return nil, 0, r.err
	}
	return set, end, codeError(code)
}
