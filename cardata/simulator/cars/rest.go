package cars

import (
	"math"
	"strconv"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// History returns the sessions that began in [from, to) and not after now,
// ascending, as the charging history tells them at now: state of charge in
// whole percent, the mileage that its whole kilometres or miles mean, energy in
// single precision, power in tenths of a kilowatt. A running session has the
// state reached so far, no End and no energy; its last block ends at now.
func (c *Car) History(from, to, now time.Time) []Session {
	var out []Session
	c.charges(from, to, func(p *plug) {
		if p.start > now.Unix() {
			return
		}
		s := p.session(c.life)
		if p.end > now.Unix() {
			s.cut(p, now.Truncate(time.Second))
		}
		s.round()
		out = append(out, s)
	})
	return out
}

// cut makes s what is known of it in the middle.
func (s *Session) cut(p *plug, now time.Time) {
	s.End, s.EnergyGridKWh = time.Time{}, 0
	s.EndSOC, _ = p.at(now.Unix())
	for i := range s.Blocks {
		if !s.Blocks[i].Start.Before(now) {
			s.Blocks = s.Blocks[:i]
			break
		}
		if s.Blocks[i].End.After(now) {
			s.Blocks[i].End = now
		}
	}
	for len(s.Errors) > 0 && s.Errors[len(s.Errors)-1].Time.After(now) {
		s.Errors = s.Errors[:len(s.Errors)-1]
	}
}

func (s *Session) round() {
	s.StartSOC, s.EndSOC = math.Round(s.StartSOC), math.Round(s.EndSOC)
	s.EnergyGridKWh = float64(float32(s.EnergyGridKWh))
	s.Latitude, s.Longitude = round(s.Latitude, 6), round(s.Longitude, 6)
	s.MileageKm = math.Floor(s.MileageKm)
	if s.Miles {
		s.MileageKm = math.Floor(s.MileageKm/kmPerMile) * kmPerMile
	}
	for i := range s.Blocks {
		s.Blocks[i].PowerKW = round(s.Blocks[i].PowerKW, 1)
	}
}

// Mileage is the number the charging history has: kilometres, or miles.
func (s *Session) Mileage() int64 {
	if s.Miles {
		return int64(math.Round(s.MileageKm / kmPerMile))
	}
	return int64(math.Round(s.MileageKm))
}

// Point is one value as telematicData tells it: as text.
type Point struct {
	Descriptor schema.Descriptor
	Value      string
	Null       bool // no value; Value is empty
	Unit       string
	HasUnit    bool
	Measured   time.Time // UTC, milliseconds
	Truth      schema.Value
	TruthUnit  string // canonical unit of Truth, empty when none
}

// PointOf tells a streamed value as the Customer API does. It is the same
// reading: same key, time and truth.
func PointOf(e *Emission) Point {
	p := Point{
		Descriptor: e.Descriptor, Unit: e.Unit, HasUnit: e.HasUnit, Measured: e.Measured,
		Truth: e.Truth, TruthUnit: e.TruthUnit,
	}
	switch {
	case string(e.Wire) == "null":
		p.Null = true
	case e.Wire[0] == '"' && e.Truth.Kind == schema.KindText:
		p.Value = e.Truth.Text
	case e.Wire[0] == '"':
		p.Value = string(e.Wire[1 : len(e.Wire)-1]) // a word without escapes
	default:
		p.Value = string(e.Wire) // a number, a boolean, or JSON that becomes text
	}
	switch e.Descriptor {
	case "vehicle.body.trunk.isOpen": // the channels differ
		switch p.Value {
		case "true":
			p.Value = "OPEN"
		case "false":
			p.Value = "CLOSED"
		}
	case "vehicle.drivetrain.internalCombustionEngine.engine.ect": //nolint:misspell // engine coolant temperature
		p.Unit = "Â°C" // UTF-8 taken for Latin-1, as seen
	}
	return p
}

// Known tells about a car what the backend heard last.
type Known struct {
	Uploaded  time.Time // when the car last reported in full, UTC, milliseconds
	MileageKm float64
	SOC       float64 // percent; 0 without a plug
}

// Known returns what the last upload before at said.
func (c *Car) Known(at time.Time) Known {
	m := c.uploaded(at)
	return Known{Uploaded: m.stamp(), MileageKm: m.odo, SOC: m.soc}
}

// RESTOnly returns the values of the descriptors that never stream, as the
// backend knows them at a moment.
func (c *Car) RESTOnly(at time.Time) []Point {
	m := c.uploaded(at)
	w := c.life.model.who()
	var out []Point
	for i := range restKeys {
		k := &restKeys[i]
		if k.who&w == 0 || k.rare && m.option(uint64(200+i)) < 0.4 {
			continue
		}
		p := Point{
			Descriptor: schema.Descriptor("vehicle." + k.name), Unit: k.unit, HasUnit: k.unit != "", TruthUnit: k.truth,
			Value: k.value(m), Measured: m.stamp(),
		}
		switch k.group {
		case onUpload:
		case onRequest: // stamped when asked for, even a little later
			p.Measured = at.Add(time.Duration(300+mix(c.life.seed, uint64(at.Unix()))%900) * time.Millisecond).UTC().Truncate(time.Millisecond)
		case atWorkshop:
			p.Measured = c.life.workshop()
		}
		p.Truth = k.meaning(p.Value)
		out = append(out, p)
	}
	return out
}

// meaning is the truth behind a text.
func (k *restKey) meaning(v string) schema.Value {
	switch {
	case v == sentinelNone || v == sentinelInvalid:
		return schema.Value{}
	case k.form == number:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			panic("BUG: " + k.name + " is not a number: " + v)
		}
		return schema.Value{Kind: schema.KindNumber, Number: f}
	case k.form == jsonBool:
		return schema.Value{Kind: schema.KindBool, Bool: v == "true" || v == "True"}
	default:
		return schema.Value{Kind: schema.KindText, Text: v}
	}
}

// uploaded is the car at its last full report before at.
func (c *Car) uploaded(at time.Time) *moment {
	const daysBack = 2
	var p planner
	var last activity
	day := dayOf(at.Unix())
	var lastDay int64
	for s := c.life.stateAt(day - daysBack); s.day <= day; {
		today := s.day
		p.plan(c.life, &s)
		for i := range p.acts {
			if a := &p.acts[i]; a.start <= at.Unix() {
				last, lastDay = *a, today
			}
		}
	}
	var m moment
	if last.end == 0 { // nothing for days: asleep since then
		s := c.life.stateAt(day - daysBack)
		last = activity{kind: wakes, start: dayStart(s.day), end: dayStart(s.day), odo: s.odo, soc: s.soc, onFuel: s.onFuel, kWhPer100: c.life.consumption(s.day)}
		lastDay = s.day
	}
	const step = 300 // seconds between reports on the way
	t, ph := last.end, phaseArrive
	if t > at.Unix() {
		t = last.start + (at.Unix()-last.start)/step*step
		ph = phaseDrive
	}
	if last.kind == charges {
		ph = phaseCharge
	}
	var road route
	if last.kind == drives {
		road.lay(c.life.seed, &c.life.places, last.from, last.to)
	}
	m.at(c.life, &last, &road, lastDay, t, ph)
	return &m
}

// stamp is when the backend booked the moment: with true milliseconds.
func (m *moment) stamp() time.Time {
	return time.UnixMilli(m.t*1000 + int64(mix(m.life.seed, uint64(m.t), tagFacts)%1000)).UTC()
}
