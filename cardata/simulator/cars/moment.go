package cars

import (
	"math"
	"time"
)

// moment is all there is to know about a car at one second; the keys read
// their values from it.
type moment struct {
	life *life
	t    int64 // Unix seconds
	day  int64 // car day

	odo, soc, fuel   float64 // km, percent, percent
	lat, lon         float64 // degrees
	heading, kmh     float64
	outside          float64 // °C
	km, minutes      float64 // of the trip so far
	ahead            float64 // km to its end
	kWhPer100        float64
	startSOC         float64
	warm             float64 // 0 to 1: how warm engine and tyres are
	ignition, moving bool
	open, locked     bool // driver's door; car
	plugged, dc      bool
	kw               float64 // charging, at the grid
	minutesLeft      float64 // to the charging target
	charge           *plug
	phase            phase
	arrives          time.Time // end of the trip, local
}

// phase is what a tick stands for.
type phase uint8

const (
	phaseWake     phase = iota // everything, one envelope
	phaseUnlock                // everything, driver gets in
	phaseStart                 // ignition on
	phaseDrive                 // what changes on the road
	phasePosition              // position
	phaseArrive                // ignition off, the trip's figures
	phaseDoor                  // driver gets out
	phaseLock                  // locked, going to sleep
	phasePlug                  // plugged in
	phaseStatus                // charging begins or pauses
	phaseCharge                // state of charge, power
	phaseDone                  // charging is over
	phases
)

// at fills m with the car at second t of an activity.
func (m *moment) at(l *life, a *activity, road *route, day, t int64, ph phase) {
	*m = moment{
		life: l, t: t, day: day, odo: a.odo, soc: a.soc, fuel: l.fuelPercent(a.onFuel), phase: ph,
		kWhPer100: a.kWhPer100, outside: l.outside(t), locked: true,
	}
	switch a.kind {
	case drives:
		m.driving(a, road, t)
	case charges:
		m.charging(a, t)
	case wakes:
		p := &l.places[a.at]
		m.lat, m.lon, m.plugged = p.lat, p.lon, a.plugged
	}
	m.odo, m.soc = max(0, m.odo), max(0, min(100, m.soc))
}

func (m *moment) driving(a *activity, road *route, t int64) {
	var onFuel float64
	km, kmh := a.progress(max(a.start, min(a.end, t)))
	m.odo += km
	m.soc, onFuel = a.battery(km)
	m.fuel = m.life.fuelPercent(onFuel)
	m.lat, m.lon, m.heading = road.at(a.km0 + km)
	m.km, m.minutes, m.startSOC = a.km0+km, float64(max(0, t-a.tripStart))/60, a.startSOC
	m.ahead = m.life.km[a.from][a.to] - m.km
	m.warm = min(1, m.minutes/15)
	m.moving = t > a.start && t < a.end
	m.ignition = t >= a.start && t <= a.end
	if m.moving {
		m.kmh = max(5, kmh+float64(mix(m.life.seed, uint64(t))%21)-10)
	}
	m.locked = m.phase == phaseLock
	m.open = m.phase == phaseDoor
	m.plugged = a.plugged && m.phase == phaseUnlock
	m.arrives = time.Unix(a.end+m.life.localOffset(m.day), 0).UTC()
}

func (m *moment) charging(a *activity, t int64) {
	c := a.charge
	m.charge, m.plugged, m.dc = c, true, c.dc
	m.lat, m.lon = c.lat, c.lon
	m.soc, m.kw = c.at(t)
	m.minutesLeft = math.Ceil(float64(max(0, c.end-t)) / 60)
}

// daily is a number in [0, 1) that holds for the car day.
func (m *moment) daily(tag uint64) float64 {
	return unitOf(mix(m.life.seed, uint64(m.day), tagDaily, tag))
}

// option is a number in [0, 1) that holds for the car's life.
func (m *moment) option(tag uint64) float64 { return unitOf(mix(m.life.seed, tagOption, tag)) }

func (m *moment) fuelLitres() float64 { return m.fuel / 100 * m.life.spec.tankL }

func (m *moment) fuelRange() float64 { return m.fuel / 100 * m.life.tankRange() }

// electricRange is in km at the day's consumption.
func (m *moment) electricRange() float64 {
	if m.kWhPer100 == 0 {
		return 0
	}
	return m.soc * m.life.spec.batteryKWh / m.kWhPer100
}

func (m *moment) pressure(wheel uint64, target float64) float64 {
	leak := 6 * (float64(m.day%63)/63 - 0.5) // filled every nine weeks
	return target - leak + 0.35*(m.outside-15) + 18*m.warm + 4*(m.option(wheel)-0.5)
}

// seconds counts from the beginning of the car day.
func (m *moment) seconds() int64 { return m.t - dayStart(m.day) }

func (l *life) tankRange() float64 {
	if l.spec.tankL == 0 {
		return 0
	}
	return l.tankKm()
}
