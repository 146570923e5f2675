package dataset

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

func TestRowsEqualInfluxDBsPointsByCountAndValue(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter()
	sum := w.run(e, export.Selection{})
	want, got := w.stored(), map[string]any{}
	for _, r := range rows(t, w.root, "readings") {
		key := fmt.Sprint(r["vin"], " ", r["descriptor"], " ", r["time"])
		if _, twice := got[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		got[key] = nil
		for _, kind := range []string{"number", "bool", "text"} {
			if v, ok := r[kind]; ok {
				got[key] = v
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d rows, InfluxDB has %d points, or their values differ", len(got), len(want))
	}
	if sum.Files == 0 || sum.Rows == 0 {
		t.Errorf("summary %+v", sum)
	}
	if r := w.verified(e); r.DaysCounted != 3 || r.Files != sum.Files {
		t.Errorf("verify looked at %+v, want 3 days and %d files", r, sum.Files)
	}
}

func TestWideHasAColumnForEachDescriptorAndLosesNoMisfit(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.run(w.exporter(), export.Selection{})
	counts := map[string]int{}
	var misfit, strange any
	for _, r := range rows(t, w.root, "wide") {
		for column := range r {
			counts[column]++
		}
		if v, ok := r[string(soc)+"__text"]; ok {
			misfit = v
		}
		if v, ok := r[string(unknown)+"__text"]; ok {
			strange = v
		}
	}
	const vehicleDays, each = 7, 206 // a value each 7 minutes
	for _, d := range []schema.Descriptor{mileage, trunk, status} {
		if counts[string(d)] != vehicleDays*each {
			t.Errorf("%d values of %s, want %d", counts[string(d)], d, vehicleDays*each)
		}
	}
	if misfit != "not a number" || strange != "two\nlines, \"quoted\" 🚗" || counts[string(unknown)+"__number"] != vehicleDays {
		t.Errorf("misfit %q, unknown key %q, %d numbers of it", misfit, strange, counts[string(unknown)+"__number"])
	}
}

func TestPositionsPairWhatWasMeasuredTogether(t *testing.T) {
	w := newWorld(t)
	w.store(threeDays()...)
	// Midnight stands between this latitude and its longitude.
	w.store(number(carA, latitude, day(2).Add(-time.Millisecond), 50), number(carA, longitude, day(2).Add(time.Millisecond), 12))
	w.run(w.exporter(), export.Selection{})
	list := rows(t, w.root, "positions")
	found := false
	for _, r := range list {
		found = found || r["latitude"] == 50.0 && r["longitude"] == 12.0 && r["time"].(time.Time).Equal(day(2).Add(-time.Millisecond))
	}
	if want := 7*206 + 1; len(list) != want || !found {
		t.Errorf("%d positions, want %d; across midnight: %t", len(list), want, found)
	}
}

func TestSessionsAndBlocksHaveUTCAndLocalTime(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.run(w.exporter(), export.Selection{})
	start := session(carA).Start
	sessions, blocks := rows(t, w.root, "charging_sessions"), rows(t, w.root, "charging_blocks")
	if len(sessions) != 2 || len(blocks) != 6 {
		t.Fatalf("%d sessions, %d blocks, want 2 and 6", len(sessions), len(blocks))
	}
	s := sessions[0]
	if !s["start"].(time.Time).Equal(start) || !s["start_local"].(time.Time).Equal(start.Add(2*time.Hour)) || s["grid_kwh"] != 18.25 || s["address"] != "Example Road 1" {
		t.Errorf("session %v", s)
	}
	for _, b := range blocks { // the later ones begin on the day after the session's
		if !b["session"].(time.Time).Equal(start) || !b["start_local"].(time.Time).Equal(b["start"].(time.Time).Add(2*time.Hour)) {
			t.Errorf("block %v", b)
		}
	}
}

func TestALaterVersionTakesBlocksAwayFromTheNextDay(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter()
	w.run(e, export.Selection{})
	later := session(carA)
	later.Blocks, later.Fetched = later.Blocks[:1], later.Fetched.Add(time.Hour)
	if err := influx.NewSessionSink(w.db).Write(t.Context(), []schema.ChargingSession{later}); err != nil {
		t.Fatal(err)
	}
	w.run(e, export.Selection{})
	count := map[any]int{}
	for _, b := range rows(t, w.root, "charging_blocks") {
		count[b["vin"]]++
	}
	if count[string(carA)] != 1 || count[string(carB)] != 3 {
		t.Errorf("blocks %v, want 1 and 3", count)
	}
}

func TestGapsVehiclesAndCatalogueAreThere(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.run(w.exporter(), export.Selection{})
	vins := map[any]int{}
	for _, g := range rows(t, w.root, "gaps") {
		vins[g["vin"]]++
		if g["gcid"] != string(gcid) || g["seconds"] != 3600.0 {
			t.Errorf("gap %v", g)
		}
	}
	if want := map[any]int{string(carA): 1, string(carB): 1, nil: 1}; !maps.Equal(vins, want) {
		t.Errorf("gaps of %v, want %v", vins, want)
	}
	facts := map[any]any{}
	for _, f := range rows(t, w.root, "vehicles") {
		facts[f["fact"]] = f["text"]
		if n, ok := f["number"]; ok {
			facts[f["fact"]] = n
		}
	}
	if want := map[any]any{"model_name": "i4", "number_of_doors": 5.0}; !maps.Equal(facts, want) {
		t.Errorf("facts %v, want %v", facts, want)
	}
	if n := len(rows(t, w.root, "catalogue")); n != schema.Default().Len() {
		t.Errorf("%d rows of catalogue, want %d", n, schema.Default().Len())
	}
}

func TestEqualInputGivesEqualBytes(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter()
	w.run(e, export.Selection{})
	first := files(t, w.root)
	sum := w.run(e, export.Selection{Again: true})
	if sum.Files != 0 || sum.Same == 0 || !maps.Equal(files(t, w.root), first) {
		t.Errorf("made again: %+v, or the bytes differ", sum)
	}
	other := filepath.Join(t.TempDir(), "other")
	w.run(w.exporter(func(c *export.Config) { c.ExportTarget = other }), export.Selection{})
	if !maps.Equal(files(t, other), first) {
		t.Error("a second target has other bytes")
	}
	if sum := w.run(e, export.Selection{}); sum.Steps != 0 {
		t.Errorf("nothing changed, and %d days were made", sum.Steps)
	}
}

func TestOnlyDaysThatChangedAreMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter()
	w.run(e, export.Selection{})
	before := files(t, w.root)
	late := number(carB, soc, day(0).Add(11*time.Hour+11*time.Minute), 77.25)
	w.store(late)
	sum, err := e.Run(t.Context(), export.Selection{DryRun: true})
	if err != nil || len(sum.Planned) != 1 || sum.Planned[0].Day != "2026-06-01" || !maps.Equal(before, files(t, w.root)) {
		t.Errorf("dry run: %+v, %v", sum, err)
	}
	w.run(e, export.Selection{})
	for path, hash := range files(t, w.root) {
		changed := hash != before[path]
		may := path == "_manifest.json" || strings.Contains(path, "2026-06-01")
		if changed && !may {
			t.Errorf("%s is made anew", path)
		}
	}
	found := false
	for _, r := range rows(t, w.root, "readings") {
		found = found || r["number"] == 77.25
	}
	if !found {
		t.Error("the late reading is not there")
	}
	w.verified(e)
}

func TestTheRangeIsKept(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter()
	w.run(e, export.Selection{From: day(1), To: day(2), Tables: []string{"readings"}})
	for path := range files(t, w.root) {
		if strings.HasSuffix(path, ".parquet") && path != "readings/date=2026-06-02/part-0.parquet" {
			t.Errorf("%s was not asked for", path)
		}
	}
	if n := len(rows(t, w.root, "readings")); n == 0 {
		t.Error("the day asked for is not there")
	}
}

func TestErasedVehiclesGo(t *testing.T) {
	for name, vinLevel := range map[string]bool{"a file for all": false, "a file for each": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			e := w.exporter(func(c *export.Config) { c.ExportVINLevel = vinLevel })
			w.run(e, export.Selection{})
			w.erase("reading", "day", "position", "gap", "vehicle", "charging_session", "charging_block")
			w.run(e, export.Selection{From: day(0), To: day(3), Prune: true})
			for path := range files(t, w.root) {
				if strings.Contains(path, string(carA)) {
					t.Errorf("%s is still there", path)
				}
			}
			for _, table := range []string{"readings", "wide", "positions", "gaps", "vehicles", "charging_sessions", "charging_blocks"} {
				for _, r := range rows(t, w.root, table) {
					if r["vin"] == string(carA) {
						t.Fatalf("%s still has a row of it", table)
					}
				}
			}
			w.verified(e)
		})
	}
}

// erase deletes car A from measurements.
func (w *world) erase(measurements ...string) {
	w.t.Helper()
	for _, m := range measurements {
		w.remove(m, carA, day(400))
	}
}

// remove deletes a car's points, or those of all with an empty vin, before a moment.
func (w *world) remove(measurement string, vin schema.VIN, before time.Time) {
	w.t.Helper()
	if store.Org != "" {
		predicate := fmt.Sprintf(`_measurement=%q`, measurement)
		if vin != "" {
			predicate += fmt.Sprintf(` AND vin=%q`, vin)
		}
		body := fmt.Sprintf(`{"start":"2000-01-01T00:00:00Z","stop":%q,"predicate":%q}`, before.Add(-time.Nanosecond).Format(time.RFC3339Nano), predicate)
		call2(w.t, http.MethodPost, "/api/v2/delete?"+url.Values{"org": {store.Org}, "bucket": {w.database}}.Encode(), body, nil)
		return
	}
	q := fmt.Sprintf("DELETE FROM %s WHERE time < %d", influx.QuoteIdent(measurement), before.UnixNano())
	if vin != "" {
		q += ` AND "vin" = ` + influx.QuoteText(string(vin))
	}
	if err := w.db.Query(w.t.Context(), q, func(influx.Row) error { return nil }); err != nil {
		w.t.Fatal(err)
	}
}

func TestWhatRetentionTookStaysUntilPruned(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter()
	w.run(e, export.Selection{})
	before := files(t, w.root)
	for _, m := range []string{"reading", "day", "position"} {
		w.remove(m, "", day(1))
	}
	w.run(e, export.Selection{})
	if !maps.Equal(files(t, w.root), before) {
		t.Error("a run changed what InfluxDB let go")
	}
	w.run(e, export.Selection{From: day(0), To: day(1), Prune: true})
	if _, err := os.Stat(filepath.Join(w.root, "readings", "date=2026-06-01")); !os.IsNotExist(err) {
		t.Errorf("pruned day: %v", err)
	}
	if _, err := os.Stat(filepath.Join(w.root, "readings", "date=2026-06-02", "part-0.parquet")); err != nil {
		t.Error(err)
	}
}

func TestVehiclesMayBeChosenWithTheirOwnLevel(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter(func(c *export.Config) { c.ExportVINLevel = true })
	w.run(e, export.Selection{VINs: []schema.VIN{carB}})
	for path := range files(t, w.root) {
		if strings.Contains(path, "vin=") && !strings.Contains(path, string(carB)) {
			t.Errorf("%s was not asked for", path)
		}
	}
	w.run(e, export.Selection{})
	w.verified(e)
	if got, want := len(rows(t, w.root, "readings")), len(w.stored()); got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
}

func TestADatasetMayBeOfSomeVehicles(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter()
	some := export.Selection{VINs: []schema.VIN{carC, carA}}
	w.run(e, some)
	if sum := w.run(e, some); sum.Steps != 0 {
		t.Errorf("nothing changed, and %d days were made", sum.Steps)
	}
	vins := map[any]bool{}
	for _, table := range []string{"readings", "wide", "positions", "charging_sessions", "gaps"} {
		for _, r := range rows(t, w.root, table) {
			vins[r["vin"]] = true
		}
	}
	if want := map[any]bool{string(carA): true, string(carC): true}; !maps.Equal(vins, want) {
		t.Errorf("rows of %v, want %v", vins, want)
	}
	if r := w.verified(e); r.DaysCounted != 3 {
		t.Errorf("verify counted %d days, want 3", r.DaysCounted)
	}
	// Another choice would throw rows away.
	for name, sel := range map[string]export.Selection{"all": {}, "another": {VINs: []schema.VIN{carB}}} {
		if _, err := e.Run(t.Context(), sel); exit.Code(err) != exit.Usage || !strings.Contains(err.Error(), "choice of vehicles") {
			t.Errorf("%s: run = %v", name, err)
		}
	}
}

func TestPseudonymousHoldsNoVINGCIDOrPlaceAnywhere(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter(func(c *export.Config) {
		c.ExportProfile, c.ExportKey = "pseudonymous", "a key of sixteen bytes or more"
	})
	w.run(e, export.Selection{})
	w.verified(e)
	secrets := []string{string(carA), string(carB), string(carC), string(gcid), "Example Road", "Sampletown"}
	err := filepath.WalkDir(w.root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, s := range secrets {
			if strings.Contains(path, s) || strings.Contains(string(b), s) {
				t.Errorf("%s holds %q", path, s)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[any]bool{}
	for _, r := range rows(t, w.root, "readings") {
		tokens[r["vin"]] = true
		if d := r["descriptor"]; d == string(latitude) || d == string(longitude) {
			t.Fatalf("a reading of %v", d)
		}
	}
	if len(tokens) != 3 || len(rows(t, w.root, "positions")) != 0 {
		t.Errorf("tokens %v, and %d positions", tokens, len(rows(t, w.root, "positions")))
	}
}
