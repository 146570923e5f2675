package schema_test

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func addSamples(f *testing.F, kind string) {
	f.Helper()
	for _, name := range samples(f, kind) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

func FuzzStream(f *testing.F) {
	addSamples(f, "stream")
	for _, v := range []string{`"\ud83d\ude97\""`, `1e999`, `[{"a":[]}]`, `-0.0`, `"+5"`, "\"\xff\""} {
		f.Add([]byte(streamPayload(streamPoint("a\u200b", v, "miles"))))
	}
	n, res, d := schema.NewNormalizer(schema.Default()), new(schema.Result), schema.NewDecoder()
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		n.Stream(res, schema.Input{VIN: testVIN, GCID: testGCID, Received: received, Payload: payload})
		checkResult(t, res, d, payload)
		checkVerdict(t, res, payload)
		if !bytes.Equal(before, payload) {
			t.Error("the payload was changed")
		}
		first := describe(res)
		n.Stream(res, schema.Input{VIN: testVIN, GCID: testGCID, Received: received, Payload: payload})
		if again := describe(res); again != first {
			t.Errorf("not the same twice:\n%s%s", first, again)
		}
	})
}

func FuzzTelematic(f *testing.F) {
	addSamples(f, "telematic")
	n, res, d := schema.NewNormalizer(schema.Default()), new(schema.Result), schema.NewDecoder()
	f.Fuzz(func(t *testing.T, payload []byte) {
		n.Telematic(res, schema.Input{VIN: testVIN, Received: received, Payload: payload})
		checkResult(t, res, d, payload)
		checkVerdict(t, res, payload)
	})
}

// checkResult holds what must be true of any result.
func checkResult(t *testing.T, res *schema.Result, d *schema.Decoder, payload []byte) {
	t.Helper()
	if len(res.Readings)+len(res.Skipped)+len(res.Faults) == 0 {
		t.Fatalf("%q became nothing", payload)
	}
	for i := range res.Readings {
		want := res.Readings[i]
		var got schema.Reading
		if err := d.Reading(&got, schema.AppendReading(nil, &want)); err != nil || got != want {
			t.Fatalf("%q: got %+v, %v, want %+v", payload, got, err, want)
		}
	}
	for _, fault := range res.Faults {
		if !slices.Contains(schema.Reasons(), fault.Reason) || !utf8.ValidString(fault.Text) {
			t.Fatalf("%q: fault %+v", payload, fault)
		}
	}
}

// checkVerdict compares with jsontext what is JSON and what is not.
func checkVerdict(t *testing.T, res *schema.Result, payload []byte) {
	t.Helper()
	if len(res.Faults) > 0 && res.Faults[0].Reason == schema.ReasonTooDeep {
		return
	}
	bad := len(res.Faults) > 0 && (res.Faults[0].Reason == schema.ReasonInvalidJSON || res.Faults[0].Reason == schema.ReasonInvalidUTF8)
	if valid := jsontext.Value(payload).IsValid(jsontext.AllowDuplicateNames(true)); valid == bad {
		t.Fatalf("%q: jsontext says valid %t, the result is %+v", payload, valid, res.Faults)
	}
}

// FuzzValues holds single values to encoding/json: same number, same text.
func FuzzValues(f *testing.F) {
	for _, v := range []string{"1", "-0", "78.5", "1e400", "1e-400", "123456789012345678901234567890", "0.1e5", `"a\u00e9\n"`, "18.34000015258789", "1E+2"} {
		f.Add(v)
	}
	n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
	f.Fuzz(func(t *testing.T, value string) {
		payload := `{"data":{"some.number":{"timestamp":"2026-03-14T07:02:09Z","value":` + value + `}}}`
		n.Stream(res, input(payload))
		var doc struct {
			Data map[string]struct{ Value any }
		}
		if len(res.Readings) != 1 || json.Unmarshal([]byte(payload), &doc) != nil || len(doc.Data) != 1 {
			return
		}
		got := res.Readings[0]
		switch want := doc.Data["some.number"].Value.(type) {
		case float64:
			if got.Value != number(want) {
				t.Errorf("%s: got %+v, want %v", value, got.Value, want)
			}
		case string:
			if got.Value.Kind == schema.KindText && got.Value.Text != want {
				t.Errorf("%s: got %q, want %q", value, got.Value.Text, want)
			}
		case bool:
			if got.Value != boolean(want) {
				t.Errorf("%s: got %+v, want %t", value, got.Value, want)
			}
		}
	})
}

func FuzzDecodeReading(f *testing.F) {
	for _, r := range exampleReadings() {
		f.Add(schema.AppendReading(nil, &r))
	}
	d := schema.NewDecoder()
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second schema.Reading
		if d.Reading(&first, data) != nil {
			return
		}
		encoded := schema.AppendReading(nil, &first)
		if err := d.Reading(&second, encoded); err != nil || second != first {
			t.Fatalf("%s: got %+v, %v, want %+v", encoded, second, err, first)
		}
		if again := schema.AppendReading(nil, &second); !bytes.Equal(again, encoded) {
			t.Fatalf("%s then %s", encoded, again)
		}
	})
}

func FuzzDecodeGap(f *testing.F) {
	g := schema.Gap{GCID: testGCID, VINs: []schema.VIN{testVIN, testVIN}, Start: measured, End: measured, Cause: schema.GapCrash}
	f.Add(schema.AppendGap(nil, &g))
	g.VINs = nil
	f.Add(schema.AppendGap(nil, &g))
	d := schema.NewDecoder()
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second schema.Gap
		if d.Gap(&first, data) != nil {
			return
		}
		encoded := schema.AppendGap(nil, &first)
		if err := d.Gap(&second, encoded); err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if again := schema.AppendGap(nil, &second); !bytes.Equal(again, encoded) {
			t.Fatalf("%s then %s", encoded, again)
		}
	})
}

func FuzzLoadCatalogue(f *testing.F) {
	f.Add(catalogueHeader + "a.b,km,float,true,X,,\na.isOpen,,boolean,true,X,OPEN|CLOSED|INVALID,\n")
	f.Add("descriptor\n\"")
	f.Fuzz(func(t *testing.T, csv string) {
		c, err := schema.LoadCatalogue(strings.NewReader(csv), "fuzz")
		if (c == nil) == (err == nil) {
			t.Fatalf("catalogue %v, error %v", c, err)
		}
		if err != nil {
			return
		}
		n, res := schema.NewNormalizer(c), new(schema.Result)
		for e := range c.All() {
			if e.Type == schema.TypeBool && (e.TrueWord == "" || e.FalseWord == "" || e.TrueWord == e.FalseWord) {
				t.Fatalf("%+v", e)
			}
			if !utf8.ValidString(string(e.Descriptor)) {
				t.Fatalf("descriptor %q", e.Descriptor)
			}
			n.Stream(res, input(streamPayload(streamPoint(string(e.Descriptor), `"1"`, e.Unit))))
			if len(res.Readings) != 1 || res.Readings[0].Descriptor != e.Descriptor {
				t.Fatalf("%q: %+v", e.Descriptor, res)
			}
		}
	})
}
