package e2e

import (
	"fmt"
	"math"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// positions demands two things of measurement position. Each latitude and longitude that the
// simulator measured at one time is there. And each car's points are just what all
// its readings in InfluxDB give together, marks included: whatever was cut by
// batches, restarts and crashes of the sink has been made whole.
func (r *rig) positions() {
	r.tb.Helper()
	pairs, outliers := 0, 0
	for _, a := range r.sim.Accounts() {
		sent := make(map[schema.VIN]*derive.Track)
		for e := range r.sim.Ledger().Entries(a.GCID) {
			if e.Unreadable {
				continue
			}
			if sent[e.VIN] == nil {
				sent[e.VIN] = &derive.Track{}
			}
			sent[e.VIN].Add(e.Descriptor, e.Measured.UnixNano(), e.Truth)
		}
		for _, vin := range a.VINs {
			stored := r.stored(vin)
			r.derived(vin, stored)
			if sent[vin] == nil {
				continue
			}
			for _, p := range sent[vin].AppendPositions(nil) {
				if p.Outlier {
					outliers++
				}
				if p.ApartNS != 0 {
					continue
				}
				pairs++
				if got, ok := stored[p.Time]; !ok || got.Latitude != p.Latitude || got.Longitude != p.Longitude || got.ApartNS != 0 {
					r.tb.Errorf("%s: position %+v, want %+v", vin.LogValue(), got, p)
				}
			}
		}
	}
	if pairs < 100 {
		r.tb.Errorf("%d pairs measured at one time: that proves nothing", pairs)
	}
	r.tb.Logf("%d pairs measured at one time, %d outliers", pairs, outliers)
}

// stored reads a car's points of measurement position.
func (r *rig) stored(vin schema.VIN) map[int64]derive.Position {
	r.tb.Helper()
	list := make(map[int64]derive.Position)
	q := fmt.Sprintf(`SELECT "latitude", "longitude", "altitude", "heading", "apart_ms", "outlier" FROM "position" WHERE "vin" = %s`, influx.QuoteText(string(vin)))
	err := r.db.Query(r.tb.Context(), q, func(row influx.Row) error {
		float := func(name string) float64 {
			if v, ok := row.Float(name); ok {
				return v
			}
			return math.NaN()
		}
		apart, _ := row.Int("apart_ms")
		outlier, _ := row.Bool("outlier")
		list[row.Time()] = derive.Position{
			Time: row.Time(), Latitude: float("latitude"), Longitude: float("longitude"), Altitude: float("altitude"), Heading: float("heading"),
			ApartNS: apart * 1e6, Outlier: outlier,
		}
		return nil
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	return list
}

// derived compares a car's points with what its readings in InfluxDB give.
func (r *rig) derived(vin schema.VIN, stored map[int64]derive.Position) {
	r.tb.Helper()
	var track derive.Track
	q := fmt.Sprintf(`SELECT "number" FROM "reading" WHERE "vin" = %s GROUP BY "descriptor"`, influx.QuoteText(string(vin)))
	err := r.db.Query(r.tb.Context(), q, func(row influx.Row) error {
		if v, ok := row.Float("number"); ok {
			track.Add(schema.Descriptor(row.Tag("descriptor")), row.Time(), schema.Value{Kind: schema.KindNumber, Number: v})
		}
		return nil
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	want := track.AppendPositions(nil)
	for i := range want {
		if got, ok := stored[want[i].Time]; !ok || !got.Same(&want[i]) {
			r.tb.Errorf("%s: position %+v, the readings give %+v", vin.LogValue(), got, want[i])
		}
	}
	if len(stored) != len(want) {
		r.tb.Errorf("%s: %d positions, the readings give %d", vin.LogValue(), len(stored), len(want))
	}
}
