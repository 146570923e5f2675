package cars

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Car is one simulated car. It belongs to one goroutine.
type Car struct {
	life   *life
	quirks Quirks
	busy   float64
	begin  int64 // Unix milliseconds; nothing due before is shown

	state state // of the day after the planned one
	plan  planner
	day   int64 // the planned day
	act   int   // activity whose ticks are in ticks
	ticks []tick
	tick  int
	road  route
	now   moment
	rand  random // of the activity

	sends   [phases][]uint8 // keys by phase
	seldom  []uint8
	tripEnd []uint8
	last    [len256]int64 // latest measured second of each key
	trip    []item        // the last trip's figures, for repeats

	waiting    queue
	duplicates float64 // expected repeats of a plain message
	arena      []byte  // for the texts of numbers
}

// len256 bounds the table of keys; an item holds its position in a byte.
const len256 = 256

// New builds a car that has lived before cfg.Start and is watched from then on.
func New(cfg Config) *Car {
	if cfg.Model == "" {
		cfg.Model = BEV
	}
	c := &Car{life: newLife(&cfg), quirks: cfg.Quirks, busy: cfg.Busy, begin: cfg.Start.UnixMilli()}
	if c.busy <= 0 {
		c.busy = 1
	}
	q := &c.quirks
	if d := min(0.9, q.Duplicate); d > 0 {
		c.duplicates = d * (1 + q.Revised) / (1 - d) / max(0.01, 1-q.OldMeasurement-q.Revised)
	}
	c.choose()
	c.state = c.life.stateAt(dayOf(cfg.Start.Unix()))
	c.nextDay()
	c.enter(c.firstActivity(cfg.Start.Unix()))
	return c
}

// equipped is how many descriptors a car sends: of some 245 that may be
// selected about 75 ever arrive (CarData API, section "What is sent, and when").
const equipped = 76

// equip lists the keys of this car: what its model always sends, filled up to
// equipped with the optional ones that its seed favours.
func (l *life) equip() []uint8 {
	var has, may []uint8
	w := l.model.who()
	for i := range keys {
		switch k := &keys[i]; {
		case k.who&w == 0:
		case k.optional():
			may = append(may, uint8(i))
		default:
			has = append(has, uint8(i))
		}
	}
	slices.SortFunc(may, func(a, b uint8) int {
		return cmp.Compare(mix(l.seed, tagOption, uint64(a)), mix(l.seed, tagOption, uint64(b)))
	})
	has = append(has, may[:max(0, min(len(may), equipped-len(has)))]...)
	slices.Sort(has)
	return has
}

// choose sorts the car's keys by the phases that send them.
func (c *Car) choose() {
	masks := [phases]when{
		phaseStart: onStart | onPosition, phaseDrive: onDrive, phasePosition: onPosition, phaseArrive: onArrive | onPosition,
		phaseDoor: onDoor, phaseLock: onDoor, phasePlug: onPlug, phaseStatus: onStatus, phaseCharge: onCharge,
	}
	masks[phaseWake], masks[phaseUnlock], masks[phaseDone] = math.MaxUint16, math.MaxUint16, math.MaxUint16
	for _, i := range c.life.equip() {
		k := &keys[i]
		if k.when == atTripEnd {
			c.tripEnd = append(c.tripEnd, i)
			continue
		}
		if k.when == seldom {
			c.seldom = append(c.seldom, i)
			continue
		}
		for ph, mask := range masks {
			if mask == math.MaxUint16 || k.when&mask != 0 {
				c.sends[ph] = append(c.sends[ph], i)
			}
		}
	}
}

// Next returns the next message; Due never decreases and there is no end.
func (c *Car) Next() Emission {
	for {
		for len(c.waiting.heap) == 0 || c.waiting.heap[0].due > c.horizon() {
			c.look()
		}
		if it := c.waiting.pop(); it.due >= c.begin {
			return c.emission(it)
		}
	}
}

// horizon is a time before which no further item can become due.
func (c *Car) horizon() int64 {
	for c.tick == len(c.ticks) {
		c.enter(c.act + 1)
	}
	return c.ticks[c.tick].at * 1000
}

// look sends what the car sends at the next tick.
func (c *Car) look() {
	for c.tick == len(c.ticks) {
		c.enter(c.act + 1)
	}
	t := c.ticks[c.tick]
	c.tick++
	a := &c.plan.acts[c.act]
	c.now.at(c.life, a, &c.road, c.day, t.at, t.phase)
	c.send(a)
}

func (c *Car) nextDay() {
	c.day = c.state.day
	c.plan.plan(c.life, &c.state)
	c.trip = c.trip[:0]
}

// enter begins an activity, of the next day when this one has no more.
func (c *Car) enter(i int) {
	c.ticks, c.tick = c.ticks[:0], 0
	for i >= len(c.plan.acts) {
		c.nextDay()
		i = 0
	}
	c.act = i
	a := &c.plan.acts[i]
	c.rand = random(mix(c.life.seed, uint64(c.day), uint64(i), tagActivity))
	if a.kind == drives {
		c.road.lay(c.life.seed, &c.life.places, a.from, a.to)
	}
	c.ticks = c.ticksOf(c.ticks, a)
}

// firstActivity is the earliest one that can still be noticed at a time: late
// messages reach over an hour, and a trip's figures come again all day.
func (c *Car) firstActivity(unix int64) int {
	const reach = 90 * 60
	for i := range c.plan.acts {
		a := &c.plan.acts[i]
		if a.end < unix-reach {
			continue
		}
		if a.lastTrip >= 0 {
			return a.lastTrip
		}
		return i
	}
	return len(c.plan.acts)
}

// emission dresses an item for the reader.
func (c *Car) emission(it *item) Emission {
	k := &keys[it.key]
	e := Emission{
		Due: time.UnixMilli(it.due).UTC(), Sent: time.UnixMilli(it.sent).UTC(), VIN: c.life.vin,
		Descriptor: schema.Descriptor(k.descriptor), Measured: time.Unix(it.measured, 0).UTC(),
		Unit: k.unit, HasUnit: k.unit != "" && !it.noUnit, TruthUnit: k.truth, Duplicate: it.duplicate,
	}
	if it.noUnit {
		e.Unit = ""
	}
	switch it.what {
	case absent:
		e.Wire = nullJSON
		return e
	case sentinel:
		e.Wire = k.quotedNone
		return e
	case miles:
		e.Unit = "miles"
		e.Wire = c.formatNumber(it.number, false)
		e.Truth = schema.Value{Kind: schema.KindNumber, Number: it.number * kmPerMile}
		return e
	case rawJSON:
		e.Wire = []byte(it.text)
		e.Truth = schema.Value{Kind: schema.KindText, Text: it.text}
		return e
	case plain:
	}
	switch k.form {
	case number, quoted:
		e.Wire = c.formatNumber(it.number, k.form == quoted)
		e.Truth = schema.Value{Kind: schema.KindNumber, Number: it.number}
	case jsonBool, asn, vocab:
		e.Wire = k.wire[it.index]
		e.Truth = schema.Value{Kind: schema.KindBool, Bool: it.index == 1}
	case enum:
		e.Wire = k.wire[it.index]
		e.Truth = schema.Value{Kind: schema.KindText, Text: k.words[it.index]}
	case text:
		e.Wire = appendJSON(nil, it.text)
		e.Truth = schema.Value{Kind: schema.KindText, Text: it.text}
	}
	return e
}

const kmPerMile = 1.609344

//nolint:gochecknoglobals // constant
var nullJSON = []byte("null")

// formatNumber cuts the text from an arena that is never written twice, so
// that Wire stays valid without an allocation for each message.
func (c *Car) formatNumber(v float64, quote bool) []byte {
	if cap(c.arena)-len(c.arena) < 40 {
		c.arena = make([]byte, 0, 2048)
	}
	from := len(c.arena)
	switch {
	case quote:
		c.arena = append(c.arena, '"')
		c.arena = strconv.AppendFloat(c.arena, v, 'f', 1, 64)
		c.arena = append(c.arena, '"')
	case v == math.Trunc(v):
		c.arena = strconv.AppendInt(c.arena, int64(v), 10)
	default:
		c.arena = strconv.AppendFloat(c.arena, v, 'f', -1, 64)
	}
	return c.arena[from:len(c.arena):len(c.arena)]
}

// Descriptors returns what the car may send, sorted: the portal's selection
// of an owner who ticked everything the car has.
func (c *Car) Descriptors() []schema.Descriptor {
	equipment := c.life.equip()
	ds := make([]schema.Descriptor, len(equipment))
	for i, k := range equipment {
		ds[i] = schema.Descriptor(keys[k].descriptor)
	}
	slices.Sort(ds)
	return ds
}

// Sessions returns the charging sessions that began in [from, to), ascending.
// They agree with what the car streams, and do not disturb Next. A session may
// end after to: one who asks at a moment cuts it there.
func (c *Car) Sessions(from, to time.Time) []Session {
	var out []Session
	c.charges(from, to, func(g *plug) { out = append(out, g.session(c.life)) })
	return out
}

// charges walks through the sessions that begin in [from, to).
func (c *Car) charges(from, to time.Time, visit func(*plug)) {
	var p planner
	s := c.life.stateAt(dayOf(from.Unix()))
	for dayStart(s.day) < to.Unix() {
		p.plan(c.life, &s)
		for i := range p.acts {
			g := p.acts[i].charge
			if g != nil && g.start >= from.Unix() && g.start < to.Unix() {
				visit(g)
			}
		}
	}
}
