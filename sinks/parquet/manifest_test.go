package parquet_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// exported gives a folder with two days.
func exported(t *testing.T) string {
	t.Helper()
	s := open(t, t.TempDir(), full)
	s.export(t, day, "a", dayOf(1, 2)...)
	s.export(t, day.Next(), "b", car{vin: vinB, readings: []schema.ReadingBlock{block(vinB, moving, day.Next().Start(), yes(true))}})
	s.close(t)
	return s.root
}

func edit(t *testing.T, root string, change func(manifest string) string) {
	t.Helper()
	name := filepath.Join(root, "_manifest.json")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	after := change(string(b))
	if after == string(b) {
		t.Fatal("the edit changed nothing")
	}
	if err := os.WriteFile(name, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedManifestIsAnErrorThatRebuildMends(t *testing.T) {
	for name, change := range map[string]func(m string) string{
		"cut":             func(m string) string { return m[:len(m)/2] },
		"empty":           func(string) string { return "" },
		"no JSON":         func(string) string { return "hello" },
		"a path changed":  func(m string) string { return strings.Replace(m, "readings/date=2026-11-24", "readings/date=today", 1) },
		"a path outside":  func(m string) string { return strings.Replace(m, "readings/date=2026-11-24", "../date=2026-11-24", 1) },
		"a hash cut":      func(m string) string { return strings.Replace(m, `"sha256":"`, `"sha256":"","x":"`, 1) },
		"rows negative":   func(m string) string { return strings.Replace(m, `"rows":2`, `"rows":-2`, 1) },
		"a column twice":  func(m string) string { return strings.Replace(m, `"name":"descriptor"`, `"name":"vin"`, 1) },
		"format of old":   func(m string) string { return strings.Replace(m, `"format":1`, `"format":0`, 1) },
		"type of another": func(m string) string { return strings.Replace(m, `"type":"double"`, `"type":"text"`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			root := exported(t)
			before := contents(t, root)
			edit(t, root, change)
			_, err := parquet.Open(t.Context(), target(t, root), full)
			if !errors.Is(err, parquet.ErrManifest) && !errors.Is(err, parquet.ErrNewer) {
				t.Fatalf("Open = %v, want ErrManifest", err)
			}
			if errors.Is(err, parquet.ErrManifest) && !strings.Contains(err.Error(), "export rebuild") {
				t.Errorf("%v: does not say how to mend it", err)
			}
			if err := parquet.Rebuild(t.Context(), target(t, root), full); err != nil {
				t.Fatal(err)
			}
			clean(t, root)
			s := open(t, root, full)
			if got := s.Touched(parquet.Partition{Table: "readings", Day: day}); got != "" {
				t.Errorf("Touched after Rebuild = %q, want nothing", got)
			}
			s.export(t, day, "a", dayOf(1, 2)...)
			s.export(t, day.Next(), "b", car{vin: vinB, readings: []schema.ReadingBlock{block(vinB, moving, day.Next().Start(), yes(true))}})
			s.close(t)
			after := contents(t, root)
			if after["_manifest.json"] != before["_manifest.json"] {
				t.Errorf("the manifest after Rebuild and export is\n%s\nwant\n%s", after["_manifest.json"], before["_manifest.json"])
			}
		})
	}
}

func TestANewerDatasetIsRefused(t *testing.T) {
	for name, change := range map[string]func(m string) string{
		"format": func(m string) string { return strings.Replace(m, `"format":1`, `"format":2,"what":"ever"`, 1) },
		"column": func(m string) string {
			return strings.Replace(m, `{"name":"unit"`, `{"name":"later","type":"text"},{"name":"unit"`, 1)
		},
		"type": func(m string) string { return strings.Replace(m, `"type":"double"`, `"type":"decimal"`, 1) },
		"table": func(m string) string {
			return strings.Replace(m, `"tables":[`, `"tables":[{"name":"aa","columns":[],"files":[]},`, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := exported(t)
			edit(t, root, change)
			if _, err := parquet.Open(t.Context(), target(t, root), full); !errors.Is(err, parquet.ErrNewer) {
				t.Errorf("Open = %v, want ErrNewer", err)
			}
		})
	}
}

func TestFilesWithoutAManifestAreNotANewDataset(t *testing.T) {
	root := exported(t)
	if err := os.Remove(filepath.Join(root, "_manifest.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := parquet.Open(t.Context(), target(t, root), full); !errors.Is(err, parquet.ErrManifest) || !strings.Contains(err.Error(), "export rebuild") {
		t.Errorf("Open = %v, want ErrManifest", err)
	}
	if _, err := parquet.Verify(t.Context(), target(t, root), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Verify = %v, want fs.ErrNotExist", err)
	}
}

func TestOtherSettingsAreRefused(t *testing.T) {
	secret := parquet.Profile{Name: parquet.Pseudonymous, Secret: "0123456789abcdef", Positions: parquet.PositionsRound, Decimals: 2, NoZones: true}
	other := secret
	other.Secret = "another 9abcdef0"
	zoned := secret
	zoned.NoZones, zoned.Zones = false, []parquet.Zone{{Latitude: 48, Longitude: 11, RadiusM: 500}}
	finer := secret
	finer.Decimals = 3
	root := t.TempDir()
	open(t, root, parquet.Config{Profile: secret}).close(t)
	for name, cfg := range map[string]parquet.Config{
		"profile": full, "key of the secret": {Profile: other}, "zones": {Profile: zoned}, "decimals": {Profile: finer}, "level vin": {Profile: secret, VINLevel: true},
	} {
		if _, err := parquet.Open(t.Context(), target(t, root), cfg); !errors.Is(err, parquet.ErrSettings) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: Open = %v, want ErrSettings", name, err)
		}
	}
	open(t, root, parquet.Config{Profile: secret}).close(t)
}

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, root string)
		kind parquet.FindingKind
	}{
		"a file is gone": {func(t *testing.T, root string) {
			t.Helper()
			check(t, os.Remove(filepath.Join(root, part("readings"))))
		}, parquet.FindingMissing},
		"a byte changed": {func(t *testing.T, root string) {
			t.Helper()
			name := filepath.Join(root, part("readings"))
			b, err := os.ReadFile(name)
			check(t, err)
			b[10] ^= 1
			check(t, os.WriteFile(name, b, 0o600))
		}, parquet.FindingContent},
		"a file cut": {func(t *testing.T, root string) {
			t.Helper()
			check(t, os.Truncate(filepath.Join(root, part("readings")), 100))
		}, parquet.FindingContent},
		"another day's file": {func(t *testing.T, root string) {
			t.Helper()
			b, err := os.ReadFile(filepath.Join(root, part("wide")))
			check(t, err)
			check(t, os.WriteFile(filepath.Join(root, part("readings")), b, 0o600))
		}, parquet.FindingFooter},
		"a file of nobody": {func(t *testing.T, root string) {
			t.Helper()
			check(t, os.WriteFile(filepath.Join(root, "readings", "date=2026-11-24", "copy.parquet"), nil, 0o600))
		}, parquet.FindingStray},
		"a manifest with other rows": {func(t *testing.T, root string) {
			t.Helper()
			edit(t, root, func(m string) string { return strings.Replace(m, `"rows":2`, `"rows":3`, 1) })
		}, parquet.FindingFooter},
		"an interrupted export": {func(t *testing.T, root string) {
			t.Helper()
			check(t, os.WriteFile(filepath.Join(root, "_pending.json"), []byte(`{"paths":[]}`), 0o600))
		}, parquet.FindingPending},
		"a temporary file": {func(t *testing.T, root string) {
			t.Helper()
			check(t, os.WriteFile(filepath.Join(root, part("readings")+".tmp"), nil, 0o600))
		}, parquet.FindingLeftover},
	} {
		t.Run(name, func(t *testing.T) {
			root := exported(t)
			clean(t, root)
			c.do(t, root)
			found, err := parquet.Verify(t.Context(), target(t, root), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(found, func(f parquet.Finding) bool { return f.Kind == c.kind }) {
				t.Errorf("Verify found %v, want %s", found, c.kind)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEachVehicleHasItsFile(t *testing.T) {
	cfg := full
	cfg.VINLevel = true
	s := open(t, t.TempDir(), cfg)
	both := append(dayOf(1), car{vin: vinB, readings: []schema.ReadingBlock{block(vinB, moving, noon, yes(true))}, positions: []derive.Position{{Time: noon.UnixNano()}}})
	gap := car{rows: map[string][]cells{"gaps": {{"time": noon, "gcid": gcid}}}}
	s.export(t, day, "1", append(both, gap)...)
	s.export(t, day, "2", car{vin: vinB})
	at := func(vin schema.VIN) string {
		return s.Touched(parquet.Partition{Table: "readings", Day: day, VIN: vin})
	}
	if at(vinA) != "1" || at(vinB) != "2" {
		t.Errorf("Touched = %q and %q, want 1 and 2", at(vinA), at(vinB))
	}
	s.close(t)
	a := "/date=2026-11-24/vin=" + string(vinA) + "/part-0.parquet"
	for _, p := range []string{"readings" + a, "wide" + a, "gaps/date=2026-11-24/vin=__HIVE_DEFAULT_PARTITION__/part-0.parquet"} {
		if n := len(rows(t, s.root, p)); n != 1 {
			t.Errorf("%s has %d rows, want 1", p, n)
		}
	}
	if n := len(contents(t, s.root)); n != 4 {
		t.Errorf("%d files, want 3 and the manifest", n)
	}
	clean(t, s.root)
	if err := parquet.Rebuild(t.Context(), target(t, s.root), full); !errors.Is(err, parquet.ErrSettings) {
		t.Errorf("Rebuild with another level = %v, want ErrSettings", err)
	}
}

// A later catalogue may type a descriptor that was unknown, or type it otherwise.
func TestAColumnKeepsItsTypeAcrossVersions(t *testing.T) {
	const head = "descriptor,unit,datatype,streamable,category,enum_values,min,max,value_range,sentinels,vehicle_types,catalogue_2025,catalogue_2026_07,note\n"
	load := func(row string) parquet.Config {
		c, err := schema.LoadCatalogue(strings.NewReader(head+row), "test")
		check(t, err)
		cfg := full
		cfg.Catalogue = c
		return cfg
	}
	root := t.TempDir()
	one := func(cfg parquet.Config, d parquet.Date, v schema.Value) string {
		s := open(t, root, cfg)
		s.export(t, d, "1", car{vin: vinA, readings: []schema.ReadingBlock{block(vinA, "a.key", d.Start(), v)}})
		s.close(t)
		got := rows(t, root, "wide/date="+d.String()+"/part-0.parquet")
		_, after, _ := strings.Cut(got[0], "T00:00:00 ")
		return after
	}
	old := load("b.other,km,float,true,X,,,,,,BEV,true,true,\n")
	number := load("a.key,km,float,true,X,,,,,,BEV,true,true,\n")
	text := load("a.key,,string,true,X,,,,,,BEV,true,true,\n")
	for i, c := range []struct {
		cfg  parquet.Config
		v    schema.Value
		want string
	}{
		{old, num(1), "a.key__number=1"},
		{number, num(2), "a.key=2"},
		{text, word("three"), "a.key__text=three"},
		{text, num(4), "a.key=4"},
		{old, num(5), "a.key=5"},
	} {
		d := day
		for range i {
			d = d.Next()
		}
		if got := one(c.cfg, d, c.v); got != c.want {
			t.Errorf("version %d writes %q, want %q", i, got, c.want)
		}
	}
	clean(t, root)
}
