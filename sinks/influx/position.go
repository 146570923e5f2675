package influx

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// TablePositions is the table of day marks for positions. A longitude from after
// midnight can change a position of the day before, whose mark is then written.
const TablePositions = "positions"

var _ pipeline.Sink[schema.Reading] = (*PositionSink)(nil)

// PositionStats counts what a PositionSink did. Every counter only grows and may
// be read at any time.
type PositionStats struct {
	Written  atomic.Int64 // points acknowledged; a change counts again
	Outliers atomic.Int64 // of these, marked as outliers
	Lookups  atomic.Int64 // queries for the readings around
	TooOld   atomic.Int64 // positions older than the server keeps, left out
}

// PositionSink derives positions from readings that are durable already, and
// stores them as measurement position. Readings that have no part in a position
// cost it next to nothing.
//
// A position may need readings of other batches. The sink remembers the last
// hour of each car it has met, within bounds, and reads from InfluxDB what it
// does not remember: once for a car it meets for the first time, after an error
// or a rebalance, and once for a batch that reaches further back than its memory.
//
// It is safe for concurrent use; order between concurrent calls for one car is the
// caller's matter.
type PositionSink struct {
	c      *Client
	memory positionMemory
	work   sync.Pool // of *positionWork: the scratch of one call
	Stats  PositionStats
}

// NewPositionSink gives the sink of c for positions.
func NewPositionSink(c *Client) *PositionSink {
	s := &PositionSink{c: c}
	s.memory.init(maxPositionCars, maxPositionSamples)
	s.work.New = func() any { return &positionWork{} }
	return s
}

// Generation says which assignment of partitions the next calls belong to. With
// each new one the sink forgets all cars: others may have written for them.
func (s *PositionSink) Generation(n int64) { s.memory.setGeneration(n) }

// Write stores each position that the readings add or change, then a day mark for
// each (vin, UTC day), and returns nil once both are durable. The readings must
// be durable before. Errors are *pipeline.WriteError; on Permanent a
// rejected reading is one whose position the server refuses. A position that is
// older than the server keeps is left out.
func (s *PositionSink) Write(ctx context.Context, readings []schema.Reading) error {
	w := s.work.Get().(*positionWork)
	defer s.work.Put(w)
	w.gather(readings)
	if len(w.fresh) == 0 {
		return nil
	}
	defer w.clear()
	err := s.derive(ctx, w)
	if err == nil {
		err = s.store(ctx, w)
	}
	for _, car := range w.cars {
		s.memory.give(car, err == nil) // after an error it is not known what is stored
	}
	return err
}

// derive fills w.due with the positions to write.
func (s *PositionSink) derive(ctx context.Context, w *positionWork) error {
	for from := 0; from < len(w.fresh); {
		to, vin := from+1, w.fresh[from].vin
		for to < len(w.fresh) && w.fresh[to].vin == vin {
			to++
		}
		car := s.memory.take(vin)
		w.cars = append(w.cars, car)
		if err := s.update(ctx, w, car, w.fresh[from:to]); err != nil {
			return asWriteError("influx look up positions", err)
		}
		from = to
	}
	return nil
}

// update brings the samples into a car's window, piece by piece where the window cannot
// hold them all at once.
func (s *PositionSink) update(ctx context.Context, w *positionWork, car *positionCar, fresh []freshSample) error {
	for rest := fresh; len(rest) > 0; {
		first := rest[0].time - positionReach
		if first < car.from || first > car.until {
			car.reset(first)
		}
		for rest[0].time+positionReach >= car.until {
			if err := s.lookUp(ctx, car); err != nil {
				return err
			}
		}
		n := 1
		for n < len(rest) && rest[n].time+positionReach < car.until {
			n++
		}
		w.due = car.bring(rest[:n], w)
		rest = rest[n:]
	}
	car.trim(fresh)
	return nil
}

// store writes what is due.
func (s *PositionSink) store(ctx context.Context, w *positionWork) error {
	if len(w.due) == 0 {
		return nil
	}
	b := s.c.newBatch("influx write positions", len(w.due))
	defer b.free()
	var outliers int64
	for i := range w.due {
		d := &w.due[i]
		err := b.l.position(d.owner, d.vin, &d.Position)
		if err == nil {
			b.l.addDay(d.vin, time.Unix(0, d.Time))
		}
		if d.Outlier {
			outliers++
		}
		if err := b.added(ctx, d.owner, err); err != nil {
			return err
		}
	}
	if err := b.flush(ctx); err != nil {
		return err
	}
	// The reading of such a position was taken, or has become a dead letter by itself.
	n := len(b.rejected)
	b.rejected = slices.DeleteFunc(b.rejected, func(r pipeline.Rejection) bool { return r.Reason == ReasonRetention })
	s.Stats.TooOld.Add(int64(n - len(b.rejected)))
	if err := b.finish(ctx, TablePositions); err != nil {
		return err
	}
	s.Stats.Written.Add(int64(len(w.due)))
	s.Stats.Outliers.Add(outliers)
	return nil
}

// position appends the line of p.
func (l *lines) position(owner int, vin schema.VIN, p *derive.Position) error {
	e := l.start("position")
	e.AddTag("vin", string(vin))
	addFloat(e, "latitude", &p.Latitude)
	addFloat(e, "longitude", &p.Longitude)
	addFloat(e, "altitude", &p.Altitude) // left out when there is none
	addFloat(e, "heading", &p.Heading)
	e.AddField("apart_ms", lineprotocol.IntValue(p.ApartNS/int64(time.Millisecond)))
	e.AddField("outlier", lineprotocol.BoolValue(p.Outlier))
	return l.end(owner, time.Unix(0, p.Time))
}
