package cars

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

var (
	allModels = []Model{ICE, PHEV, BEV, NK, I3}
	monday    = time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)
)

const gcid = schema.GCID("00000000-0000-4000-8000-000000000001")

// config describes car number index of a fleet of one model.
func config(m Model, index int, start time.Time) Config {
	return Config{Seed: 7, VIN: VIN(1, index), Model: m, Start: start, Quirks: DefaultQuirks()}
}

// until collects what a car sends before end.
func until(c *Car, end time.Time) []Emission {
	var es []Emission
	for {
		e := c.Next()
		if !e.Due.Before(end) {
			return es
		}
		es = append(es, e)
	}
}

func equal(a, b *Emission) bool {
	return a.Due.Equal(b.Due) && a.Sent.Equal(b.Sent) && a.Measured.Equal(b.Measured) && a.VIN == b.VIN &&
		a.Descriptor == b.Descriptor && bytes.Equal(a.Wire, b.Wire) && a.Unit == b.Unit && a.HasUnit == b.HasUnit &&
		a.Truth == b.Truth && a.TruthUnit == b.TruthUnit && a.Duplicate == b.Duplicate
}

// eachCar ranges over every model, on the continent and in the United Kingdom.
func eachCar(yield func(m Model, index int) bool) {
	for _, m := range allModels {
		if !yield(m, 0) || !yield(m, 4) {
			return
		}
	}
}

func carName(m Model, index int) string { return fmt.Sprintf("%s %d", m, index) }

func TestSameSeedGivesSameMessages(t *testing.T) {
	for m, index := range eachCar {
		t.Run(carName(m, index), func(t *testing.T) {
			a, b := New(config(m, index, monday)), New(config(m, index, monday))
			for i := range 20_000 {
				x, y := a.Next(), b.Next()
				if !equal(&x, &y) {
					t.Fatalf("message %d differs:\n%+v\n%+v", i, x, y)
				}
			}
		})
	}
}

func TestOtherSeedOrVINGivesOtherLife(t *testing.T) {
	base := config(BEV, 0, monday)
	seed, vin := base, base
	seed.Seed++
	vin.VIN = VIN(1, 6)
	for name, other := range map[string]Config{"seed": seed, "VIN": vin} {
		if newLife(&base).places == newLife(&other).places {
			t.Errorf("another %s lives at the same places", name)
		}
	}
}

func TestCarBegunLaterSendsTheSame(t *testing.T) {
	starts := map[string]time.Duration{
		"at midnight of a later day": 3 * 24 * time.Hour,
		"in the next week":           8 * 24 * time.Hour,
		"in the middle of a day":     4*24*time.Hour + 16*time.Hour + 21*time.Minute,
		"in the evening":             2*24*time.Hour + 20*time.Hour,
	}
	for m, index := range eachCar {
		t.Run(carName(m, index), func(t *testing.T) {
			for name, after := range starts {
				start := monday.Add(after)
				long, late := New(config(m, index, monday)), New(config(m, index, start))
				e := long.Next()
				for e.Due.Before(start) {
					e = long.Next()
				}
				for i := range 15_000 {
					x := late.Next()
					if !equal(&e, &x) {
						t.Fatalf("%s: message %d differs:\nlong %+v\nlate %+v", name, i, e, x)
					}
					e = long.Next()
				}
			}
		})
	}
}

func TestTimesOfMessages(t *testing.T) {
	for m, index := range eachCar {
		t.Run(carName(m, index), func(t *testing.T) {
			var last time.Time
			for _, e := range until(New(config(m, index, monday)), monday.AddDate(0, 0, 7)) {
				switch late := e.Due.Sub(e.Sent); {
				case e.Due.Before(last) || e.Due.Before(monday):
					t.Fatalf("due %v after %v", e.Due, last)
				case late < 1600*time.Millisecond || late > 5500*time.Millisecond:
					t.Fatalf("latency %v", late)
				case e.Measured.Nanosecond() != 0 || e.Measured.After(e.Sent):
					t.Fatalf("measured %v, sent %v", e.Measured, e.Sent)
				case e.Sent.Nanosecond()%1e6 != 0 || e.Sent.Location() != time.UTC || e.Measured.Location() != time.UTC:
					t.Fatalf("sent %v, measured %v: want UTC, milliseconds", e.Sent, e.Measured)
				}
				last = e.Due
			}
		})
	}
}

func TestWakingIsOneBurstUnderOneEnvelope(t *testing.T) {
	c := New(config(BEV, 0, monday))
	biggest := 0
	for sent, n := range countBySent(until(c, monday.AddDate(0, 0, 1))) {
		biggest = max(biggest, n)
		if n > 200 {
			t.Errorf("%d messages sent at %v", n, sent)
		}
	}
	if biggest < 60 {
		t.Errorf("biggest burst has %d messages, want about 80", biggest)
	}
}

func countBySent(es []Emission) map[time.Time]int {
	n := map[time.Time]int{}
	for i := range es {
		n[es[i].Sent]++
	}
	return n
}

func TestMileageGrowsByTheWayDriven(t *testing.T) {
	for m, index := range eachCar {
		t.Run(carName(m, index), func(t *testing.T) {
			cfg := config(m, index, monday)
			cfg.Quirks = Quirks{}
			end := monday.AddDate(0, 0, 7)
			var low, high float64
			for _, e := range until(New(cfg), end) {
				if e.Descriptor != "vehicle.vehicle.travelledDistance" {
					continue
				}
				km := e.Truth.Number
				if km < high {
					t.Fatalf("mileage falls from %v to %v at %v", high, km, e.Measured)
				}
				if low == 0 {
					low = km
				}
				high = km
			}
			l := newLife(&cfg)
			want := 0.0
			for d := dayOf(monday.Unix()) + 1; d <= dayOf(end.Unix()); d++ {
				km, _ := l.driven(d)
				want += km
			}
			if got := high - low; math.Abs(got-want) > 2 || want < 20 {
				t.Errorf("drove %v km by the odometer, %v by the roads", got, want)
			}
		})
	}
}

func TestDaysAreWellFormed(t *testing.T) {
	for index := range 40 {
		cfg := config(allModels[index%len(allModels)], index, monday)
		l := newLife(&cfg)
		s := l.stateAt(dayOf(monday.Unix()))
		var p planner
		for range 26 * 7 {
			day := s.day
			p.plan(l, &s)
			checkDay(t, l, &p, day)
		}
	}
}

func checkDay(t *testing.T, l *life, p *planner, day int64) {
	t.Helper()
	at := dayStart(day)
	for i := range p.acts {
		a := &p.acts[i]
		if a.start <= at || a.end <= a.start || a.end >= dayStart(day+1)-600 {
			t.Fatalf("%s, day %d: activity %d from %d to %d after %d", l.model, day, i, a.start, a.end, at)
		}
		at = a.end
		if l.spec.batteryKWh > 0 && (a.soc < 5 || a.soc > 100.0001 || a.socEnd < 5 || a.socEnd > 100.0001) {
			t.Fatalf("%s, day %d: battery goes from %v to %v", l.model, day, a.soc, a.socEnd)
		}
		if fuel := l.fuelPercent(a.onFuel); l.spec.tankL > 0 && (fuel < 10 || fuel > 100) {
			t.Fatalf("%s, day %d: %v %% of fuel", l.model, day, fuel)
		}
	}
	if l.spec.batteryKWh > 0 && weekday(day) == 6 && math.Abs(p.soc-l.target) > 0.01 {
		t.Fatalf("%s: Sunday ends with %v %%, want %v", l.model, p.soc, l.target)
	}
}

func TestDensityOfMessages(t *testing.T) {
	for m, index := range eachCar {
		t.Run(carName(m, index), func(t *testing.T) {
			es := until(New(config(m, index, monday)), monday.AddDate(0, 0, 7))
			seen := map[schema.Descriptor]bool{}
			for i := range es {
				seen[es[i].Descriptor] = true
			}
			t.Logf("%d messages a day, %d descriptors", len(es)/7, len(seen))
			if n := len(seen); n < 65 || n > 95 {
				t.Errorf("%d descriptors, want about 75", n)
			}
			if n := len(es) / 7; n < 1000 || n > 15_000 {
				t.Errorf("%d messages a day", n)
			}
		})
	}
}

func TestParkedCarIsSilent(t *testing.T) {
	es := until(New(config(ICE, 0, monday)), monday.AddDate(0, 0, 7))
	silent := time.Duration(0)
	for i := 1; i < len(es); i++ {
		if pause := es[i].Due.Sub(es[i-1].Due); pause > time.Hour {
			silent += pause
		}
	}
	if silent < 5*24*time.Hour {
		t.Errorf("silent for %v of a week", silent)
	}
}

func BenchmarkNext(b *testing.B) {
	for _, m := range allModels {
		b.Run(string(m), func(b *testing.B) {
			c := New(config(m, 0, monday))
			b.ReportAllocs()
			for b.Loop() {
				c.Next()
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		New(config(ModelOf(i), i, monday))
		i++
	}
}

func BenchmarkAppendPayload(b *testing.B) {
	e := New(config(BEV, 0, monday)).Next()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendPayload(buf[:0], gcid, &e)
	}
	b.SetBytes(int64(len(buf)))
}

func TestAnyConfigurationRuns(t *testing.T) {
	tests := map[string]Config{
		"nothing given":          {},
		"unknown model":          {Model: "hovercraft", VIN: VIN(1, 1), Start: monday},
		"long before the epoch":  {Model: PHEV, VIN: VIN(1, 1), Start: time.Date(2019, 3, 1, 0, 0, 0, 0, time.UTC)},
		"decades ahead":          {Model: ICE, VIN: VIN(1, 2), Start: time.Date(2061, 3, 1, 0, 0, 0, 0, time.UTC)},
		"start in another zone":  {Model: BEV, VIN: VIN(1, 0), Start: monday.In(time.FixedZone("", 7200))},
		"all quirks at once":     {Model: NK, VIN: VIN(1, 3), Start: monday, Quirks: Quirks{1, 1, 1, 1, 1, 1, true}},
		"all messages revised":   {Model: NK, VIN: VIN(1, 3), Start: monday, Quirks: Quirks{Revised: 1}},
		"a hundred times busier": {Model: I3, VIN: VIN(1, 5), Start: monday, Busy: 100},
	}
	for name, cfg := range tests {
		t.Run(name, func(t *testing.T) {
			c := New(cfg)
			last := cfg.Start
			for range 30_000 {
				e := c.Next()
				if e.Due.Before(last) || len(e.Wire) == 0 || math.IsNaN(e.Truth.Number) || math.IsInf(e.Truth.Number, 0) {
					t.Fatalf("after %v: %+v", last, e)
				}
				last = e.Due
			}
		})
	}
}

func TestBusyMakesMoreMessages(t *testing.T) {
	calm, busy := config(BEV, 0, monday), config(BEV, 0, monday)
	busy.Busy = 5
	end := monday.AddDate(0, 0, 3)
	a, b := len(until(New(calm), end)), len(until(New(busy), end))
	if b < 2*a {
		t.Errorf("%d messages at five times the density of %d", b, a)
	}
	t.Logf("%d and %d messages a day", a/3, b/3)
}
