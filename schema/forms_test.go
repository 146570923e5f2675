package schema_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// update rewrites the golden files.
var update = flag.Bool("update", false, "rewrite golden files")

// TestBothFormsOfEachDescriptor sends every descriptor of the catalogue as the
// stream does, typed and without unit, and as REST does, all strings.
func TestBothFormsOfEachDescriptor(t *testing.T) {
	n := schema.NewNormalizer(schema.Default())
	res, pairs := new(schema.Result), 0
	for e := range schema.Default().All() {
		values := []struct{ stream, rest string }{{"null", "null"}, {`"INVALID"`, `"INVALID"`}, {`"-NA-"`, `"-NA-"`}}
		if e.Type != schema.TypeText {
			values = append(values, struct{ stream, rest string }{`"NEW_WORD"`, `"NEW_WORD"`})
		}
		switch e.Type {
		case schema.TypeNumber, schema.TypeUnknown, schema.TypeText:
			for _, v := range []string{"0", "-1", "42", "78.5", "1.25e2", "48.100012", "true"} {
				values = append(values, struct{ stream, rest string }{v, `"` + v + `"`})
			}
		case schema.TypeBool:
			values = append(values, []struct{ stream, rest string }{
				{"true", `"` + e.TrueWord + `"`},
				{"false", `"` + e.FalseWord + `"`},
				{"true", `"true"`},
				{"false", `"false"`},
				{`"ASN_isTrue"`, `"` + e.TrueWord + `"`},
				{"1", `"1"`},
			}...)
			if strings.HasSuffix(string(e.Descriptor), ".isOpen") {
				values = append(values, struct{ stream, rest string }{"false", `"CLOSED"`}, struct{ stream, rest string }{"true", `"OPEN"`})
			}
		}
		for _, w := range e.Words {
			values = append(values, struct{ stream, rest string }{`"` + w + `"`, `"` + w + `"`})
		}
		units := []string{"", e.Unit}
		if e.Unit == "km" {
			units = append(units, "miles")
		}
		for _, v := range values {
			for _, unit := range units {
				n.Stream(res, input(streamPayload(streamPoint(string(e.Descriptor), v.stream, unit))))
				fromStream := res.Readings[0]
				rest := "null"
				if unit != "" {
					rest = `"` + unit + `"`
				}
				in := input(`{"telematicData":{"` + string(e.Descriptor) + `":{"timestamp":"2026-03-14T07:02:09.000Z","unit":` + rest + `,"value":` + v.rest + `}}}`)
				in.Source = schema.SourceREST
				n.Telematic(res, in)
				if len(res.Readings) != 1 {
					t.Fatalf("%s %s: %v", e.Descriptor, v.rest, res.Faults)
				}
				fromREST := res.Readings[0]
				fromREST.Source, fromREST.Sent, fromREST.Raw, fromStream.Raw = fromStream.Source, fromStream.Sent, "", ""
				if fromREST != fromStream {
					t.Errorf("%s unit %q: stream %s gives %+v, REST %s gives %+v", e.Descriptor, unit, v.stream, fromStream, v.rest, fromREST)
				}
				pairs++
			}
		}
	}
	if pairs < 3000 {
		t.Errorf("only %d pairs", pairs)
	}
}

// describe gives a result as the golden files hold it.
func describe(res *schema.Result) string {
	var b strings.Builder
	for i := range res.Readings {
		fmt.Fprintf(&b, "  reading %s\n", schema.AppendReading(nil, &res.Readings[i]))
	}
	for _, d := range res.Skipped {
		fmt.Fprintf(&b, "  skipped %s\n", d)
	}
	for _, f := range res.Faults {
		fmt.Fprintf(&b, "  fault %s %s: %s\n", f.Reason, f.Descriptor, f.Text)
	}
	return b.String()
}

func TestSamples(t *testing.T) {
	n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
	for _, kind := range []string{"stream", "telematic"} {
		t.Run(kind, func(t *testing.T) {
			var got strings.Builder
			for _, name := range samples(t, kind) {
				payload, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				in := schema.Input{Received: received, Payload: payload}
				if kind == "stream" {
					n.Stream(res, in)
				} else {
					in.VIN, in.GCID = testVIN, testGCID
					n.Telematic(res, in)
				}
				fmt.Fprintf(&got, "%s, misfits %d\n%s", filepath.Base(name), res.Misfits, describe(res))
			}
			golden := filepath.Join("testdata", kind+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("differs from %s (rewrite with -update):\n%s", golden, got.String())
			}
		})
	}
}

func TestNormalizeDoesNotAllocate(t *testing.T) {
	mix := payloadMix(t)
	n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
	var buf []byte
	run := func() {
		for _, p := range mix {
			n.Stream(res, schema.Input{Received: received, Source: schema.SourceStream, Payload: p})
			for i := range res.Readings {
				buf = schema.AppendReading(buf[:0], &res.Readings[i])
			}
		}
	}
	run()
	if allocs := testing.AllocsPerRun(100, run); allocs != 0 {
		t.Errorf("%v allocations for %d payloads, want 0", allocs, len(mix))
	}
}
