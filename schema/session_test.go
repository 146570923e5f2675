package schema_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// fullSession has every member.
func fullSession() schema.ChargingSession {
	at := time.Date(2026, 3, 14, 18, 41, 2, 0, time.UTC)
	return schema.ChargingSession{
		GCID: testGCID, VIN: testVIN, Start: at, End: at.Add(2 * time.Hour), TimeZone: "Europe/Berlin",
		StartSOC: new(55.0), EndSOC: new(80.0), ChargingSeconds: new(7840.0), GridKWh: new(18.34000015258789),
		BatteryIncreaseKWh: new(17.5), BatteryDecreaseKWh: new(1.2), DischargedKWh: new(0.0), MileageKm: new(23456.0), Preconditioning: new(false),
		Place: &schema.ChargingPlace{
			Municipality: "Sampletown", Address: "Example \"Road\" 1,\n00000 Sampletown", Street: "Example Road 1",
			Latitude: new(48.1001), Longitude: new(-11.5),
		},
		Public: []schema.ChargingPoint{{Provider: "P", Street: "S", PostalCode: "00000", City: "C"}, {}},
		Cost:   &schema.ChargingCost{Currency: "EUR", Calculated: new(6.89), Savings: new(0.0)},
		Errors: []schema.ChargingError{{Time: at, Hint: "SYNTHETIC_HINT"}, {Hint: "x"}, {}},
		Blocks: []schema.ChargingBlock{{Start: at, End: at.Add(time.Minute), AverageGridKW: 3.2}, {Start: at.Add(time.Minute), AverageGridKW: -10.8}},
		Source: schema.SourceREST, Fetched: at.Add(3*time.Hour + time.Microsecond),
	}
}

func exampleSessions() map[string]schema.ChargingSession {
	running := fullSession()
	running.End, running.GridKWh = time.Time{}, nil
	bare := schema.ChargingSession{VIN: testVIN, Start: measured, Source: schema.SourceArchive, Fetched: received}
	hollow := bare
	hollow.Place, hollow.Cost = &schema.ChargingPlace{}, &schema.ChargingCost{}
	return map[string]schema.ChargingSession{"full": fullSession(), "running": running, "bare": bare, "hollow": hollow}
}

func TestSessionsSurviveTheCodecAndFitTheSchema(t *testing.T) {
	s, d := validator(t, schema.ChargingSessionSchema()), schema.NewDecoder()
	for name, want := range exampleSessions() {
		encoded := schema.AppendSession([]byte("prefix "), &want)[len("prefix "):]
		validate(t, s, encoded)
		var got schema.ChargingSession
		if err := d.Session(&got, encoded); err != nil {
			t.Errorf("%s: %s: %v", name, encoded, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, want)
		}
		if got.Running() != (name != "full") {
			t.Errorf("%s: running %t", name, got.Running())
		}
	}
}

// TestSessionSchemaNamesEveryMember holds the published schema to the encoder,
// nested members too.
func TestSessionSchemaNamesEveryMember(t *testing.T) {
	session := fullSession()
	var published, written any
	if err := errors.Join(json.Unmarshal(schema.ChargingSessionSchema(), &published),
		json.Unmarshal(schema.AppendSession(nil, &session), &written)); err != nil {
		t.Fatal(err)
	}
	sameMembers(t, "session", published, written)
}

func sameMembers(t *testing.T, path string, published, written any) {
	t.Helper()
	def, _ := published.(map[string]any)
	switch w := written.(type) {
	case map[string]any:
		properties, _ := def["properties"].(map[string]any)
		for name := range properties {
			if _, ok := w[name]; !ok {
				t.Errorf("%s.%s is in the schema and never written", path, name)
			}
		}
		for name, value := range w {
			if properties[name] == nil {
				t.Errorf("%s.%s is written and not in the schema", path, name)
			}
			sameMembers(t, path+"."+name, properties[name], value)
		}
	case []any:
		sameMembers(t, path+"[]", def["items"], w[0])
	}
}

func TestAppendSessionLeavesOutWhatIsNoNumber(t *testing.T) {
	s := schema.ChargingSession{
		VIN: testVIN, Start: measured, Source: schema.SourceREST, Fetched: received, TimeZone: "\xff",
		GridKWh: new(math.NaN()), MileageKm: new(math.Inf(1)), Blocks: []schema.ChargingBlock{{Start: measured, AverageGridKW: math.NaN()}},
	}
	encoded := schema.AppendSession(nil, &s)
	validate(t, validator(t, schema.ChargingSessionSchema()), encoded)
	if got := string(encoded); strings.Contains(got, "grid_kwh") || strings.Contains(got, "mileage") || !strings.Contains(got, `"average_grid_kw":0`) {
		t.Errorf("got %s", got)
	}
}

func TestDecoderRefusesSessions(t *testing.T) {
	const good = `{"vin":"WBY00000000000001","start":"2026-03-14T07:02:09Z","end_soc":1,"blocks":[{"start":"2026-03-14T07:02:09Z","average_grid_kw":1}],` +
		`"place":{"latitude":1,"city":{}},"errors":[{"hint":"h"}],"source":"rest","fetched":"2026-03-14T07:02:09Z","later":[{"x":1}]}`
	d := schema.NewDecoder()
	var s schema.ChargingSession
	if err := d.Session(&s, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new string }{
		"no vin":                     {`"vin":"WBY00000000000001",`, ""},
		"vin of 16":                  {"WBY00000000000001", "WBY0000000000001"},
		"no start":                   {`"start":"2026-03-14T07:02:09Z",`, ""},
		"start before all time":      {`"start":"2026-03-14T07:02:09Z","end_soc"`, `"start":"0001-01-01T00:00:00Z","end_soc"`},
		"start as a number":          {`"start":"2026-03-14T07:02:09Z","end_soc"`, `"start":1773513662,"end_soc"`},
		"no source":                  {`"source":"rest",`, ""},
		"other source":               {`"rest"`, `"guess"`},
		"no fetched":                 {`,"fetched":"2026-03-14T07:02:09Z"`, ""},
		"number as text":             {`"end_soc":1`, `"end_soc":"1"`},
		"number as null":             {`"end_soc":1`, `"end_soc":null`},
		"number too big":             {`"end_soc":1`, `"end_soc":1e999`},
		"twice":                      {`"end_soc":1`, `"end_soc":1,"end_soc":1`},
		"place as a list":            {`{"latitude":1,"city":{}}`, `[]`},
		"place with a wrong member":  {`"latitude":1`, `"latitude":"1"`},
		"blocks as an object":        {`[{"start":"2026-03-14T07:02:09Z","average_grid_kw":1}]`, `{}`},
		"block as a number":          {`[{"start":"2026-03-14T07:02:09Z","average_grid_kw":1}]`, `[1]`},
		"block without start":        {`[{"start":"2026-03-14T07:02:09Z","average_grid_kw":1}]`, `[{"average_grid_kw":1}]`},
		"block with power as text":   {`"average_grid_kw":1`, `"average_grid_kw":"1"`},
		"list without a comma":       {`[{"hint":"h"}]`, `[{"hint":"h"}{}]`},
		"list with a comma too many": {`[{"hint":"h"}]`, `[{"hint":"h"},]`},
		"hint as a number":           {`"hint":"h"`, `"hint":1`},
		"torn":                       {`"later":[{"x":1}]}`, `"later":[{"x"`},
		"torn in a block":            {`"average_grid_kw":1}],`, ``},
		"more after it":              {`"later":[{"x":1}]}`, `"later":1} {}`},
		"too deep":                   {`"later":[{"x":1}]`, `"later":` + strings.Repeat("[", 100) + strings.Repeat("]", 100)},
		"no object":                  {good, "[]"},
		"nothing":                    {good, ""},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Fatalf("%s: %s is not in the text", name, c.old)
		}
		if err := d.Session(&s, []byte(bad)); !errors.Is(err, schema.ErrDecode) {
			t.Errorf("%s: got %v, want ErrDecode", name, err)
		}
	}
}

func FuzzDecodeSession(f *testing.F) {
	for _, s := range exampleSessions() {
		f.Add(schema.AppendSession(nil, &s))
	}
	d := schema.NewDecoder()
	f.Fuzz(func(t *testing.T, data []byte) {
		var s, again schema.ChargingSession
		if d.Session(&s, data) != nil {
			return
		}
		encoded := schema.AppendSession(nil, &s)
		if err := d.Session(&again, encoded); err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if got := schema.AppendSession(nil, &again); string(got) != string(encoded) {
			t.Errorf("got  %s\nwant %s", got, encoded)
		}
	})
}
