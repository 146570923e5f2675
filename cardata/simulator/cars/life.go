package cars

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Tags keep the chances of different things apart.
const (
	tagPlace uint64 = iota + 1
	tagRoad
	tagHabit
	tagTrips
	tagPlan
	tagActivity
	tagDaily
	tagOption
	tagSession
	tagFacts
)

// life is what never changes about a car. It is read-only after newLife.
type life struct {
	seed   uint64
	vin    schema.VIN
	model  Model
	town   *town
	places [roles]place
	km     [roles][roles]float64 // length of each road
	spec   spec

	office   float64 // share of weekdays spent at the office
	leave    float64 // local hour of leaving for it
	outing   float64 // share of weekends with a day out
	odometer float64 // km at epochDay
	target   float64 // percent at which charging ends
	silence  bool
}

// spec is the drive of a model.
type spec struct {
	batteryKWh float64 // usable; 0 without a plug
	kWhPer100  float64 // at 15 °C
	acKW, dcKW float64 // grid side; dcKW is the peak
	floor      float64 // percent below which a hybrid burns fuel
	tankL      float64
	lPer100    float64
	gpsSeconds float64 // between positions; 0 means trip ends only
}

func specOf(m Model, vin schema.VIN) spec {
	switch m {
	case ICE:
		return spec{tankL: 59, lPer100: 6.4, gpsSeconds: 150}
	case PHEV:
		return spec{batteryKWh: 19.4, kWhPer100: 21.5, acKW: 7.4, floor: 8, tankL: 50, lPer100: 6.9, gpsSeconds: 150}
	case NK:
		return spec{batteryKWh: 108.7, kWhPer100: 16.2, acKW: 11, dcKW: 300, gpsSeconds: 140}
	case I3:
		return spec{batteryKWh: 37.9, kWhPer100: 14.6, acKW: 11, dcKW: 49}
	case BEV:
		if strings.HasPrefix(string(vin), "WMW") {
			return spec{batteryKWh: 49.2, kWhPer100: 15.8, acKW: 11, dcKW: 95, gpsSeconds: 170}
		}
	}
	return spec{batteryKWh: 81.1, kWhPer100: 18.3, acKW: 11, dcKW: 205, gpsSeconds: 150}
}

func (s *spec) electric() bool { return s.batteryKWh > 0 && s.tankL == 0 }

func newLife(cfg *Config) *life {
	l := &life{seed: mix(cfg.Seed, hashVIN(cfg.VIN)), vin: cfg.VIN, model: cfg.Model, silence: cfg.Quirks.ChargingSilence}
	l.spec = specOf(l.model, l.vin)
	rnd := random(mix(l.seed, tagHabit))
	l.town = &towns[rnd.index(len(towns)-1)]
	if isUK(l.vin) {
		l.town = &towns[len(towns)-1]
	}
	l.places = l.town.settle(l.seed)
	l.office = rnd.between(0.6, 0.95)
	l.leave = rnd.between(6.9, 8.4)
	l.outing = rnd.between(0.2, 0.5)
	l.odometer = math.Round(rnd.between(21_000, 74_000)*10) / 10
	l.target = 100
	if l.spec.dcKW > 60 {
		l.target = [...]float64{80, 80, 90, 100}[rnd.index(4)]
	}
	var r route
	for a := range roles {
		for b := range a {
			r.lay(l.seed, &l.places, a, b)
			l.km[a][b], l.km[b][a] = r.length(), r.length()
		}
	}
	return l
}

// Days are car days: they begin at 04:00 UTC, numbered from 1970-01-01.
const (
	daySeconds = 86_400
	dayBegins  = 4 * 3600
	epochDay   = 20_451 // Monday, 29 December 2025: the odometer is known here
)

func dayOf(unix int64) int64 {
	return floorDiv(unix-dayBegins, daySeconds)
}

func dayStart(day int64) int64 { return day*daySeconds + dayBegins }

// weekday is 0 on Monday.
func weekday(day int64) int64 { return (day%7 + 10) % 7 }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// summer reports whether European summer time holds at noon of the day.
func summer(day int64) bool {
	t := time.Unix(day*daySeconds, 0).UTC()
	switch m := t.Month(); {
	case m < time.March || m > time.October:
		return false
	case m > time.March && m < time.October:
		return true
	default:
		sunday := t.AddDate(0, 0, 31-t.Day()) // both months have 31 days
		sunday = sunday.AddDate(0, 0, -int(sunday.Weekday()))
		return (m == time.March) == !t.Before(sunday)
	}
}

// localOffset is in seconds ahead of UTC.
func (l *life) localOffset(day int64) int64 {
	h := l.town.offset
	if summer(day) {
		h++
	}
	return h * 3600
}

// outside is the air temperature in °C.
func (l *life) outside(unix int64) float64 {
	day := float64(unix) / daySeconds
	season := -math.Cos(2 * math.Pi * (math.Mod(day, 365.25) - 20) / 365.25)
	hour := -math.Cos(2 * math.Pi * (math.Mod(day, 1) - 0.12))
	weather := 6 * (unitOf(mix(l.seed, uint64(floorDiv(unix, daySeconds)), tagDaily)) - 0.5)
	return 10.5 + 9.5*season + 3.5*hour + weather
}

// consumption is in kWh per 100 km, one figure a day.
func (l *life) consumption(day int64) float64 {
	cold := max(0, 15-l.outside(dayStart(day)+8*3600))
	return l.spec.kWhPer100 * (1 + 0.011*cold)
}

// trip is a wish of the driver: where to, not before when, after which stay.
type trip struct {
	from, to role
	leave    float64 // local hour before which it does not begin
	stay     int64   // seconds to stay at from, at least
}

const maxTrips = 6

// trips returns what the driver wants to do on a day, a pure function of it.
func (l *life) trips(day int64, dst *[maxTrips]trip) []trip {
	rnd := random(mix(l.seed, uint64(day), tagTrips))
	ts := dst[:0]
	there := func(to role, leave, back float64, stay int64) {
		ts = append(ts, trip{home, to, leave, 0}, trip{to, home, back, stay})
	}
	switch wd := weekday(day); {
	case wd < 5 && rnd.chance(l.office):
		back := l.leave + rnd.between(8, 9.8)
		ts = append(ts, trip{home, work, l.leave + rnd.between(-0.3, 0.4), 0})
		if rnd.chance(0.35) {
			ts = append(ts, trip{work, shop, back, 0}, trip{shop, home, 0, 1500 + int64(rnd.index(2000))})
		} else {
			ts = append(ts, trip{work, home, back, 0})
		}
		if rnd.chance(0.22) {
			there(gym, rnd.between(19, 19.6), 0, 3600+int64(rnd.index(1200)))
		}
	case wd < 5:
		if rnd.chance(0.6) {
			there(shop, rnd.between(10.5, 15), 0, 1500+int64(rnd.index(2400)))
		}
	case rnd.chance(l.outing * 0.7):
		to := outingA + role(rnd.index(2))
		if wd == 5 {
			there(to, rnd.between(8.5, 10), rnd.between(16, 17.5), 0)
		} else {
			there(to, rnd.between(8.5, 9.5), rnd.between(14, 15), 0)
		}
	default:
		if wd == 5 && rnd.chance(0.65) {
			there(shop, rnd.between(9.5, 12), 0, 2400+int64(rnd.index(2400)))
		}
		if rnd.chance(0.4) {
			there(friends, rnd.between(14, 15.5), 0, 7200+int64(rnd.index(5400)))
		}
	}
	return ts
}

// driven is the day's distance and the part of it on fuel, in km.
func (l *life) driven(day int64) (km, onFuel float64) {
	var buf [maxTrips]trip
	for _, t := range l.trips(day, &buf) {
		km += l.km[t.from][t.to]
	}
	switch {
	case l.spec.tankL == 0:
		return km, 0
	case l.spec.batteryKWh == 0:
		return km, km
	}
	electric := (100 - l.spec.floor) * l.spec.batteryKWh / l.consumption(day)
	return km, max(0, km-electric)
}

// fuelPercent follows the way driven on fuel: a full tank falls to an eighth,
// then the driver refuels.
func (l *life) fuelPercent(onFuel float64) float64 {
	if l.spec.tankL == 0 {
		return 0
	}
	used := math.Mod(onFuel, l.refuelKm())
	return 100 * (1 - used/l.tankKm())
}

func (l *life) tankKm() float64   { return l.spec.tankL / l.spec.lPer100 * 100 }
func (l *life) refuelKm() float64 { return 0.87 * l.tankKm() }

func digits(n int) string { return strconv.Itoa(n) }
