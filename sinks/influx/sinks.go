package influx

import (
	"context"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// The tables that day marks name.
const (
	TableReadings = "readings"
	TableGaps     = "gaps"
	TableSessions = "charging_sessions" // and their blocks
	TableVehicles = "vehicles"
)

var (
	_ pipeline.Sink[schema.Reading] = (*ReadingSink)(nil)
	_ pipeline.Sink[schema.Gap]     = (*GapSink)(nil)
)

// ReadingSink stores readings as measurement reading. It is safe for
// concurrent use; order between concurrent calls is the caller's matter.
type ReadingSink struct{ c *Client }

// NewReadingSink gives the sink of c for readings.
func NewReadingSink(c *Client) *ReadingSink { return &ReadingSink{c} }

// Write stores the points, then a day mark for each (vin, UTC day) they are
// in, and returns nil once both are durable. Errors are *pipeline.WriteError;
// on Permanent everything but the rejected readings is durable, marks included.
// Of several readings of one key the last in batch wins.
func (s *ReadingSink) Write(ctx context.Context, readings []schema.Reading) error {
	if len(readings) == 0 {
		return nil
	}
	b := s.c.newBatch("influx write readings", len(readings))
	defer b.free()
	for i := range readings {
		r := &readings[i]
		err := b.l.reading(i, r)
		if err == nil {
			b.l.addDay(r.VIN, r.Time)
		}
		if err := b.added(ctx, i, err); err != nil {
			return err
		}
	}
	return b.finish(ctx, TableReadings)
}

// GapSink stores gaps as measurement gap. It is safe for concurrent use.
type GapSink struct{ c *Client }

// NewGapSink gives the sink of c for gaps.
func NewGapSink(c *Client) *GapSink { return &GapSink{c} }

// Write stores one point for each gap and car, then a day mark for each (vin,
// UTC day of the start), as ReadingSink.Write does. A gap is rejected when one
// of its points is.
func (s *GapSink) Write(ctx context.Context, gaps []schema.Gap) error {
	if len(gaps) == 0 {
		return nil
	}
	b := s.c.newBatch("influx write gaps", len(gaps))
	defer b.free()
	for i := range gaps {
		if err := b.addGap(ctx, i, &gaps[i]); err != nil {
			return err
		}
	}
	return b.finish(ctx, TableGaps)
}

func (b *batch) addGap(ctx context.Context, i int, g *schema.Gap) error {
	if len(g.VINs) == 0 {
		err := b.l.gap(i, g, "")
		if err == nil {
			b.l.addDay("", g.Start)
		}
		return b.added(ctx, i, err)
	}
	for _, vin := range g.VINs {
		err := b.l.gap(i, g, vin)
		if err == nil {
			b.l.addDay(vin, g.Start)
		}
		if err := b.added(ctx, i, err); err != nil {
			return err
		}
	}
	return nil
}

// finish sends what is left, and then the day marks: a reader that has seen the
// new mark must find the points.
func (b *batch) finish(ctx context.Context, table string) error {
	if err := b.flush(ctx); err != nil {
		return err
	}
	b.marks = true
	touched := b.c.nextTouch(len(b.l.days))
	for i, k := range b.l.days {
		d := Day{VIN: k.vin, Table: table, Day: dayStart(k.day), Touched: touched}
		if err := b.added(ctx, i, b.l.day(i, &d)); err != nil {
			return err
		}
	}
	if err := b.flush(ctx); err != nil {
		return err
	}
	return b.result()
}

// nextTouch gives now in whole milliseconds, but never the same moment twice:
// a second write within one millisecond must change the mark too.
func (c *Client) nextTouch(days int) time.Time {
	if days == 0 {
		return time.Time{}
	}
	for {
		last := c.touched.Load()
		now := max(time.Now().UnixMilli(), last+1)
		if c.touched.CompareAndSwap(last, now) {
			return time.UnixMilli(now)
		}
	}
}

// Freshness says how old one car's readings were when they became durable, over
// one minute.
type Freshness struct {
	VIN      schema.VIN
	Minute   time.Time // cut to its minute
	LagMS    int64     // milliseconds from measured to stored
	Readings int64     // readings stored in that minute
}

// WriteFreshness stores one point of measurement freshness for each element; a
// later one of the same car and minute replaces it. Errors are
// *pipeline.WriteError, never Permanent.
func (c *Client) WriteFreshness(ctx context.Context, points []Freshness) error {
	b := c.newBatch("influx write freshness", len(points))
	defer b.free()
	b.marks = true
	for i := range points {
		if err := b.added(ctx, i, b.l.freshness(i, &points[i])); err != nil {
			return err
		}
	}
	return b.flush(ctx)
}

// Day is the mark of one UTC day of one table of one car.
type Day struct {
	VIN     schema.VIN // empty for gaps of an account without a known car
	Table   string     // such as TableReadings
	Day     time.Time  // any moment of the day
	Touched time.Time  // last write that hit the day, kept in milliseconds
}

// TouchDays stores day marks; the sinks do so by themselves. Errors are
// *pipeline.WriteError, never Permanent.
func (c *Client) TouchDays(ctx context.Context, days []Day) error {
	b := c.newBatch("influx touch days", len(days))
	defer b.free()
	b.marks = true
	for i := range days {
		if err := b.added(ctx, i, b.l.day(i, &days[i])); err != nil {
			return err
		}
	}
	return b.flush(ctx)
}
