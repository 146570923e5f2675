package schema_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

var benchReceived = time.Date(2026, 3, 15, 0, 0, 0, 123456789, time.UTC)

// payloadMix gives stream payloads as a driving and charging fleet sends them:
// mostly numbers and positions, then enums and booleans, each with its own
// times.
func payloadMix(tb testing.TB) [][]byte {
	tb.Helper()
	weights := map[string]int{"01": 6, "02": 8, "03": 8, "04": 8, "05": 4, "06": 4, "07": 4, "08": 3, "09": 4, "10": 4, "15": 6, "21": 6}
	var mix [][]byte
	for _, name := range samples(tb, "stream") {
		number := filepath.Base(name)[:2]
		if number == "25" {
			continue // several descriptors in one message have not been seen
		}
		payload, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		for range max(1, weights[number]) {
			at := fmt.Sprintf("2026-03-14T%02d:%02d:%02d", len(mix)/60%24, len(mix)*7%60, len(mix)*13%60)
			i := bytes.LastIndex(payload, []byte(`"timestamp":"`)) + len(`"timestamp":"`)
			p := bytes.Clone(payload)
			copy(p[i:], at)
			mix = append(mix, p)
		}
	}
	return mix
}

func BenchmarkNormalize(b *testing.B) {
	mix := payloadMix(b)
	n := schema.NewNormalizer(schema.Default())
	res := new(schema.Result)
	var buf []byte
	size := 0
	for _, p := range mix {
		size += len(p)
	}
	b.SetBytes(int64(size / len(mix)))
	b.ReportAllocs()
	i, readings := 0, 0
	for b.Loop() {
		n.Stream(res, schema.Input{
			GCID: "00000000-0000-4000-8000-000000000001", Received: benchReceived,
			Source: schema.SourceStream, Payload: mix[i],
		})
		for j := range res.Readings {
			buf = schema.AppendReading(buf[:0], &res.Readings[j])
			readings++
		}
		if i++; i == len(mix) {
			i = 0
		}
	}
	b.ReportMetric(float64(readings)/b.Elapsed().Seconds(), "readings/s")
}

func BenchmarkDecodeReading(b *testing.B) {
	n := schema.NewNormalizer(schema.Default())
	res := new(schema.Result)
	var encoded [][]byte
	size := 0
	for _, p := range payloadMix(b) {
		n.Stream(res, schema.Input{Received: benchReceived, Source: schema.SourceStream, Payload: p})
		encoded = append(encoded, schema.AppendReading(nil, &res.Readings[0]))
		size += len(encoded[len(encoded)-1])
	}
	d := schema.NewDecoder()
	var r schema.Reading
	b.SetBytes(int64(size / len(encoded)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := d.Reading(&r, encoded[i]); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(encoded) {
			i = 0
		}
	}
}

func samples(tb testing.TB, kind string) []string {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", kind, "*.json"))
	if err != nil || len(names) == 0 {
		tb.Fatalf("no samples in testdata/%s: %v", kind, err)
	}
	return names
}

// BenchmarkTokensOfJSONText is what the library would cost for reading alone:
// the same payloads, token by token, nothing done with them. It is the reason
// for the package's own scanner.
func BenchmarkTokensOfJSONText(b *testing.B) {
	mix := payloadMix(b)
	source := bytes.NewBuffer(nil)
	d := jsontext.NewDecoder(source, jsontext.AllowDuplicateNames(true))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		source.Reset()
		source.Write(mix[i])
		d.Reset(source, jsontext.AllowDuplicateNames(true))
		for {
			if _, err := d.ReadToken(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
		if i++; i == len(mix) {
			i = 0
		}
	}
}
