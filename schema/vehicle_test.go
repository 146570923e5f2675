package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func exampleVehicles(tb testing.TB) map[string]schema.Vehicle {
	tb.Helper()
	list := map[string]schema.Vehicle{
		"image": {VIN: testVIN, Kind: schema.VehicleImage, Fetched: received, GCID: testGCID, Facts: []schema.Fact{
			{"bytes", number(67)}, {"content_type", text("image/png")}, {"cut", boolean(false)}, {"none", schema.Value{}},
		}},
		"bare":       {VIN: testVIN, Kind: schema.VehicleMapping, Fetched: received},
		"raw a text": {VIN: testVIN, Kind: schema.VehicleMapping, Fetched: received, Raw: []byte(`"a \"b\""`)},
	}
	for _, name := range samples(tb, "facts") {
		raw, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		raw = bytes.TrimSpace(raw)
		kind := kindOf(tb, name)
		facts, err := schema.FactsOf(raw, kind)
		if err != nil {
			tb.Fatal(err)
		}
		list[name] = schema.Vehicle{GCID: testGCID, VIN: testVIN, Kind: kind, Fetched: received, Facts: facts, Raw: raw}
	}
	return list
}

func TestVehiclesSurviveTheCodecAndFitTheSchema(t *testing.T) {
	s, d := validator(t, schema.VehicleSchema()), schema.NewDecoder()
	for name, want := range exampleVehicles(t) {
		encoded := schema.AppendVehicle([]byte("prefix "), &want)[len("prefix "):]
		validate(t, s, encoded)
		var got schema.Vehicle
		if err := d.Vehicle(&got, encoded); err != nil {
			t.Errorf("%s: %s: %v", name, encoded, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, want)
		}
	}
}

func TestVehicleSchemaNamesEveryMember(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range exampleVehicles(t) {
		collect(t, seen, schema.AppendVehicle(nil, &v))
	}
	equalMembers(t, schema.VehicleSchema(), seen)
}

func TestAppendVehicleLeavesOutRawThatCannotStand(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		kept bool
	}{
		"JSON":                   {`{"a": 1}`, true},
		"as long as allowed":     {`"` + strings.Repeat("x", schema.MaxVehicleRawBytes-2) + `"`, true},
		"too long":               {`"` + strings.Repeat("x", schema.MaxVehicleRawBytes) + `"`, false},
		"no JSON":                {"<html>", false},
		"more than one value":    {"{}{}", false},
		"as deep as allowed":     {strings.Repeat("[", schema.MaxDepth-1) + strings.Repeat("]", schema.MaxDepth-1), true},
		"too deep to be written": {strings.Repeat("[", schema.MaxDepth) + strings.Repeat("]", schema.MaxDepth), false},
		"nothing":                {"", false},
	} {
		v := schema.Vehicle{VIN: testVIN, Kind: schema.VehicleTyres, Fetched: received, Raw: []byte(c.raw)}
		encoded := schema.AppendVehicle(nil, &v)
		var got schema.Vehicle
		if err := schema.NewDecoder().Vehicle(&got, encoded); err != nil || !json.Valid(encoded) {
			t.Errorf("%s: %v", name, err)
		}
		if (string(got.Raw) == c.raw && c.raw != "") != c.kept {
			t.Errorf("%s: raw of %d bytes came back with %d", name, len(c.raw), len(got.Raw))
		}
	}
}

func TestDecoderRefusesVehicles(t *testing.T) {
	const good = `{"vin":"WBY00000000000001","kind":"tyres","fetched":"2026-03-14T07:02:09Z","facts":[{"name":"a.b","number":1,"later":{}}],"raw":{},"later":1}`
	d := schema.NewDecoder()
	var v schema.Vehicle
	if err := d.Vehicle(&v, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new string }{
		"no vin":              {`"vin":"WBY00000000000001",`, ""},
		"no kind":             {`"kind":"tyres",`, ""},
		"other kind":          {`"tyres"`, `"wheels"`},
		"no fetched":          {`"fetched":"2026-03-14T07:02:09Z",`, ""},
		"no facts":            {`"facts":[{"name":"a.b","number":1,"later":{}}],`, ""},
		"facts as an object":  {`[{"name":"a.b","number":1,"later":{}}]`, `{}`},
		"fact without name":   {`"name":"a.b",`, ""},
		"fact with bad name":  {`a.b`, "a b"},
		"fact without value":  {`"number":1,`, ""},
		"fact of two values":  {`"number":1,`, `"number":1,"bool":true,`},
		"number as text":      {`"number":1`, `"number":"1"`},
		"bool as a number":    {`"number":1`, `"bool":1`},
		"text as a number":    {`"number":1`, `"text":1`},
		"null as false":       {`"number":1`, `"null":false`},
		"twice":               {`"kind":"tyres",`, `"kind":"tyres","kind":"tyres",`},
		"raw that is too big": {`"raw":{}`, `"raw":"` + strings.Repeat("x", schema.MaxVehicleRawBytes) + `"`},
		"torn":                {`"later":1}`, ``},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Fatalf("%s: %s is not in the text", name, c.old)
		}
		if err := d.Vehicle(&v, []byte(bad)); !errors.Is(err, schema.ErrDecode) {
			t.Errorf("%s: got %v, want ErrDecode", name, err)
		}
	}
}
