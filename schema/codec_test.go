package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func validator(tb testing.TB, published []byte) *jsonschema.Schema {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(published))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("mem:///schema.json", doc); err != nil {
		tb.Fatal(err)
	}
	return c.MustCompile("mem:///schema.json")
}

func validate(tb testing.TB, s *jsonschema.Schema, encoded []byte) {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		tb.Fatalf("%s: %v", encoded, err)
	}
	if err := s.Validate(doc); err != nil {
		tb.Errorf("%s: %v", encoded, err)
	}
}

// exampleReadings has every kind of value and every optional member.
func exampleReadings() []schema.Reading {
	base := schema.Reading{
		VIN: testVIN, Descriptor: mileage, Time: measured, Source: schema.SourceStream,
		Received: time.Date(2026, 3, 14, 7, 2, 12, 123456789, time.UTC),
	}
	values := []schema.Value{
		number(0), number(-1), number(23456), number(78.5), number(48.100012), number(1e-9), number(1e21), number(1e15), number(999999999999999),
		number(math.MaxFloat64), number(math.SmallestNonzeroFloat64), boolean(true), boolean(false), text(""), text("CHARGINGACTIVE"),
		text("\"\\/\b\f\n\r\t\x00\x1f\u007fé€🚗\u2028<&>"),
		{},
	}
	var out []schema.Reading
	for _, v := range values {
		r := base
		r.Value = v
		out = append(out, r)
		r.Unit, r.Raw, r.Source, r.GCID = "km", `12.5 "miles"`, schema.SourceREST, testGCID
		r.Sent = time.Date(2026, 3, 14, 7, 2, 11, 418e6, time.UTC)
		out = append(out, r)
	}
	return out
}

func TestAppendReadingHasFixedOrder(t *testing.T) {
	r := exampleReadings()[7]
	got := schema.AppendReading([]byte("prefix "), &r)
	want := `prefix {"vin":"WBY00000000000001","descriptor":"vehicle.vehicle.travelledDistance","time":"2026-03-14T07:02:09Z",` +
		`"number":78.5,"unit":"km","raw":"12.5 \"miles\"","source":"rest","sent":"2026-03-14T07:02:11.418Z",` +
		`"received":"2026-03-14T07:02:12.123456789Z","gcid":"00000000-0000-4000-8000-000000000001"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReadingsSurviveTheCodecAndFitTheSchema(t *testing.T) {
	s, d := validator(t, schema.ReadingSchema()), schema.NewDecoder()
	for _, want := range exampleReadings() {
		encoded := schema.AppendReading(nil, &want)
		validate(t, s, encoded)
		var got schema.Reading
		if err := d.Reading(&got, encoded); err != nil {
			t.Errorf("%s: %v", encoded, err)
		} else if got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestSamplesFitTheSchema(t *testing.T) {
	s, d := validator(t, schema.ReadingSchema()), schema.NewDecoder()
	n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
	for _, kind := range []string{"stream", "telematic"} {
		for _, name := range samples(t, kind) {
			payload, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			in := schema.Input{Received: received, Payload: payload}
			if kind == "stream" {
				n.Stream(res, in)
			} else {
				in.VIN = testVIN
				n.Telematic(res, in)
			}
			for _, want := range res.Readings {
				encoded := schema.AppendReading(nil, &want)
				validate(t, s, encoded)
				var got schema.Reading
				if err := d.Reading(&got, encoded); err != nil || got != want {
					t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
				}
			}
		}
	}
}

// TestSchemasNameEveryMember holds the published schemas to the encoder: no
// member of one may be missing in the other.
func TestSchemasNameEveryMember(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range exampleReadings() {
		collect(t, seen, schema.AppendReading(nil, &r))
	}
	equalMembers(t, schema.ReadingSchema(), seen)
	seen = make(map[string]bool)
	collect(t, seen, schema.AppendGap(nil, &schema.Gap{}))
	equalMembers(t, schema.GapSchema(), seen)
}

func collect(t *testing.T, seen map[string]bool, encoded []byte) {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(encoded, &m); err != nil {
		t.Fatal(err)
	}
	for k := range m {
		seen[k] = true
	}
}

func equalMembers(t *testing.T, published []byte, want map[string]bool) {
	t.Helper()
	var s struct{ Properties map[string]any }
	if err := json.Unmarshal(published, &s); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for k := range s.Properties {
		got[k] = true
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the schema names %v, the encoder writes %v", got, want)
	}
}

func TestAppendReadingWritesValidJSONWhateverIsInIt(t *testing.T) {
	tests := map[string]schema.Reading{
		"invalid UTF-8":    {Value: text("a\xffb\xc3"), Unit: "\x80", Raw: "\xed\xa0\x80"},
		"not finite":       {Value: number(math.NaN())},
		"infinite":         {Value: number(math.Inf(-1))},
		"unknown kind":     {Value: schema.Value{Kind: 99}},
		"before the years": {Time: time.Unix(-1<<40, 0)},
		"after the years":  {Received: time.Unix(1<<40, 5)},
		"before 1970":      {Time: time.Date(1969, 12, 31, 23, 59, 59, 1, time.UTC), Sent: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)},
		"zero":             {},
	}
	for name, r := range tests {
		if got := schema.AppendReading(nil, &r); !json.Valid(got) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTimesAreWrittenAsTimePackageDoes(t *testing.T) {
	at := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	for at.Year() < 10000 {
		for _, ns := range []int{0, 1, 100_000_000, 999_999_999, 120} {
			when := at.Add(time.Duration(ns))
			g := schema.Gap{Start: when}
			if got, want := string(schema.AppendGap(nil, &g)), `"start":"`+when.Format(time.RFC3339Nano)+`"`; !strings.Contains(got, want) {
				t.Fatalf("%s lacks %s", got, want)
			}
		}
		at = at.Add(1237*time.Hour + 17*time.Minute + 29*time.Second)
	}
}

const goodReading = `{"vin":"WBY00000000000001","descriptor":"a.b","time":"2026-03-14T07:02:09Z","number":1,"source":"stream","received":"2026-03-14T07:02:09Z"}`

func TestDecoderRefuses(t *testing.T) {
	tests := map[string]struct{ old, new string }{
		"no vin":                {`"vin":"WBY00000000000001",`, ""},
		"vin of 16":             {"WBY00000000000001", "WBY0000000000001"},
		"vin with I":            {"WBY00000000000001", "WBI00000000000001"},
		"no descriptor":         {`"descriptor":"a.b",`, ""},
		"empty descriptor":      {`"a.b"`, `""`},
		"long descriptor":       {"a.b", strings.Repeat("d", 257)},
		"no time":               {`"time":"2026-03-14T07:02:09Z",`, ""},
		"time of other zone":    {`"time":"2026-03-14T07:02:09Z"`, `"time":"2026-03-14T07:02:09+01:00"`},
		"time is no time":       {`"time":"2026-03-14T07:02:09Z"`, `"time":"yesterday"`},
		"no source":             {`"source":"stream",`, ""},
		"other source":          {`"stream"`, `"guess"`},
		"no received":           {`,"received":"2026-03-14T07:02:09Z"`, ""},
		"no value":              {`"number":1,`, ""},
		"two values":            {`"number":1`, `"number":1,"text":"1"`},
		"value and null":        {`"number":1`, `"number":1,"null":true`},
		"null false":            {`"number":1`, `"null":false`},
		"quoted number":         {`"number":1`, `"number":"1"`},
		"number too big":        {`"number":1`, `"number":1e999`},
		"bool as text":          {`"number":1`, `"bool":"true"`},
		"text as number":        {`"number":1`, `"text":1`},
		"unit as number":        {`"number":1`, `"number":1,"unit":1`},
		"raw as number":         {`"number":1`, `"number":1,"raw":null`},
		"gcid is none":          {`"number":1`, `"number":1,"gcid":"x"`},
		"sent is none":          {`"number":1`, `"number":1,"sent":"x"`},
		"a member twice":        {`"number":1`, `"number":1,"number":2`},
		"array":                 {`{"vin"`, `[{"vin"`},
		"torn":                  {`09Z"}`, `09`},
		"more behind":           {`09Z"}`, `09Z"}{}`},
		"invalid UTF-8":         {`"number":1`, "\"text\":\"\xff\""},
		"nesting in an unknown": {`"number":1`, `"number":1,"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100)},
	}
	d := schema.NewDecoder()
	var r schema.Reading
	if err := d.Reading(&r, []byte(goodReading)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		data := strings.Replace(goodReading, tt.old, tt.new, 1)
		if data == goodReading {
			t.Fatalf("%s: nothing replaced", name)
		}
		if err := d.Reading(&r, []byte(data)); !errors.Is(err, schema.ErrDecode) {
			t.Errorf("%s: %s: error %v, want ErrDecode", name, data, err)
		}
	}
	for _, data := range []string{"", "null", `"x"`, "{"} {
		if err := d.Reading(&r, []byte(data)); !errors.Is(err, schema.ErrDecode) {
			t.Errorf("%q: error %v", data, err)
		}
	}
}

func TestDecoderPassesOverNewMembers(t *testing.T) {
	d := schema.NewDecoder()
	var r schema.Reading
	data := strings.Replace(goodReading, `"number":1`, `"quality":{"a":[1,"}"]},"number":1,"quality":null`, 1)
	if err := d.Reading(&r, []byte(data)); err != nil || r.Value != number(1) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDecoderForgetsTheReadingBefore(t *testing.T) {
	d := schema.NewDecoder()
	full, bare := exampleReadings()[1], exampleReadings()[0]
	var r schema.Reading
	for _, want := range []schema.Reading{full, bare} {
		if err := d.Reading(&r, schema.AppendReading(nil, &want)); err != nil || r != want {
			t.Errorf("got %+v, %v, want %+v", r, err, want)
		}
	}
}

func TestDecodedReadingsShareNothingWithTheInput(t *testing.T) {
	d := schema.NewDecoder()
	want := exampleReadings()[31] // text with escapes
	data := schema.AppendReading(nil, &want)
	var r schema.Reading
	if err := d.Reading(&r, data); err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = '#'
	}
	if r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

func TestCodecDoesNotAllocate(t *testing.T) {
	d := schema.NewDecoder()
	readings := exampleReadings()
	var buf []byte
	var r schema.Reading
	run := func() {
		for i := range readings {
			buf = schema.AppendReading(buf[:0], &readings[i])
			if err := d.Reading(&r, buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	if allocs := testing.AllocsPerRun(100, run); allocs != 0 {
		t.Errorf("%v allocations for %d readings, want 0", allocs, len(readings))
	}
}

func TestGapsSurviveTheCodecAndFitTheSchema(t *testing.T) {
	s, d := validator(t, schema.GapSchema()), schema.NewDecoder()
	causes := []schema.GapCause{
		schema.GapTokenChange, schema.GapShutdown, schema.GapCrash, schema.GapConnection,
		schema.GapEvicted, schema.GapTokenExpired, schema.GapRefused, schema.GapJournalFull, schema.GapJournalLost, schema.GapMoved,
	}
	var got schema.Gap
	for i, cause := range causes {
		want := schema.Gap{GCID: testGCID, Start: measured, End: measured.Add(time.Duration(i) * time.Millisecond), Cause: cause}
		for j := range i {
			want.VINs = append(want.VINs, schema.VIN("WBY0000000000000"+string(rune('1'+j))))
		}
		encoded := schema.AppendGap(nil, &want)
		validate(t, s, encoded)
		if err := d.Gap(&got, encoded); err != nil {
			t.Errorf("%s: %v", encoded, err)
			continue
		}
		if !slices.Equal(got.VINs, want.VINs) {
			t.Errorf("vins %q, want %q", got.VINs, want.VINs)
		}
		if got.GCID != want.GCID || got.Start != want.Start || got.End != want.End || got.Cause != want.Cause {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	g := schema.Gap{GCID: testGCID, VINs: []schema.VIN{testVIN}, Start: measured, End: measured.Add(time.Second), Cause: schema.GapCrash}
	const want = `{"gcid":"00000000-0000-4000-8000-000000000001","vins":["WBY00000000000001"],` +
		`"start":"2026-03-14T07:02:09Z","end":"2026-03-14T07:02:10Z","cause":"crash"}`
	if encoded := string(schema.AppendGap(nil, &g)); encoded != want {
		t.Errorf("got  %s\nwant %s", encoded, want)
	}
}

func TestDecoderRefusesGaps(t *testing.T) {
	good := `{"gcid":"00000000-0000-4000-8000-000000000001","vins":["WBY00000000000001"],"start":"2026-03-14T07:02:09Z","end":"2026-03-14T07:02:10Z","cause":"crash"}`
	tests := map[string]struct{ old, new string }{
		"no gcid":              {`"gcid":"00000000-0000-4000-8000-000000000001",`, ""},
		"gcid is none":         {"00000000-", "0"},
		"no vins":              {`"vins":["WBY00000000000001"],`, ""},
		"vins null":            {`["WBY00000000000001"]`, "null"},
		"vins with a number":   {`["WBY00000000000001"]`, "[1]"},
		"vin is none":          {"WBY00000000000001", "x"},
		"trailing comma":       {`["WBY00000000000001"]`, `["WBY00000000000001",]`},
		"vins not closed":      {`["WBY00000000000001"]`, `["WBY00000000000001"`},
		"no start":             {`"start":"2026-03-14T07:02:09Z",`, ""},
		"end before the start": {"10Z", "08Z"},
		"no end":               {`"end":"2026-03-14T07:02:10Z",`, ""},
		"other cause":          {"crash", "weather"},
		"no cause":             {`,"cause":"crash"`, ""},
		"torn":                 {`crash"}`, ""},
		"more behind":          {`crash"}`, `crash"}}`},
		"vins twice":           {`"start"`, `"vins":[],"start"`},
		"an array":             {`{"gcid"`, `[{"gcid"`},
	}
	d := schema.NewDecoder()
	var g schema.Gap
	if err := d.Gap(&g, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		data := strings.Replace(good, tt.old, tt.new, 1)
		if data == good {
			t.Fatalf("%s: nothing replaced", name)
		}
		if err := d.Gap(&g, []byte(data)); !errors.Is(err, schema.ErrDecode) {
			t.Errorf("%s: %s: error %v, want ErrDecode", name, data, err)
		}
	}
}
