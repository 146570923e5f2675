//go:build unix

// The CPU time of the process is asked for in the way of Unix.

package influx

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// BenchmarkScanServer reads ten vehicles' day from the server that
// CARDATA_TEST_INFLUX1 names: by statements for each vehicle and for each
// series, decoded and as a bare drain of the same answers.
func BenchmarkScanServer(b *testing.B) {
	address, token, _ := strings.Cut(os.Getenv("CARDATA_TEST_INFLUX1"), ",")
	if address == "" {
		b.Skip("CARDATA_TEST_INFLUX1 is not set")
	}
	c, err := New(Config{URL: address, Token: pipeline.Secret(token), Bucket: "bench_scan"})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	noRow := func(Row) error { return nil }
	if err := c.EnsureDatabase(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Query(context.WithoutCancel(b.Context()), "DROP DATABASE bench_scan", noRow) })
	const vehicles, series, each = 10, 60, 500
	fillVehicles(b, c, vehicles, series, each)
	for _, dense := range []int64{1, denseSeries} {
		for _, bare := range []bool{true, false} {
			name := map[bool]string{true: "each series", false: "each vehicle"}[dense >= denseSeries] + map[bool]string{true: "/bare", false: "/decoded"}[bare]
			b.Run(name, func(b *testing.B) {
				n := 0
				s := newScanner(func(block *schema.ReadingBlock) error { n += block.Len(); return nil })
				runtime.GC()
				before := cpuSeconds(b)
				for b.Loop() {
					c.perSeries.Store(dense)
					if err := scanAll(b.Context(), c, s, vehicles, bare); err != nil {
						b.Fatal(err)
					}
				}
				rows := float64(b.N) * vehicles * series * each
				if !bare && float64(n) != rows {
					b.Fatalf("%d readings, want %v", n, rows)
				}
				b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric((cpuSeconds(b)-before)/rows*1e6, "CPU-s/million")
			})
		}
	}
}

func scanAll(ctx context.Context, c *Client, s *scanner, vehicles int, bare bool) error {
	var vins []schema.VIN
	for v := range vehicles {
		vins = append(vins, benchVIN(v))
	}
	s.open = false
	if !bare {
		return c.scanVehicles(ctx, s, vins, ReadingsQuery{})
	}
	todo, err := c.scanStatements(ctx, vins, ReadingsQuery{})
	if err != nil {
		return err
	}
	resp, err := c.ask(ctx, scanText(todo, ""), packType)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func benchVIN(v int) schema.VIN { return schema.VIN(fmt.Sprintf("WBY000000000000%02d", v)) }

func fillVehicles(b *testing.B, c *Client, vehicles, series, each int) {
	b.Helper()
	day := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	var batch []schema.Reading
	for v := range vehicles {
		for d := range series {
			for i := range each {
				r := schema.Reading{VIN: benchVIN(v), Descriptor: schema.Descriptor(fmt.Sprintf("vehicle.powertrain.electric.battery.value%02d", d)), Time: day.Add(time.Duration(i) * 97 * time.Second)}
				switch {
				case i%100 == 99: // null
				case d%10 == 9:
					r.Value = schema.Value{Kind: schema.KindText, Text: []string{"CHARGING", "NOCHARGING"}[i%2]}
				case d%10 == 8:
					r.Value = schema.Value{Kind: schema.KindBool, Bool: i%2 == 0}
				default:
					r.Value = schema.Value{Kind: schema.KindNumber, Number: float64((i*i+d)%1000) / 10}
				}
				batch = append(batch, r)
			}
		}
		if err := NewReadingSink(c).Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		batch = batch[:0]
	}
}
