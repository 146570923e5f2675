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

func TestBatteryStaysWithinBoundsAndMondaysBeginCharged(t *testing.T) {
	for m, index := range eachCar {
		t.Run(carName(m, index), func(t *testing.T) {
			cfg := config(m, index, monday)
			l := newLife(&cfg)
			if l.spec.batteryKWh == 0 {
				return // nothing to follow
			}
			s := l.stateAt(dayOf(monday.Unix()))
			var p planner
			for range 70 {
				sunday := weekday(s.day) == 6
				p.plan(l, &s)
				for i := range p.acts {
					a := &p.acts[i]
					if a.soc < 5 || a.soc > 100 || a.socEnd < 5 || a.socEnd > 100 {
						t.Fatalf("day %d: battery goes from %v to %v", s.day-1, a.soc, a.socEnd)
					}
					if i > 0 && a.start <= p.acts[i-1].end {
						t.Fatalf("day %d: activities overlap", s.day-1)
					}
				}
				if sunday && math.Abs(p.soc-l.target) > 0.01 {
					t.Fatalf("Sunday ends with %v %%, want %v", p.soc, l.target)
				}
			}
		})
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
