package cars

import (
	"math"
	"slices"
)

// activityKind says what a car does.
type activityKind uint8

const (
	drives activityKind = iota
	charges
	wakes
)

// activity is one thing a car does. Activities of a day are ascending and
// never overlap; between them the car sleeps.
type activity struct {
	kind       activityKind
	start, end int64 // Unix seconds

	// Where and in which state it begins.
	odo, soc, onFuel float64 // km, percent, km
	at               role    // place, when not on a road

	// Of drives: the road, the part of it, and the trip this leg belongs to.
	from, to      role
	km0, km1      float64
	cruise        float64 // km/h between the built-up ends
	first, last   bool    // leg of the trip
	tripStart     int64
	electricKm    float64 // way until a hybrid's battery is down
	kWhPer100     float64
	plugged       bool // at the beginning: a cable hangs in the car
	startSOC      float64
	batteryPerKm  float64 // percent per km
	lastTrip      int     // index of the last finished trip's last leg, or -1
	charge        *plug   // of charges
	socEnd, odoAt float64 // state at the end
}

const (
	townKm    = 4.0  // built-up way at each end of a leg
	townSpeed = 32.0 // km/h on it
)

// drivingSeconds is how long a leg takes.
func drivingSeconds(km, cruise float64) int64 {
	slow := min(km, 2*townKm)
	return int64(math.Ceil((slow/townSpeed + (km-slow)/cruise) * 3600))
}

// progress returns the way driven and the speed after so many seconds.
func (a *activity) progress(t int64) (km, kmh float64) {
	total := a.km1 - a.km0
	hours := float64(t-a.start) / 3600
	town := min(townKm, total/2)
	first := town / townSpeed
	mid := (total - 2*town) / a.cruise
	switch {
	case hours <= first:
		return max(0, hours*townSpeed), townSpeed
	case hours <= first+mid:
		return town + (hours-first)*a.cruise, a.cruise
	default:
		return min(total, total-town+(hours-first-mid)*townSpeed), townSpeed
	}
}

// battery returns state of charge and kilometres on fuel after km of a leg.
func (a *activity) battery(km float64) (soc, onFuel float64) {
	electric := min(km, a.electricKm)
	return a.soc - electric*a.batteryPerKm, a.onFuel + km - electric
}

// state is what a car carries from one day to the next.
type state struct {
	day              int64
	odo, soc, onFuel float64
}

// stateAt computes the state at the beginning of a day from nothing but the
// day: distances since the epoch, and the battery since Monday.
func (l *life) stateAt(day int64) state {
	monday := day - weekday(day)
	s := state{day: monday, odo: l.odometer, soc: l.target, onFuel: unitOf(mix(l.seed, tagHabit, 1)) * 400}
	for d := int64(epochDay); d < monday; d++ {
		km, onFuel := l.driven(d)
		s.odo += km
		s.onFuel += onFuel
	}
	for d := int64(epochDay) - 1; d >= monday; d-- {
		km, onFuel := l.driven(d)
		s.odo = max(0, s.odo-km)
		s.onFuel -= onFuel
	}
	if s.onFuel < 0 && l.spec.tankL > 0 {
		s.onFuel += math.Ceil(-s.onFuel/l.refuelKm()) * l.refuelKm()
	}
	if l.spec.batteryKWh == 0 {
		s.soc = 0
	}
	var p planner
	for s.day < day {
		p.plan(l, &s)
	}
	return s
}

// planner turns the wishes of a day into activities. It is reused.
type planner struct {
	acts []activity
	road route

	life             *life
	rnd              random
	now, closing     int64
	odo, soc, onFuel float64
	kWhPer100        float64
	plugged          bool
	trip             int // index of the last leg of the last finished trip, or -1
}

// plan replaces the planner's activities with those of day s.day, and moves s
// to the next day. What it plans depends on nothing but the life and s.
func (p *planner) plan(l *life, s *state) {
	p.life, p.acts, p.trip = l, p.acts[:0], -1
	p.rnd = random(mix(l.seed, uint64(s.day), tagPlan))
	p.now, p.closing = dayStart(s.day), dayStart(s.day+1)-900
	p.odo, p.soc, p.onFuel = s.odo, s.soc, s.onFuel
	p.kWhPer100 = l.consumption(s.day)
	p.plugged = p.soc >= l.target && l.spec.batteryKWh > 0
	morning := p.plugged
	var buf [maxTrips]trip
	trips := l.trips(s.day, &buf)
	for _, t := range trips {
		leave := max(p.now+max(300, t.stay), s.day*daySeconds+int64(t.leave*3600)-l.localOffset(s.day))
		p.drive(t, leave)
	}
	if len(trips) == 0 {
		p.now = max(p.now, s.day*daySeconds+int64(p.rnd.between(17.5, 19.5)*3600))
	}
	p.plugIn(weekday(s.day) == 6)
	p.wake(s, morning)
	// The same sums as stateAt makes, in the same order: not p.odo, whose
	// rounding differs.
	km, onFuel := l.driven(s.day)
	s.day, s.odo, s.soc, s.onFuel = s.day+1, s.odo+km, p.soc, s.onFuel+onFuel
	if weekday(s.day) == 0 && l.spec.batteryKWh > 0 {
		s.soc = l.target // reached on Sunday night; this only drops the rounding
	}
}

// drive adds the legs of one trip and the stops between them.
func (p *planner) drive(t trip, leave int64) {
	l := p.life
	p.road.lay(l.seed, &l.places, t.from, t.to)
	total := l.km[t.from][t.to]
	cruise := 43.0
	switch {
	case total >= 45:
		cruise = 98
	case total >= 14:
		cruise = 64
	}
	cruise *= p.rnd.between(0.92, 1.08)
	perKm := 0.0
	if l.spec.batteryKWh > 0 {
		perKm = p.kWhPer100 / l.spec.batteryKWh
	}
	odo := p.odo
	at := 0.0
	p.now = leave
	for first := true; ; first = false {
		a := activity{
			kind: drives, start: p.now, odo: p.odo, soc: p.soc, onFuel: p.onFuel, from: t.from, to: t.to,
			km0: at, cruise: cruise, first: first, tripStart: leave, kWhPer100: p.kWhPer100, batteryPerKm: perKm,
			startSOC: p.soc, plugged: p.plugged || (!first && l.spec.electric()), lastTrip: p.trip, at: t.from,
		}
		rest := total - at
		stop := p.untilStop(&a, rest)
		a.km1 = at + min(rest, stop)
		a.last = stop >= rest
		km := a.km1 - a.km0
		a.end = a.start + drivingSeconds(km, cruise)
		p.odo = odo + a.km1 // not summed leg by leg: the day's distance is exact
		p.soc, p.onFuel = a.battery(km)
		a.socEnd, a.odoAt = p.soc, p.odo
		p.acts = append(p.acts, a)
		p.now, at = a.end, a.km1
		p.plugged = false
		if a.last {
			p.trip = len(p.acts) - 1
			return
		}
		if l.spec.tankL > 0 {
			p.now += 360 + int64(p.rnd.index(240)) // at the pump
			continue
		}
		lat, lon, _ := p.road.at(at)
		need := (total - at) * perKm
		p.stopDC(lat, lon, min(80, max(55, 20+need)), t)
	}
}

// untilStop is the way from the start of a leg to the next charging station or
// pump; it is at least rest when none is needed.
func (p *planner) untilStop(a *activity, rest float64) float64 {
	l := p.life
	a.electricKm = math.Inf(1)
	switch {
	case l.spec.electric():
		if a.soc-rest*a.batteryPerKm >= 11 {
			return rest
		}
		return max(1.5, (a.soc-15)/a.batteryPerKm)
	case l.spec.batteryKWh > 0:
		a.electricKm = max(0, (a.soc-l.spec.floor)/a.batteryPerKm)
	default:
		a.electricKm = 0
	}
	left := l.refuelKm() - math.Mod(a.onFuel, l.refuelKm()) // on fuel, to the pump
	if left < 0.5 {
		left += l.refuelKm()
	}
	stop := a.electricKm + left
	if stop > rest-0.2 { // a pump at the door waits for the next trip
		return rest
	}
	return stop + 1e-6 // beyond the mark, so that the tank is full afterwards
}

// wake adds a few wakings of the sleeping car: the app looks, a service calls.
func (p *planner) wake(s *state, plugged bool) {
	const slack = 1500 // seconds of sleep on either side
	for range 2 + p.rnd.index(3) {
		t := dayStart(s.day) + int64(p.rnd.between(0.5, 22.5)*3600)
		i, _ := slices.BinarySearchFunc(p.acts, t, func(a activity, t int64) int {
			if a.start < t {
				return -1
			}
			return 1
		})
		w := activity{
			kind: wakes, start: t, end: t + 1, odo: s.odo, soc: s.soc, onFuel: s.onFuel, at: home, lastTrip: -1,
			kWhPer100: p.kWhPer100, plugged: plugged,
		}
		if i > 0 {
			b := &p.acts[i-1]
			if t < b.end+slack || (b.kind == drives && !b.last) {
				continue
			}
			w.odo, w.soc, w.at = b.odoAt, b.socEnd, b.at
			w.plugged = b.kind == charges || (b.kind == wakes && b.plugged)
			if w.onFuel = b.onFuel; b.kind == drives {
				_, w.onFuel = b.battery(b.km1 - b.km0)
				w.at = b.to
			}
		}
		if i < len(p.acts) && t > p.acts[i].start-slack {
			continue
		}
		w.odoAt, w.socEnd = w.odo, w.soc
		p.acts = slices.Insert(p.acts, i, w)
	}
	p.linkTrips()
}

// linkTrips notes with each activity the last trip finished before it.
func (p *planner) linkTrips() {
	trip := -1
	for i := range p.acts {
		a := &p.acts[i]
		a.lastTrip = trip
		if a.kind == drives && a.last {
			trip = i
		}
	}
}
