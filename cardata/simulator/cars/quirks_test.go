package cars

import (
	"math"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// identity is what a store tells readings apart by.
type identity struct {
	descriptor schema.Descriptor
	measured   time.Time
}

// feed is what a fleet sent in a week, counted from outside.
type feed struct {
	all, repeats, late, null, revised float64
}

func observe(t *testing.T, quirks Quirks) feed {
	t.Helper()
	var f feed
	for index, m := range allModels {
		cfg := config(m, index, monday)
		cfg.Quirks = quirks
		values := map[identity]schema.Value{}
		for _, e := range until(New(cfg), monday.AddDate(0, 0, 7)) {
			f.all++
			id := identity{e.Descriptor, e.Measured}
			before, seen := values[id]
			same := seen && before == e.Truth || !seen && e.Duplicate && e.Measured.Before(monday) // its first was not watched
			if e.Duplicate != same {
				t.Fatalf("%s at %v: duplicate says %v, seen %v as %+v, now %+v", e.Descriptor, e.Measured, e.Duplicate, seen, before, e.Truth)
			}
			switch {
			case same:
				f.repeats++
			case seen:
				f.revised++
			case e.Sent.Sub(e.Measured) > 4*time.Minute:
				f.late++
			}
			if e.Truth.Kind == schema.KindNull {
				f.null++
			}
			values[id] = e.Truth
		}
	}
	return f
}

func TestQuirksKeepTheirRates(t *testing.T) {
	tests := map[string]Quirks{
		"by default the feed is as captured": DefaultQuirks(),
		"many of each":                       {Duplicate: 0.2, OldMeasurement: 0.1, Null: 0.1, Revised: 0.05},
		"more repeats than news":             {Duplicate: 0.7, Null: 0.01},
	}
	for name, q := range tests {
		t.Run(name, func(t *testing.T) {
			f := observe(t, q)
			near := func(what string, got, want, tolerance float64) {
				t.Helper()
				t.Logf("%s: %.5f, wanted %.5f", what, got, want)
				if math.Abs(got-want) > tolerance {
					t.Errorf("%s: %.5f, want %.5f ± %.5f", what, got, want, tolerance)
				}
			}
			news := f.all - f.repeats
			near("repeats", f.repeats/f.all, q.Duplicate, 0.02)
			near("late", f.late/news, q.OldMeasurement, 0.1*q.OldMeasurement+0.002)
			near("null", f.null/f.all, q.Null, 0.15*q.Null+0.0005)
			near("revised", f.revised/news, q.Revised, 0.3*q.Revised+0.0003)
		})
	}
}

func TestWithoutQuirksEachReadingComesOnce(t *testing.T) {
	f := observe(t, Quirks{})
	f.all = 0
	if (f != feed{}) {
		t.Errorf("repeats, late, null, revised: %+v, want none", f)
	}
}

func TestOutlierIsFarAndShort(t *testing.T) {
	cfg := config(BEV, 0, monday)
	cfg.Quirks = Quirks{Outlier: 0.2}
	var last, away time.Time
	var lat float64
	n := 0
	for _, e := range until(New(cfg), monday.AddDate(0, 0, 3)) {
		if !endsIn(&e, "currentLocation.latitude") {
			continue
		}
		if !last.IsZero() {
			switch jump := e.Truth.Number - lat; {
			case jump > 1.5:
				n++
				away = e.Measured
			case jump < -1.5:
				if d := e.Measured.Sub(away); d < 11*time.Second || d > 13*time.Second {
					t.Errorf("back after %v, want 12 s", d)
				}
			}
		}
		last, lat = e.Measured, e.Truth.Number
	}
	if n == 0 {
		t.Error("no outlier in three days")
	}
}

func TestPositionsComeInPairs(t *testing.T) {
	cfg := config(NK, 0, monday)
	cfg.Quirks = Quirks{}
	var lat []time.Time
	together, apart, i := 0, 0, 0
	for _, e := range until(New(cfg), monday.AddDate(0, 0, 14)) {
		switch {
		case endsIn(&e, "currentLocation.latitude"):
			lat = append(lat, e.Measured)
		case endsIn(&e, "currentLocation.longitude"):
			switch d := e.Measured.Sub(lat[i]); d {
			case 0:
				together++
			case time.Second:
				apart++
			default:
				t.Fatalf("latitude and longitude %v apart", d)
			}
			i++
		}
	}
	if share := float64(together) / float64(together+apart); share < 0.52 || share > 0.68 {
		t.Errorf("%.2f of %d positions at one second, want 0.6", share, together+apart)
	}
}

func TestPositionFollowsTheRoad(t *testing.T) {
	cfg := config(BEV, 0, monday)
	l := newLife(&cfg)
	for a := range roles {
		for b := range roles {
			if a == b {
				continue
			}
			var there, back route
			there.lay(l.seed, &l.places, a, b)
			back.lay(l.seed, &l.places, b, a)
			lat, lon, _ := there.at(0)
			if p := l.places[a]; distance(lat, lon, p.lat, p.lon) > 0.001 {
				t.Errorf("road %d-%d begins %v km off", a, b, distance(lat, lon, p.lat, p.lon))
			}
			lat, lon, _ = there.at(there.length() * 0.3)
			lat2, lon2, _ := back.at(back.length() * 0.7)
			if d := distance(lat, lon, lat2, lon2); d > 0.05 {
				t.Errorf("road %d-%d differs by %v km on the way back", a, b, d)
			}
		}
	}
}

func TestTripFiguresComeAgainWithTheirOldTime(t *testing.T) {
	n := 0
	for _, e := range until(New(config(BEV, 0, monday)), monday.AddDate(0, 0, 7)) {
		if endsIn(&e, "trip.segment.end.travelledDistance") && e.Duplicate && e.Sent.Sub(e.Measured) > time.Hour {
			n++
		}
	}
	if n == 0 {
		t.Error("no repeat of a trip's end hours later")
	}
}
