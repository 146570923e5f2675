//go:build unix

// The CPU time of the process is asked for in the way of Unix.

package influx

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// BenchmarkPositionSink measures what positions cost besides the readings: batches of 5,000
// readings of five cars, of which one in eight is part of a position.
func BenchmarkPositionSink(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/query" {
			_, _ = io.WriteString(w, `{"results":[{"statement_id":0}]}`)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	c, err := New(Config{URL: srv.URL, Bucket: "cardata"})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	sink, batch := NewPositionSink(c), typical(5000)
	begin, n := time.Now().Add(-100*24*time.Hour), 0
	cpu := cpuSeconds(b)
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch {
			r := &batch[i]
			r.VIN = schema.VIN([]string{"WBY00000000000001", "WBY00000000000002", "WBY00000000000003", "WBY00000000000004", "WBY00000000000005"}[i/8%5])
			r.Time = begin.Add(time.Duration(n*1000+i/160) * time.Second)
			r.Descriptor, r.Value = "vehicle.vehicle.travelledDistance", schema.Value{Kind: schema.KindNumber, Number: 48 + float64(i)/1e4}
			if i%8 == 0 {
				r.Descriptor = derive.Parts()[i/40%4].Descriptor()
			}
		}
		if err := sink.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric((cpuSeconds(b)-cpu)/float64(n*len(batch))*1e6, "CPU-s/million")
	b.ReportMetric(float64(sink.Stats.Written.Load())/float64(n), "positions/op")
	b.ReportMetric(float64(sink.Stats.Lookups.Load())/float64(n), "lookups/op")
}
