package export

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

var errUnasked = errors.New("BUG: readings of a vehicle that was not asked for, or out of order")

// ahead is how many blocks may be read while one is written.
const ahead = 8

// readings takes a day's readings through the writer while the next ones are
// read: both cost about the same.
func (e *Export) readings(ctx context.Context, day *parquet.Day, w *work) error {
	margins, err := e.margins(ctx, w)
	if err != nil {
		return err
	}
	full := make(chan *schema.ReadingBlock, ahead)
	free := make(chan *schema.ReadingBlock, ahead+2)
	for range cap(free) {
		free <- &schema.ReadingBlock{}
	}
	flow, ctx := errgroup.WithContext(ctx)
	flow.Go(func() error { // ends with the last vehicle, or with ctx
		defer close(full)
		return e.scan(ctx, w, full, free)
	})
	flow.Go(func() error { // ends when full is closed, or with ctx
		return e.write(ctx, day, w, margins, full, free)
	})
	return flow.Wait()
}

// scan reads all vehicles of the day, in order, and hands on copies: what the
// reader gives is its own.
func (e *Export) scan(ctx context.Context, w *work, full chan<- *schema.ReadingBlock, free <-chan *schema.ReadingBlock) error {
	from, to := w.span()
	for _, vins := range e.bundles(w.vehicles) {
		err := e.db.ScanReadings(ctx, influx.ReadingsQuery{VINs: vins, From: from, To: to}, func(b *schema.ReadingBlock) error {
			var own *schema.ReadingBlock
			select {
			case own = <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			own.Reset(b.VIN, b.Descriptor)
			own.Times = append(own.Times, b.Times...)
			own.Values = append(own.Values, b.Values...)
			select {
			case full <- own:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// write gives the blocks to the day's tables, vehicle by vehicle, and derives
// each vehicle's positions when its readings are over.
func (e *Export) write(
	ctx context.Context, day *parquet.Day, w *work, margins map[schema.VIN]*derive.Track, full <-chan *schema.ReadingBlock, free chan<- *schema.ReadingBlock,
) error {
	v := &vehicleRows{day: day, work: w, margins: margins, positions: slices.Contains(w.tables, parquet.TablePositions)}
	for {
		select {
		case b, open := <-full:
			if !open {
				if ctx.Err() != nil {
					return ctx.Err() // the reader has failed: what came is not all
				}
				return v.finish()
			}
			if err := v.add(b); err != nil {
				return err
			}
			free <- b // has room for every block
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// vehicleRows writes the rows of one vehicle after the other.
type vehicleRows struct {
	day       *parquet.Day
	work      *work
	positions bool
	margins   map[schema.VIN]*derive.Track

	next  int // in work.vehicles
	vin   schema.VIN
	begun bool
	track *derive.Track
	found []derive.Position
}

// add takes a block; a new vehicle ends the one before. Vehicles without a
// reading are begun too: with the level vin their old files go.
func (v *vehicleRows) add(b *schema.ReadingBlock) error {
	if !v.begun || b.VIN != v.vin {
		if err := v.upTo(b.VIN); err != nil {
			return err
		}
		if v.vin != b.VIN {
			return errUnasked
		}
	}
	if v.positions {
		v.track.AddBlock(b)
	}
	return v.day.Readings(b)
}

// upTo ends the present vehicle and begins those up to vin.
func (v *vehicleRows) upTo(vin schema.VIN) error {
	for {
		if err := v.end(); err != nil {
			return err
		}
		if v.next == len(v.work.vehicles) {
			return nil
		}
		v.vin, v.begun = v.work.vehicles[v.next], true
		v.next++
		v.track = v.margins[v.vin]
		if v.track == nil {
			v.track = &derive.Track{}
		}
		if err := v.day.Vehicle(v.vin); err != nil {
			return err
		}
		if v.vin == vin {
			return nil
		}
	}
}

func (v *vehicleRows) end() error {
	if !v.begun || !v.positions {
		return nil
	}
	from, to := v.work.span()
	v.found = v.track.AppendPositions(v.found[:0])
	v.found = slices.DeleteFunc(v.found, func(p derive.Position) bool { return p.Time < from.UnixNano() || p.Time >= to.UnixNano() })
	return v.day.Positions(v.found)
}

// finish ends the last vehicle and begins those without readings.
func (v *vehicleRows) finish() error { return v.upTo("") }

// margins reads what was measured around midnight on both sides: a position at
// the day's edge may be made of two days.
func (e *Export) margins(ctx context.Context, w *work) (map[schema.VIN]*derive.Track, error) {
	tracks := make(map[schema.VIN]*derive.Track)
	if !slices.Contains(w.tables, parquet.TablePositions) {
		return tracks, nil
	}
	from, to := w.span()
	for _, side := range [][2]time.Time{{from.Add(-derive.PositionMargin), from}, {to, to.Add(derive.PositionMargin)}} {
		for vins := range slices.Chunk(w.vehicles, 64) {
			q := influx.ReadingsQuery{VINs: vins, Descriptors: positionKeys(), From: side[0], To: side[1]}
			err := e.db.ScanReadings(ctx, q, func(b *schema.ReadingBlock) error {
				if tracks[b.VIN] == nil {
					tracks[b.VIN] = &derive.Track{}
				}
				tracks[b.VIN].AddBlock(b)
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return tracks, nil
}

func positionKeys() []schema.Descriptor {
	keys := make([]schema.Descriptor, 0, len(derive.Parts()))
	for _, p := range derive.Parts() {
		keys = append(keys, p.Descriptor())
	}
	return keys
}
