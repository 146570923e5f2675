package cars

import (
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// plug is one charging session inside a plan.
type plug struct {
	start, end int64 // plug-in; end of the last block; Unix seconds
	blocks     []block
	soc0, soc1 float64
	odo        float64
	lat, lon   float64
	place      place
	dc         bool
}

// block is charging at one power.
type block struct {
	start, end int64
	kw         float64
	soc0, soc1 float64
}

// stopDC adds a stop at a fast charger beside the road.
func (p *planner) stopDC(lat, lon, target float64, t trip) {
	l := p.life
	city := l.places[t.to].city
	c := &plug{
		start: p.now + 90, soc0: p.soc, odo: p.odo, lat: lat, lon: lon, dc: true,
		place: place{name: "Charging park " + city, street: "Am Rasthof " + digits(1+p.rnd.index(20)), city: city, lat: lat, lon: lon},
	}
	l.chargeDC(c, c.start+45, target)
	p.addPlug(c, t.to)
	p.now = c.end + 120
}

// plugIn charges at home after the day's last trip: a hybrid each night, an
// electric car when the battery asks for it, all of them on Sunday.
func (p *planner) plugIn(sunday bool) {
	l := p.life
	if l.spec.batteryKWh == 0 || p.soc >= l.target-0.01 {
		return
	}
	want := sunday || !l.spec.electric() || p.soc < 52 || p.rnd.chance(0.15)
	if !want {
		return
	}
	h := &l.places[home]
	c := &plug{start: p.now + 100 + int64(p.rnd.index(120)), soc0: p.soc, odo: p.odo, lat: h.lat, lon: h.lon, place: *h}
	begin, kw := c.start+40, l.spec.acKW
	need := l.acDuration(p.soc, l.target, kw)
	if cheap := begin + int64(p.rnd.between(1, 3)*3600); p.rnd.chance(0.3) && cheap+need < p.closing {
		begin = cheap // waits for the night tariff
	}
	if sunday && begin+need > p.closing {
		kw = 22
	}
	l.chargeAC(&p.rnd, c, begin, p.closing, kw, l.target)
	if len(c.blocks) == 0 {
		return
	}
	p.addPlug(c, home)
	p.now, p.plugged = c.end, true
}

func (p *planner) addPlug(c *plug, at role) {
	a := activity{
		kind: charges, start: c.start, end: c.end, odo: p.odo, soc: c.soc0, onFuel: p.onFuel, at: at, charge: c,
		lastTrip: p.trip, kWhPer100: p.kWhPer100, odoAt: p.odo, socEnd: c.soc1,
	}
	p.acts = append(p.acts, a)
	p.soc = c.soc1
}

const (
	acEfficiency = 0.92
	dcEfficiency = 0.95
	dcBlock      = 120 // seconds at one power
)

// chargeAC fills blocks of flat power with a few pauses between them, until
// the target is reached or the time is over.
func (l *life) chargeAC(rnd *random, p *plug, begin, deadline int64, kw, target float64) {
	pauses := rnd.index(5)
	perSecond := kw * acEfficiency / l.spec.batteryKWh * 100 / 3600 // percent
	soc, at := p.soc0, begin
	share := (target - soc) / float64(pauses+1)
	for i := range pauses + 1 {
		goal := soc + share
		if i == pauses {
			goal = target
		}
		b := block{start: at, kw: kw, soc0: soc, soc1: goal}
		b.end = at + int64((goal-soc)/perSecond+0.999)
		if b.end > deadline {
			b.end = deadline
			b.soc1 = min(goal, soc+perSecond*float64(b.end-at))
		}
		if b.end <= b.start {
			break
		}
		p.blocks = append(p.blocks, b)
		soc = b.soc1
		at = b.end + 100 + int64(rnd.index(400))
		if at >= deadline {
			break
		}
	}
	p.finish(soc, begin)
}

// acDuration is how long chargeAC needs at most, pauses included.
func (l *life) acDuration(soc, target, kw float64) int64 {
	return int64((target-soc)/100*l.spec.batteryKWh/acEfficiency/kw*3600) + 5*500
}

// chargeDC follows the battery's curve: full power while it is empty, less
// towards 80 percent, little above.
func (l *life) chargeDC(p *plug, begin int64, target float64) {
	soc, at := p.soc0, begin
	for soc < target {
		kw := l.spec.dcKW * dcShare(soc)
		gain := kw * dcEfficiency * dcBlock / 3600 / l.spec.batteryKWh * 100
		b := block{start: at, end: at + dcBlock, kw: kw, soc0: soc, soc1: soc + gain}
		if b.soc1 >= target {
			b.soc1 = target
			b.end = at + max(1, int64(dcBlock*(target-soc)/gain+0.999))
		}
		p.blocks = append(p.blocks, b)
		soc, at = b.soc1, b.end
	}
	p.finish(soc, begin)
}

// dcShare is the share of peak power at a state of charge.
func dcShare(soc float64) float64 {
	switch {
	case soc < 8:
		return 0.75
	case soc < 38:
		return 1
	case soc < 80:
		return 1 - 0.5*(soc-38)/42
	default:
		return max(0.08, 0.5-0.42*(soc-80)/20)
	}
}

func (p *plug) finish(soc float64, begin int64) {
	p.soc1, p.end = soc, begin
	if n := len(p.blocks); n > 0 {
		p.end = p.blocks[n-1].end
	}
}

// at returns state of charge and power at a moment of the session.
func (p *plug) at(t int64) (soc, kw float64) {
	soc = p.soc0
	for i := range p.blocks {
		b := &p.blocks[i]
		if t < b.start {
			return soc, 0
		}
		if t < b.end {
			return b.soc0 + (b.soc1-b.soc0)*float64(t-b.start)/float64(b.end-b.start), b.kw
		}
		soc = b.soc1
	}
	return soc, 0
}

func (p *plug) session(l *life) Session {
	s := Session{
		Start: time.Unix(p.start, 0).UTC(), End: time.Unix(p.end, 0).UTC(),
		StartSOC: p.soc0, EndSOC: p.soc1, Latitude: p.lat, Longitude: p.lon, MileageKm: p.odo, DC: p.dc,
		Place: p.place.name, Street: p.place.street, City: p.place.city, TimeZone: l.town.zone,
		Preconditioned: p.dc && l.outside(p.start) < 12, Miles: l.town.uk,
		Blocks: make([]Block, len(p.blocks)),
	}
	for i, b := range p.blocks {
		s.Blocks[i] = Block{Start: time.Unix(b.start, 0).UTC(), End: time.Unix(b.end, 0).UTC(), PowerKW: b.kw}
		s.EnergyGridKWh += b.kw * float64(b.end-b.start) / 3600
	}
	chance := mix(l.seed, uint64(p.start), tagSession)
	if p.dc {
		s.Provider = [...]string{"Synthetic Charge GmbH", "Example Energy BV"}[chance%2]
		s.PostalCode = digits(10_000 + int(mix(l.seed, hashVIN(schema.VIN(p.place.city)))%80_000))
	}
	if chance>>8%16 == 0 {
		s.Errors = []SessionError{{Time: s.Start.Add(90 * time.Second), Hint: "SYNTHETIC_HINT"}}
	}
	return s
}
