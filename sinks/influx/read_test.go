package influx_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

func TestDaysGiveTheMarksOfATable(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		c := newClient(t, newTarget(t).cfg)
		day := noon.Truncate(24 * time.Hour)
		var want []influx.Day
		for i := range 3 {
			for j, vin := range []schema.VIN{vinA, vinB} {
				want = append(want, influx.Day{VIN: vin, Table: "readings", Day: day.AddDate(0, 0, i), Touched: time.UnixMilli(1_780_000_000_123 + int64(10*i+j)).UTC()})
			}
		}
		other := influx.Day{VIN: vinA, Table: "gaps", Day: day, Touched: noon}
		if err := c.TouchDays(t.Context(), append(slices.Clone(want), other)); err != nil {
			t.Fatal(err)
		}
		for _, span := range []struct{ from, to time.Time }{{}, {noon, day.AddDate(0, 0, 3)}} {
			got, err := c.Days(t.Context(), "readings", span.from, span.to)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("Days of %v = %v, %v; want %v", span, got, err, want)
			}
		}
		got, err := c.Days(t.Context(), "readings", noon.AddDate(0, 0, 1), day.AddDate(0, 0, 2))
		if err != nil || !slices.Equal(got, want[2:4]) {
			t.Errorf("Days of one day = %v, %v; want %v", got, err, want[2:4])
		}
	})
}

// The counts must be those of a scan, whatever fields share a key, and on days
// (shards) that never saw one of the fields.
func TestCountsAreThoseOfAScan(t *testing.T) {
	kinds := []schema.Value{{Kind: schema.KindNumber, Number: -2.5}, {Kind: schema.KindBool, Bool: false}, {Kind: schema.KindText, Text: ""}, {}}
	eachRealServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		c := newClient(t, newTarget(t).cfg)
		for set := 1; set < 1<<len(kinds); set++ {
			for i, v := range kinds {
				if set>>i&1 == 0 {
					continue
				}
				var batch []schema.Reading
				own := noon.AddDate(0, 0, 14*set) // in a shard that has no other fields
				for _, at := range []time.Time{noon, noon.AddDate(0, 0, 1), own} {
					for _, d := range []schema.Descriptor{"a", "b"} {
						r := number(d, at.Add(time.Duration(set)*time.Second), 0)
						r.Value = v
						batch = append(batch, r)
					}
				}
				batch[0].VIN = vinB
				if err := influx.NewReadingSink(c).Write(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := map[string]int64{}
		err := c.ScanReadings(t.Context(), influx.ReadingsQuery{}, func(b *schema.ReadingBlock) error {
			for _, ns := range b.Times {
				want[fmt.Sprint(b.VIN, time.Unix(0, ns).UTC().Format(time.DateOnly))]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, vins := range [][]schema.VIN{nil, {vinB, vinA}} {
			counts, err := c.CountReadings(t.Context(), vins, time.Time{}, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int64{}
			for _, n := range counts {
				got[fmt.Sprint(n.VIN, n.Day.Format(time.DateOnly))] += n.Readings
			}
			for day, n := range want {
				if got[day] != n {
					t.Errorf("CountReadings of %v gave %d on %s, want %d", vins, got[day], day, n)
				}
			}
			if len(got) != len(want) {
				t.Errorf("CountReadings of %v gave %d days, want %d", vins, len(got), len(want))
			}
		}
	})
}

func TestRowsComeInOrderOfVehicleAndTime(t *testing.T) {
	eachRealServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		c := newClient(t, newTarget(t).cfg)
		for i := range 3 {
			gap := schema.Gap{GCID: gcidA, VINs: []schema.VIN{vinB, vinA}, Start: noon.Add(time.Duration(i) * time.Hour), End: noon.Add(90 * time.Hour), Cause: schema.GapCrash}
			if i == 2 {
				gap.VINs = nil
			}
			if err := influx.NewGapSink(c).Write(t.Context(), []schema.Gap{gap}); err != nil {
				t.Fatal(err)
			}
		}
		read := func(q influx.RowsQuery) (got []string) {
			t.Helper()
			q.Measurement = "gap"
			err := c.Rows(t.Context(), q, func(r influx.Row) error {
				cause, _ := r.Text("cause")
				gcid, _ := r.Text("gcid")
				got = append(got, fmt.Sprint(r.Tag("vin"), " ", time.Unix(0, r.Time()).UTC().Sub(noon), " ", cause, " ", gcid == string(gcidA)))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		all := []string{
			" 2h0m0s crash true",
			fmt.Sprint(vinA, " 0s crash true"), fmt.Sprint(vinA, " 1h0m0s crash true"),
			fmt.Sprint(vinB, " 0s crash true"), fmt.Sprint(vinB, " 1h0m0s crash true"),
		}
		if got := read(influx.RowsQuery{}); !slices.Equal(got, all) {
			t.Errorf("Rows = %q, want %q", got, all)
		}
		if got := read(influx.RowsQuery{Fields: []string{"cause", "gcid"}, VINs: []schema.VIN{vinB, vinA}, From: noon.Add(time.Hour), To: noon.Add(2 * time.Hour)}); !slices.Equal(got, []string{all[2], all[4]}) {
			t.Errorf("Rows of an hour = %q, want %q", got, []string{all[2], all[4]})
		}
	})
}

func TestReadsTellWhatToDoWhenTheyFail(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		class  pipeline.Class
	}{
		"away for now":     {503, "", pipeline.Retryable},
		"torn":             {200, `{"results":[{"statement_id":0,"series":[`, pipeline.Retryable},
		"wrong token":      {401, `{"code":"unauthorized"}`, pipeline.Fatal},
		"missing database": {200, `{"results":[{"statement_id":0,"error":"database not found: x"}]}`, pipeline.Fatal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := clientOver(t, answering(tt.status, nil, tt.body))
			_, days := c.Days(t.Context(), "readings", noon, noon.Add(time.Hour))
			_, counts := c.CountReadings(t.Context(), nil, noon, noon.Add(time.Hour))
			rows := c.Rows(t.Context(), influx.RowsQuery{Measurement: "gap"}, func(influx.Row) error { return nil })
			for what, err := range map[string]error{"Days": days, "CountReadings": counts, "Rows": rows} {
				if re, ok := errors.AsType[*influx.ReadError](err); !ok || re.Class != tt.class {
					t.Errorf("%s = %v, want a *ReadError of class %v", what, err, tt.class)
				}
			}
		})
	}
}
