package dataset

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// The data of the benchmark: cars that send 60 keys every two minutes of a day.
const (
	benchCars, benchKeys, benchStep = 5, 60, 2 * time.Minute
	benchDays                       = 6
)

// bigDatabase fills a database with 1.3 million readings.
func bigDatabase(b *testing.B) (name string, readings int) {
	b.Helper()
	c, name := newDatabase(b)
	keys := benchDescriptors()
	s := influx.NewReadingSink(c)
	var batch []schema.Reading
	for at := day0; at.Before(day(benchDays)); at = at.Add(benchStep) {
		for car := range benchCars {
			vin := schema.VIN(fmt.Sprintf("WBY0000000000000%d", car))
			for i, d := range keys {
				r := number(vin, d, at.Add(time.Duration(i)*time.Millisecond), float64(at.Unix()%1000)/8+float64(i))
				switch d {
				case trunk:
					r.Value = schema.Value{Kind: schema.KindBool, Bool: at.Minute()%2 == 0}
				case status:
					r.Value = schema.Value{Kind: schema.KindText, Text: "NOCHARGING"}
				}
				batch = append(batch, r)
			}
		}
		if len(batch) >= 20_000 {
			readings += len(batch)
			if err := s.Write(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	if err := s.Write(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	return name, readings + len(batch)
}

func benchDescriptors() []schema.Descriptor {
	var keys []schema.Descriptor
	for e := range schema.Default().All() {
		if e.Type == schema.TypeNumber && len(keys) < benchKeys-3 {
			keys = append(keys, e.Descriptor)
		}
	}
	return append(keys, trunk, status, unknown)
}

// BenchmarkExport measures whole processes on one server and the same data: the
// exporter, a bare drain of the same rows, and, where CARDATA_TEST_PYTHON is set,
// what people do today: Python and pandas.
func BenchmarkExport(b *testing.B) {
	name, readings := bigDatabase(b)
	report := func(b *testing.B, seconds float64, rows int, peakKiB int64) {
		b.Helper()
		b.ReportMetric(float64(rows)*float64(b.N)/seconds, "rows/s")
		b.ReportMetric(float64(peakKiB)/1024, "peak-MiB")
		b.ReportMetric(0, "ns/op")
	}
	for _, tables := range []string{"readings", "readings,wide,positions"} {
		b.Run("export of "+tables, func(b *testing.B) {
			var seconds float64
			var peak int64
			for b.Loop() {
				cmd := exec.Command(binary, "run", "--tables", tables)
				cmd.Env = append(append(os.Environ(), environment(name)...), "CARDATA_EXPORT_TARGET="+filepath.Join(b.TempDir(), "parquet"))
				seconds += process(b, cmd, &peak, nil)
			}
			report(b, seconds, readings, peak)
		})
	}
	for _, by := range []string{"series", "vehicle"} {
		b.Run("bare drain by "+by, func(b *testing.B) {
			var seconds float64
			for b.Loop() {
				seconds += drain(b, name, by == "series")
			}
			report(b, seconds, readings, 0)
		})
	}
	b.Run("python and pandas", func(b *testing.B) {
		interpreter := python(b)
		var seconds float64
		var peak int64
		for b.Loop() {
			var out strings.Builder
			args := []string{
				"../../../test/python/bench_export.py", "--url", store.URL, "--from", day0.Format(time.DateOnly),
				"--to", day(benchDays).Format(time.DateOnly), "--out", filepath.Join(b.TempDir(), "pandas.parquet"),
			}
			if store.Org != "" { // the client library speaks to 2.x alone
				args = append(args, "--token", string(store.Token), "--org", store.Org, "--bucket", name)
			} else {
				args = append(args, "--database", name)
			}
			process(b, exec.Command(interpreter, args...), &peak, &out)
			var said struct {
				Rows    int
				Seconds float64
			}
			if err := json.Unmarshal([]byte(out.String()), &said); err != nil || said.Rows != readings {
				b.Fatalf("%v: %s, want %d rows", err, out.String(), readings)
			}
			seconds += said.Seconds // without the start of the interpreter
		}
		report(b, seconds, readings, peak)
	})
}

// process runs cmd and gives its time; peak becomes the largest memory seen.
func process(b *testing.B, cmd *exec.Cmd, peakKiB *int64, stdout io.Writer) float64 {
	b.Helper()
	var complaints strings.Builder
	cmd.Stdout, cmd.Stderr = stdout, &complaints
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%v\n%s", err, complaints.String())
	}
	took := time.Since(begun).Seconds()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		*peakKiB = max(*peakKiB, usage.Maxrss)
	}
	return took
}

// drain asks for all readings as the exporter does, and reads the bytes alone.
func drain(b *testing.B, database string, bySeries bool) float64 {
	b.Helper()
	begun := time.Now()
	for n := range benchDays {
		for car := range benchCars {
			where := fmt.Sprintf(" WHERE vin = 'WBY0000000000000%d' AND time >= %d AND time < %d", car, day(n).UnixNano(), day(n+1).UnixNano())
			const what = "SELECT number, bool, text, absent FROM reading"
			q := what + where + " GROUP BY descriptor"
			if bySeries {
				q = ""
				for _, d := range benchDescriptors() {
					q += what + where + " AND descriptor = " + influx.QuoteText(string(d)) + ";"
				}
			}
			name, policy, _ := strings.Cut(database, "/")
			form := url.Values{"db": {name}, "rp": {policy}, "epoch": {"ns"}, "chunked": {"true"}, "q": {q}}
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, store.URL+"/query", strings.NewReader(form.Encode()))
			if err != nil {
				b.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Accept", "application/x-msgpack")
			if store.Token != "" {
				req.Header.Set("Authorization", "Token "+string(store.Token))
			}
			resp, err := (&http.Client{}).Do(req)
			if err != nil {
				b.Fatal(err)
			}
			size, err := io.Copy(io.Discard, resp.Body)
			if _ = resp.Body.Close(); err != nil || size < 1000 {
				b.Fatal("drained "+strconv.FormatInt(size, 10)+" bytes: ", err)
			}
		}
	}
	return time.Since(begun).Seconds()
}
