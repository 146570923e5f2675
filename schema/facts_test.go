package schema_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// kindOf tells the kind of a sample by its name.
func kindOf(tb testing.TB, name string) schema.VehicleKind {
	tb.Helper()
	for prefix, kind := range map[string]schema.VehicleKind{
		"basic": schema.VehicleBasicData, "mapp": schema.VehicleMapping, "smart": schema.VehicleTyres, "loca": schema.VehicleSettings,
	} {
		if strings.HasPrefix(filepath.Base(name), prefix) {
			return kind
		}
	}
	tb.Fatalf("no kind for %s", name)
	return ""
}

func TestFactsOfSamplesAreAsRecorded(t *testing.T) {
	var got bytes.Buffer
	for _, name := range samples(t, "facts") {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		facts, err := schema.FactsOf(raw, kindOf(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		fmt.Fprintf(&got, "%s\n", filepath.Base(name))
		for _, f := range facts {
			fmt.Fprintf(&got, "\t%s %s\n", f.Name, show(f.Value))
		}
	}
	golden := filepath.Join("testdata", "facts.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
	}
}

func show(v schema.Value) string {
	switch v.Kind {
	case schema.KindNumber:
		return fmt.Sprint("number ", v.Number)
	case schema.KindBool:
		return fmt.Sprint("bool ", v.Bool)
	case schema.KindText:
		return fmt.Sprintf("text %q", v.Text)
	case schema.KindNull:
	}
	return "null"
}

func TestFactsOf(t *testing.T) {
	for name, c := range map[string]struct {
		kind schema.VehicleKind
		raw  string
		want []string
	}{
		"names become snake_case":            {"basic_data", `{"fullSAList":1,"countryCodeISO":1,"puStep":1,"x-Y z":1,"ABC":1,"a1B":1,"":1,"é":1}`, []string{"_ number 1", "a1_b number 1", "abc number 1", "country_code_iso number 1", "full_sa_list number 1", "pu_step number 1", "x_y_z number 1"}},
		"the order of members is no matter":  {"mapping", `{"b":1,"a":{"d":2,"c":3}}`, []string{"a.c number 3", "a.d number 2", "b number 1"}},
		"a dot in a name is no level":        {"mapping", `{"a.b":1}`, []string{"a_b number 1"}},
		"of one name twice the later counts": {"mapping", `{"aB":1,"a_b":"x"}`, []string{`a_b text "x"`}},
		"null is a fact without a value":     {"mapping", `{"a":null}`, []string{"a null"}},
		"plain arrays are one text":          {"mapping", `{"a":["x\n",1,true,null],"b":[]}`, []string{`a text "x\n,1,true,null"`}},
		"arrays of objects are counted":      {"settings", `{"data":[{"a":1},{"a":2}]}`, []string{"data.0.a number 1", "data.1.a number 2"}},
		"an array at the top is counted":     {"mapping", `[{"a":1},2]`, []string{"0.a number 1", "1 number 2"}},
		"numbers beyond a float are text":    {"mapping", `{"a":1e999}`, []string{`a text "1e999"`}},
		"identities are no facts":            {"settings", `{"vin":"x","gcid":"x","nextToken":"x","next_token":"x","data":[{"vehicleIdWithGcid":"x","id":"y"}]}`, []string{`data.0.id text "y"`}},
		"captions of tyres are no facts":     {"tyres", `{"a":{"label":"Mounted","b":{"label":"L","value":"v","n":0,"r":false}}}`, []string{"a.b.n number 0", "a.b.r bool false", `a.b.value text "v"`}},
		"fillers of tyres are no facts":      {"tyres", `{"b":{"label":"L","n":0,"r":false,"status":"OK","m":3}}`, []string{"b.m number 3", `b.status text "OK"`}},
		"captions elsewhere are facts":       {"basic_data", `{"label":"L"}`, []string{`label text "L"`}},
		"capacities as text become numbers":  {"basic_data", `{"reessNominalCapacityGross":" 210.6","hvsMaxEnergyAbsolute":"n/a"}`, []string{`hvs_max_energy_absolute text "n/a"`, "reess_nominal_capacity_gross number 210.6"}},
		"nothing in it":                      {"mapping", `{}`, nil},
	} {
		facts, err := schema.FactsOf([]byte(c.raw), c.kind)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, f := range facts {
			got = append(got, f.Name+" "+show(f.Value))
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestFactsOfRefusesWhatIsNoJSON(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing": "", "HTML": "<html></html>", "a text": `"x"`, "torn": `{"a":`, "more after it": `{}{}`,
		"too deep": strings.Repeat("[", 100) + strings.Repeat("]", 100), "no UTF-8": "{\"a\":\"\xff\"}",
	} {
		if facts, err := schema.FactsOf([]byte(raw), schema.VehicleTyres); !errors.Is(err, schema.ErrFacts) || facts != nil {
			t.Errorf("%s: got %v, %v, want ErrFacts", name, facts, err)
		}
	}
}

func TestFactsOfKeepsWhatIsWithinTheLimits(t *testing.T) {
	var many strings.Builder
	for i := range schema.MaxFacts + 5 {
		fmt.Fprintf(&many, `,"n%d":1`, i)
	}
	for name, c := range map[string]struct {
		raw  string
		want int
	}{
		"too many":         {"{" + many.String()[1:] + "}", schema.MaxFacts},
		"a name too long":  {`{"` + strings.Repeat("x", 257) + `":1,"a":1}`, 1},
		"a text too long":  {`{"b":"` + strings.Repeat("x", schema.MaxTextBytes+1) + `","a":1}`, 1},
		"both, and a text": {`{"` + strings.Repeat("x", 300) + `":1` + many.String() + "}", schema.MaxFacts},
	} {
		facts, err := schema.FactsOf([]byte(c.raw), schema.VehicleMapping)
		if !errors.Is(err, schema.ErrFacts) || len(facts) != c.want {
			t.Errorf("%s: got %d facts and %v, want %d and ErrFacts", name, len(facts), err, c.want)
		}
	}
}

func FuzzFactsOf(f *testing.F) {
	addSamples(f, "facts")
	d := schema.NewDecoder()
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, kind := range schema.VehicleKinds() {
			facts, _ := schema.FactsOf(raw, kind)
			v := schema.Vehicle{VIN: testVIN, Kind: kind, Fetched: received, Facts: facts, Raw: raw}
			encoded := schema.AppendVehicle(nil, &v)
			var got schema.Vehicle
			if err := d.Vehicle(&got, encoded); err != nil {
				t.Fatalf("%s: %v", encoded, err)
			}
			if !reflect.DeepEqual(got.Facts, facts) && len(facts) > 0 {
				t.Errorf("got  %+v\nwant %+v", got.Facts, facts)
			}
		}
	})
}
