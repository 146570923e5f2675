package export

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

func defaults(t *testing.T) Config {
	t.Helper()
	var c Config
	if err := env.Defaults(&c); err != nil {
		t.Fatal(err)
	}
	c.InfluxURL = "http://127.0.0.1:8086"
	return c
}

func TestConfigNamesEveryFaultAtOnce(t *testing.T) {
	c := defaults(t)
	if err := c.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	c.InfluxURL, c.ExportTarget, c.ExportTables, c.ExportProfile = "ftp://x", "", "readings,trips", "pseudonymous"
	c.ExportKey, c.ExportPositions, c.ExportZones, c.ExportParallel, c.ExportEvery = "short", "5", "48.1,11.5", 99, time.Second
	err := c.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"CARDATA_INFLUX_URL", "CARDATA_EXPORT_TARGET", "no table trips", "needs 16 or more", "0 to 3", "CARDATA_EXPORT_ZONES", "CARDATA_EXPORT_PARALLEL",
		"CARDATA_EXPORT_EVERY",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("faults lack %q:\n%v", want, err)
		}
	}
	for _, secret := range []string{"short", "48.1"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("faults show %q:\n%v", secret, err)
		}
	}
}

func TestRoundedPositionsNeedZonesOrAWord(t *testing.T) {
	for zones, ok := range map[string]bool{"": false, "none": true, "48.1,11.5,300": true, "48.1,11.5,300; 52,13,500": true, "48.1,11.5": false, "a,b,c": false} {
		c := defaults(t)
		c.ExportProfile, c.ExportKey, c.ExportPositions, c.ExportZones = "pseudonymous", "a key of sixteen bytes", "2", zones
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("zones %q: %v", zones, err)
		}
	}
}

func TestTablesComeInTheirOrderAndOnce(t *testing.T) {
	for text, want := range map[string][]string{
		"":                         parquet.TableNames(),
		"all":                      parquet.TableNames(),
		"gaps, Readings ,readings": {"readings", "gaps"},
	} {
		if got, err := ParseTables(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseTables(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestDigestTellsEveryMark(t *testing.T) {
	e := &Export{cfg: defaults(t)}
	table, _ := parquet.TableByName(parquet.TablePositions)
	day := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	marks := func(readings, positions int64) map[string]dayMarks {
		return map[string]dayMarks{
			"readings":  {day: {"WBY00000000000001": readings, "WBY00000000000002": 7}},
			"positions": {day: {"WBY00000000000001": positions}},
		}
	}
	seen := map[string]bool{}
	for _, m := range []map[string]dayMarks{marks(1, 2), marks(2, 1), marks(1, 3), {"readings": {}}} {
		digests := e.touched(&table, day, m)
		if len(digests) != 1 || seen[digests[""]] {
			t.Errorf("digests %v, want one that is new", digests)
		}
		seen[digests[""]] = true
	}
	again := e.touched(&table, day, marks(1, 2))
	if !seen[again[""]] {
		t.Error("equal marks give another digest")
	}
	e.cfg.ExportKey = "another key"
	if keyed := e.touched(&table, day, marks(1, 2)); keyed[""] == again[""] {
		t.Error("the digest does not depend on the key")
	}
	e.cfg.ExportVINLevel = true
	if each := e.touched(&table, day, marks(1, 2)); len(each) != 2 || each["WBY00000000000001"] == each[schema.VIN("WBY00000000000002")] {
		t.Errorf("with the level vin: %v", each)
	}
}

func TestBundlesFeedEveryLane(t *testing.T) {
	e := &Export{cfg: defaults(t), dataset: parquet.Config{Profile: parquet.Profile{Name: parquet.Full}}}
	vins := make([]schema.VIN, 100)
	if n := len(e.bundles(vins)); n != 7 {
		t.Errorf("100 vehicles in %d bundles, want 7", n)
	}
	if n := len(e.bundles(vins[:5])); n != 5 {
		t.Errorf("5 vehicles in %d bundles, want 5", n)
	}
	e.dataset.Profile.Name = parquet.Pseudonymous
	if n := len(e.bundles(vins)); n != 100 {
		t.Errorf("under tokens %d bundles, want one each", n)
	}
}
