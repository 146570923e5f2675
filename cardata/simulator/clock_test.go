package simulator

import (
	"testing"
	"time"
)

// TestALaterRunKeepsTheTimesOfAFasterOne: the charging history tells of a
// session in the run after as in the run that streamed it.
func TestALaterRunKeepsTheTimesOfAFasterOne(t *testing.T) {
	day := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	first := clock{speed: 60, anchor: day}
	stopped := day.Add(time.Minute)
	second := clock{speed: 1, lead: first.leadAt(stopped), fast: first.spans(stopped), anchor: stopped.Add(time.Hour)}
	third := clock{speed: 10, lead: second.leadAt(day.Add(2 * time.Hour)), fast: second.spans(day.Add(2 * time.Hour)), anchor: day.Add(3 * time.Hour)}
	if len(second.fast) != 1 || len(third.fast) != 1 || second.lead != 59*time.Minute || third.lead != second.lead {
		t.Fatalf("remembered %v then %v, lead %v then %v; want one span and 59 min", second.fast, third.fast, second.lead, third.lead)
	}
	for car := day.Add(-time.Hour); car.Before(day.Add(time.Hour)); car = car.Add(7 * time.Second) {
		if want, got := first.real(car), second.real(car); !got.Equal(want) {
			t.Fatalf("%v: %v in the second run, %v in the first", car, got, want)
		}
		if want, got := first.real(car), third.real(car); !got.Equal(want) {
			t.Fatalf("%v: %v in the third run, %v in the first", car, got, want)
		}
	}
	for name, c := range map[string]*clock{"first": &first, "second": &second, "third": &third} {
		last := time.Time{}
		for at := day.Add(-time.Hour); at.Before(day.Add(5 * time.Hour)); at = at.Add(11 * time.Second) {
			car := at.Add(c.leadAt(at))
			if got := c.real(car); got.Sub(at).Abs() > time.Microsecond {
				t.Fatalf("%s: %v is %v of the cars' clock, which is %v", name, at, car, got)
			}
			if car.Before(last) {
				t.Fatalf("%s: the cars' clock runs back from %v to %v", name, last, car)
			}
			last = car
		}
	}
}
