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

// readings takes a day's readings through the writer while the next ones are
// read. A query keeps one core of InfluxDB busy, so that several lanes read, each
// every so many bundles of vehicles; the writer takes the bundles in order.
func (e *Export) readings(ctx context.Context, day *parquet.Day, w *work) error {
	margins, err := e.margins(ctx, w)
	if err != nil {
		return err
	}
	bundles := e.bundles(w.vehicles)
	lanes := make([]*lane, min(e.cfg.ExportParallel, max(1, len(bundles))))
	flow, ctx := errgroup.WithContext(ctx)
	for i := range lanes {
		lanes[i] = newLane()
		flow.Go(func() error { // ends with its last bundle, or with ctx
			for k := i; k < len(bundles); k += len(lanes) {
				if err := lanes[i].scan(ctx, e.db, bundles[k], w); err != nil {
					return err
				}
			}
			return nil
		})
	}
	flow.Go(func() error { // ends with the last bundle, or with ctx
		rows := &vehicleRows{day: day, work: w, margins: margins, positions: slices.Contains(w.tables, parquet.TablePositions)}
		for k := range bundles {
			if err := lanes[k%len(lanes)].drain(ctx, rows.add); err != nil {
				return err
			}
		}
		return rows.finish()
	})
	return flow.Wait()
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
