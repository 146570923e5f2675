package export

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

const (
	aheadReadings = 400_000 // of a lane, read and not yet written: about 25 MB
	aheadBlocks   = 2048    // likewise: blocks of short series are many and small
)

// lane is one reader and what it has read ahead of the writer. One goroutine
// scans, one drains.
type lane struct {
	blocks chan *schema.ReadingBlock // nil ends a bundle
	room   *semaphore.Weighted       // for readings
	spare  sync.Pool
}

func newLane() *lane {
	return &lane{
		blocks: make(chan *schema.ReadingBlock, aheadBlocks), room: semaphore.NewWeighted(aheadReadings),
		spare: sync.Pool{New: func() any { return &schema.ReadingBlock{} }},
	}
}

// scan reads the day of some vehicles and hands on copies: what the client gives
// is its own.
func (l *lane) scan(ctx context.Context, db *influx.Client, vins []schema.VIN, w *work) error {
	from, to := w.span()
	err := db.ScanReadings(ctx, influx.ReadingsQuery{VINs: vins, From: from, To: to}, func(b *schema.ReadingBlock) error {
		if err := l.room.Acquire(ctx, int64(b.Len())); err != nil { // a block is never larger than the room
			return err
		}
		own := l.spare.Get().(*schema.ReadingBlock)
		own.Reset(b.VIN, b.Descriptor)
		own.Times = append(own.Times, b.Times...)
		own.Values = append(own.Values, b.Values...)
		return l.send(ctx, own)
	})
	if err != nil {
		return err
	}
	return l.send(ctx, nil)
}

func (l *lane) send(ctx context.Context, b *schema.ReadingBlock) error {
	select {
	case l.blocks <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drain gives the blocks of one bundle to write, which keeps none.
func (l *lane) drain(ctx context.Context, write func(*schema.ReadingBlock) error) error {
	for {
		select {
		case b := <-l.blocks:
			if b == nil {
				return nil
			}
			if err := write(b); err != nil {
				return err
			}
			l.room.Release(int64(b.Len()))
			l.spare.Put(b)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
