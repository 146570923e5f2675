package influx

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	// A sample changes positions up to positionMargin away, and these depend on
	// samples as far again.
	positionMargin = int64(derive.PositionMargin)
	positionReach  = 2 * positionMargin

	// positionKeep is how much of a car's past is remembered, so that what comes
	// minutes late needs no look-up.
	positionKeep = int64(time.Hour)
	// maxCarSamples bounds one series of a car: an hour of two a second.
	maxCarSamples = 8192
)

// freshSample is one number of the batch that is part of positions.
type freshSample struct {
	vin      schema.VIN
	part     derive.Part
	index    int // in the batch
	time     int64
	received int64 // nanoseconds since 1970 UTC, the largest number when not known
	value    float64
}

// duePosition is a position to write, and the reading of the batch it is due to.
type duePosition struct {
	derive.Position
	vin   schema.VIN
	owner int
}

// positionWork is the memory of one call, used again.
type positionWork struct {
	fresh   []freshSample // by car and time, each key once
	cars    []*positionCar
	due     []duePosition
	derived []derive.Position
	merged  []derive.Position
}

// clear drops the references.
func (w *positionWork) clear() {
	clear(w.fresh)
	clear(w.cars)
	clear(w.due)
	w.fresh, w.cars, w.due = w.fresh[:0], w.cars[:0], w.due[:0]
}

// gather takes the numbers that are part of positions out of a batch. Of several for
// one key the last stays.
func (w *positionWork) gather(readings []schema.Reading) {
	w.fresh = w.fresh[:0]
	for i := range readings {
		r := &readings[i]
		part, ok := derive.PositionDescriptor(r.Descriptor)
		if !ok || r.Value.Kind != schema.KindNumber || !inNanoseconds(r.Time) {
			continue
		}
		f := freshSample{vin: r.VIN, part: part, index: i, time: r.Time.UnixNano(), received: math.MaxInt64, value: r.Value.Number}
		if inNanoseconds(r.Received) {
			f.received = r.Received.UnixNano()
		}
		w.fresh = append(w.fresh, f)
	}
	slices.SortFunc(w.fresh, func(a, b freshSample) int {
		if a.vin != b.vin {
			return cmp.Compare(a.vin, b.vin)
		}
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.part, b.part), cmp.Compare(b.index, a.index))
	})
	w.fresh = slices.CompactFunc(w.fresh, func(a, b freshSample) bool { return a.time == b.time && a.part == b.part && a.vin == b.vin })
}

// inNanoseconds says whether t is between 1970 and 2242, well inside what 64 bits of
// nanoseconds hold.
func inNanoseconds(t time.Time) bool {
	s := t.Unix()
	return s >= 0 && s < 1<<33
}

// positionCar is what is remembered of one car. One goroutine has it at a time.
type positionCar struct {
	vin        schema.VIN
	generation int64
	weight     int // as the memory counted it last

	// The track is complete from one moment to just before the other: it has all
	// that InfluxDB has, and all that comes later passes through here.
	from, until int64
	track       derive.Track
	known       []derive.Position // durable in InfluxDB exactly so, in order of time
}

func newPositionCar(vin schema.VIN) *positionCar {
	return &positionCar{vin: vin, until: -1}
}

// reset begins anew at a moment, complete for no time at all.
func (c *positionCar) reset(from int64) {
	c.track.Reset()
	c.known = c.known[:0]
	c.from, c.until = from, from
}

// bring adds samples, which the track must be complete around, and gives w.due
// with the positions that are new or changed by them.
func (c *positionCar) bring(fresh []freshSample, w *positionWork) []duePosition {
	for i := range fresh {
		f := &fresh[i]
		c.track[f.part].Put(f.time, f.value)
	}
	lo, hi := fresh[0].time-positionReach, fresh[len(fresh)-1].time+positionReach+1
	span := c.track.Between(lo, hi)
	w.derived = span.AppendPositions(w.derived[:0])
	w.merged = w.merged[:0]
	first, end := searchPosition(c.known, lo), searchPosition(c.known, hi)
	known := c.known[first:end]
	due, near, owner := w.due, 0, 0
	for i := range w.derived {
		p := &w.derived[i]
		for len(known) > 0 && known[0].Time < p.Time {
			known = known[1:]
		}
		was := len(known) > 0 && known[0].Time == p.Time
		for near < len(fresh) && fresh[near].time < p.Time-positionMargin {
			near++
		}
		if near == len(fresh) || fresh[near].time > p.Time+positionMargin {
			if was {
				w.merged = append(w.merged, known[0]) // it may be at the edge of span, where marks are not sure
			}
			continue
		}
		for owner < len(fresh)-1 && fresh[owner+1].time <= p.Time {
			owner++
		}
		if !was || !p.Same(&known[0]) {
			due = append(due, duePosition{*p, c.vin, fresh[max(owner, near)].index})
		}
		w.merged = append(w.merged, *p)
	}
	c.known = slices.Replace(c.known, first, end, w.merged...)
	return due
}

func searchPosition(list []derive.Position, ns int64) int {
	i, _ := slices.BinarySearchFunc(list, ns, func(p derive.Position, ns int64) int { return cmp.Compare(p.Time, ns) })
	return i
}

// trim forgets what is long before the samples that were brought last. A car's
// clock may run ahead: what it measured after it was received moves nothing.
func (c *positionCar) trim(fresh []freshSample) {
	last := &fresh[len(fresh)-1]
	from := min(last.time, last.received) - positionKeep
	for p := range c.track {
		if n := len(c.track[p]); n > maxCarSamples {
			from = max(from, c.track[p][n-maxCarSamples].Time)
		}
	}
	if from <= c.from {
		return
	}
	c.from = from
	c.track.Forget(from)
	c.known = slices.Delete(c.known, 0, searchPosition(c.known, from))
}
