package influx_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/sinktest"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

func TestReadingSinkKeepsTheContract(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		sinktest.Run(t, sinktest.Suite[schema.Reading]{
			New: func(t *testing.T) sinktest.Subject[schema.Reading] {
				t.Helper()
				tg := newTarget(t)
				return subject(t, tg, func(c *influx.Client) pipeline.Sink[schema.Reading] { return influx.NewReadingSink(c) },
					tg.readings, func(r schema.Reading) map[string]map[string]any {
						return map[string]map[string]any{readingKey(r): fieldsOf(r)}
					})
			},
			Batch: readingBatch,
			// No InfluxDB takes a key of 64 KiB; the fakes are told by the word.
			Bad: func() schema.Reading { return number(longDescriptor("MALFORMED"), noon, 1) },
		})
	})
}

func TestGapSinkKeepsTheContract(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		sinktest.Run(t, sinktest.Suite[schema.Gap]{
			New: func(t *testing.T) sinktest.Subject[schema.Gap] {
				t.Helper()
				tg := newTarget(t)
				return subject(t, tg, func(c *influx.Client) pipeline.Sink[schema.Gap] { return influx.NewGapSink(c) }, tg.gaps, gapPoints)
			},
			Batch: gapBatch,
			Bad: func() schema.Gap {
				return schema.Gap{GCID: "account\nwith a line feed", Start: noon, End: noon.Add(time.Second), Cause: schema.GapCrash}
			},
		})
	})
}

// subject joins a sink to the target under it; one item may be several points.
func subject[T any](t *testing.T, tg target, open func(*influx.Client) pipeline.Sink[T], held func(t *testing.T) map[string]map[string]any, points func(T) map[string]map[string]any) sinktest.Subject[T] {
	t.Helper()
	c := newClient(t, tg.cfg)
	sub := sinktest.Subject[T]{
		Sink: open(c),
		Missing: func(t *testing.T, items []T) (missing []int) {
			t.Helper()
			got := held(t)
			for i, item := range items {
				for key, want := range points(item) {
					if !maps.Equal(got[key], want) {
						missing = append(missing, i)
						break
					}
				}
			}
			return missing
		},
		Count: func(t *testing.T) int { t.Helper(); return len(held(t)) },
		Close: func() error { c.Close(); return nil },
	}
	if tg.fake != nil {
		answer := func(h http.HandlerFunc) func() func() {
			return func() func() { tg.fake.setAnswer(h); return func() { tg.fake.setAnswer(nil) } }
		}
		sub.Away = answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		sub.Hang = answer(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // only then does the server notice that the client is gone
			<-r.Context().Done()
		})
	}
	return sub
}

// readingBatch has every kind of value, two cars, and midnight inside.
func readingBatch(n int) []schema.Reading {
	batch := make([]schema.Reading, n)
	for i := range batch {
		r := schema.Reading{
			VIN: vinA, Descriptor: schema.Descriptor(fmt.Sprintf("vehicle.test.key%d", i%7)),
			Time: noon.Add(11*time.Hour + time.Duration(i)*time.Minute), Source: schema.SourceStream, GCID: gcidA,
		}
		if i%3 == 0 {
			r.VIN = vinB
		}
		switch i % 4 {
		case 0:
			r.Value = schema.Value{Kind: schema.KindNumber, Number: float64(i) + 0.25}
		case 1:
			r.Value = schema.Value{Kind: schema.KindBool, Bool: i%8 == 1}
		case 2:
			r.Value = schema.Value{Kind: schema.KindText, Text: fmt.Sprintf("text \"%d\", with\nlines\\", i)}
		}
		batch[i] = r
	}
	return batch
}

// gapBatch has one point for each gap: of a car, or of an account without one.
func gapBatch(n int) []schema.Gap {
	batch := make([]schema.Gap, n)
	for i := range batch {
		start := noon.Add(time.Duration(i) * time.Hour)
		batch[i] = schema.Gap{GCID: gcidA, Start: start, End: start.Add(1500 * time.Millisecond), Cause: schema.GapTokenChange}
		if i%2 == 0 {
			batch[i].VINs = []schema.VIN{vinA}
		}
	}
	return batch
}

func (tg target) gaps(t *testing.T) map[string]map[string]any {
	t.Helper()
	found := tg.values(t, "gap", []string{"gcid", "vin"}, []string{"end", "cause", "seconds"})
	for _, fields := range found {
		if v, ok := fields["end"].(int64); ok { // the fake keeps the type
			fields["end"] = float64(v)
		}
	}
	return found
}

func gapPoints(g schema.Gap) map[string]map[string]any {
	fields := map[string]any{"end": float64(g.End.UnixMilli()), "cause": string(g.Cause), "seconds": g.End.Sub(g.Start).Seconds()}
	points := map[string]map[string]any{}
	if len(g.VINs) == 0 {
		points[fmt.Sprint(g.GCID, ",, ", g.Start.UnixNano())] = fields
	}
	for _, vin := range g.VINs {
		points[fmt.Sprint(g.GCID, ",", vin, ", ", g.Start.UnixNano())] = fields
	}
	return points
}
