//go:build unix

// The CPU time of the process is asked for in the way of Unix.

package influx

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkWrite measures encoding and HTTP against a server in the same
// process that reads and throws away; its cost is in the CPU figure.
func BenchmarkWrite(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	for _, packed := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "gzip"}[packed]
		b.Run(name, func(b *testing.B) {
			c, err := New(Config{URL: srv.URL, Bucket: "cardata", Gzip: packed})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			sink, batch := NewReadingSink(c), typical(5000)
			runtime.GC()
			before := cpuSeconds(b)
			b.ReportAllocs()
			for b.Loop() {
				if err := sink.Write(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			n := float64(b.N) * float64(len(batch))
			b.SetBytes(c.Stats.Bytes.Load() / int64(b.N))
			b.ReportMetric(n/b.Elapsed().Seconds(), "readings/s")
			b.ReportMetric((cpuSeconds(b)-before)/n*1e6, "CPU-s/million")
		})
	}
}

func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
