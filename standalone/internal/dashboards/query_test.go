package dashboards

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
)

// TestEveryQueryFindsWhatItsPanelShows asks each InfluxDB for all panels, with the
// variables as a person would set them.
func TestEveryQueryFindsWhatItsPanelShows(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the whole pipeline")
	}
	w := filled(t)
	want := expected()
	all := queries(t)
	for name := range want {
		if all[name] == "" {
			t.Errorf("%s is expected, but no panel asks it", name)
		}
	}
	for _, s := range w.stores {
		for name, query := range all {
			columns, known := want[name]
			if !known {
				t.Errorf("%s: say in expected what it must find", name)
				continue
			}
			t.Run(s.name+"/"+name, func(t *testing.T) { w.check(t, s, name, query, columns) })
		}
		t.Run(s.name+"/state of charge of each drive", func(t *testing.T) { w.checkStateOfCharge(t, s, all["Vehicle Live/State of charge/A"]) })
	}
	t.Run("metrics", func(t *testing.T) { w.checkMetrics(t) })
}

// views gives what may be chosen: on the dashboard of one car each car in turn,
// else all and two of them.
func (w *world) views(dashboard string) []view {
	days := 30 * 24 * time.Hour
	if dashboard == "Vehicle Live" || dashboard == "Gaps and Duplicates" {
		days = history
	}
	to := time.Now()
	each := w.vins()
	if dashboard != "Vehicle Live" {
		each = []string{".*", "(" + strings.Join(each, "|") + ")"}
	}
	all := make([]view, len(each))
	for i, vin := range each {
		all[i] = view{from: to.Add(-days), to: to, vin: vin}
	}
	return all
}

// check demands a value of its kind for each column. Not every car has what one
// asks of a single car; with several, every choice must find it.
func (w *world) check(t *testing.T, s *store, name, query string, want columns) {
	t.Helper()
	dashboard, _, _ := strings.Cut(name, "/")
	together := dashboard == "Vehicle Live"
	found := columns{}
	rows := 0
	for _, v := range w.views(dashboard) {
		if !together {
			found, rows = columns{}, 0
		}
		filled := v.fill(query)
		series, err := s.ask(t, filled)
		if err != nil {
			t.Fatalf("%v\n%s", err, filled)
		}
		for _, one := range series {
			rows += len(one.Values)
			note(found, one)
		}
		if !together {
			complain(t, want, found, rows, filled)
		}
	}
	if together {
		complain(t, want, found, rows, query)
	}
}

// note adds the kinds of the values that are not null.
func note(found columns, a answer) {
	for _, row := range a.Values {
		for i, v := range row {
			switch v.(type) {
			case float64:
				found[a.Columns[i]] = number
			case bool:
				found[a.Columns[i]] = truth
			case string:
				found[a.Columns[i]] = text
			}
		}
	}
}

func complain(t *testing.T, want, found columns, rows int, query string) {
	t.Helper()
	if rows == 0 {
		t.Errorf("no rows\n%s", query)
	}
	for column, kind := range want {
		if found[column] != kind {
			t.Errorf("column %s: got %q, want a %s\n%s", column, found[column], kind, query)
		}
	}
}

// checkStateOfCharge wants one for every car with a plug, though Neue Klasse cars
// send it by a key of their own, and none for a car without.
func (w *world) checkStateOfCharge(t *testing.T, s *store, query string) {
	t.Helper()
	for _, model := range []cars.Model{cars.BEV, cars.NK, cars.PHEV, cars.I3, cars.ICE} {
		for _, vin := range w.vins(model) {
			series, err := s.ask(t, view{from: time.Now().Add(-history), to: time.Now(), vin: vin}.fill(query))
			if err != nil {
				t.Fatal(err)
			}
			if has := len(series) > 0; has != (model != cars.ICE) {
				t.Errorf("a %s has a state of charge: %v", model, has)
			}
		}
	}
	if len(w.vins(cars.NK)) == 0 || len(w.vins(cars.BEV)) == 0 {
		t.Errorf("the simulator has no car of both kinds: %v", w.sim.Accounts()[0].Models)
	}
}

// checkMetrics finds every metric of every PromQL query among those that ingest,
// sink and backfill export.
func (w *world) checkMetrics(t *testing.T) {
	t.Helper()
	exported := w.exported()
	name := regexp.MustCompile(`\b(?:cardata|process|go)_\w+`)
	asked := 0
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				for _, metric := range name.FindAllString(q.Expr, -1) {
					asked++
					if !exported[metric] {
						t.Errorf("%s/%s asks for %s, which no process exports", d.Title, p.Title, metric)
					}
				}
			}
		}
	}
	if asked == 0 {
		t.Errorf("no metric is asked for; %d are exported", len(exported))
	}
}
