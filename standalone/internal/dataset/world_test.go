package dataset

import (
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/dir"
)

const (
	carA schema.VIN  = "WBY00000000000001"
	carB schema.VIN  = "WBY00000000000002"
	carC schema.VIN  = "WBY00000000000003"
	gcid schema.GCID = "00000000-0000-4000-8000-000000000001"

	soc       schema.Descriptor = "vehicle.drivetrain.batteryManagement.header"
	mileage   schema.Descriptor = "vehicle.vehicle.travelledDistance"
	trunk     schema.Descriptor = "vehicle.body.trunk.isOpen"
	status    schema.Descriptor = "vehicle.drivetrain.electricEngine.charging.status"
	unknown   schema.Descriptor = "vehicle.new.key.of.2027"
	latitude  schema.Descriptor = "vehicle.cabin.infotainment.navigation.currentLocation.latitude"
	longitude schema.Descriptor = "vehicle.cabin.infotainment.navigation.currentLocation.longitude"
)

// day0 is the first of three days with data.
var day0 = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func day(n int) time.Time { return day0.AddDate(0, 0, n) }

// world is one database and one target.
type world struct {
	t        *testing.T
	db       *influx.Client
	database string
	root     string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, name := newDatabase(t)
	return &world{t: t, db: db, database: name, root: filepath.Join(t.TempDir(), "parquet")}
}

func number(vin schema.VIN, d schema.Descriptor, at time.Time, v float64) schema.Reading {
	return schema.Reading{VIN: vin, Descriptor: d, Time: at, Value: schema.Value{Kind: schema.KindNumber, Number: v}}
}

func text(vin schema.VIN, d schema.Descriptor, at time.Time, v string) schema.Reading {
	return schema.Reading{VIN: vin, Descriptor: d, Time: at, Value: schema.Value{Kind: schema.KindText, Text: v}}
}

// threeDays gives readings of three cars on three days: all kinds of values, keys
// and values that the catalogue does not expect, times at the edges of days.
func threeDays() []schema.Reading {
	var list []schema.Reading
	for n := range 3 {
		for i, vin := range []schema.VIN{carA, carB, carC} {
			if vin == carC && n != 1 {
				continue
			}
			for minute := 0; minute < 1440; minute += 7 {
				at := day(n).Add(time.Duration(minute)*time.Minute + time.Duration(i)*time.Second)
				list = append(list,
					number(vin, soc, at, float64(minute%100)+0.5),
					number(vin, mileage, at, 10000+float64(minute)),
					schema.Reading{VIN: vin, Descriptor: trunk, Time: at, Value: schema.Value{Kind: schema.KindBool, Bool: minute%2 == 0}},
					text(vin, status, at, "CHARGINGACTIVE"),
					number(vin, latitude, at, 48.1+float64(minute)/100_000),
					number(vin, longitude, at.Add(time.Second), 11.5+float64(minute)/100_000),
				)
			}
			list = append(list,
				number(vin, unknown, day(n).Add(time.Hour), math.Pi),
				text(vin, unknown, day(n).Add(2*time.Hour), "two\nlines, \"quoted\" 🚗"),
				text(vin, soc, day(n).Add(3*time.Hour+time.Millisecond), "not a number"),                        // the catalogue expects one
				schema.Reading{VIN: vin, Descriptor: mileage, Time: day(n).Add(4*time.Hour + time.Millisecond)}, // reported nothing
				number(vin, soc, day(n), 1), number(vin, soc, day(n+1).Add(-time.Microsecond), 2), // both edges
			)
		}
	}
	return list
}

func (w *world) store(readings ...schema.Reading) {
	w.t.Helper()
	if err := influx.NewReadingSink(w.db).Write(w.t.Context(), readings); err != nil {
		w.t.Fatal(err)
	}
}

// fill stores something for every table.
func (w *world) fill() {
	w.t.Helper()
	w.store(threeDays()...)
	ctx := w.t.Context()
	if err := influx.NewSessionSink(w.db).Write(ctx, []schema.ChargingSession{session(carA), session(carB)}); err != nil {
		w.t.Fatal(err)
	}
	if err := influx.NewGapSink(w.db).Write(ctx, []schema.Gap{
		{GCID: gcid, VINs: []schema.VIN{carA, carB}, Start: day(1).Add(time.Hour), End: day(1).Add(2 * time.Hour), Cause: schema.GapCrash},
		{GCID: gcid, Start: day(2).Add(time.Hour), End: day(2).Add(2 * time.Hour), Cause: schema.GapRefused},
	}); err != nil {
		w.t.Fatal(err)
	}
	if err := influx.NewVehicleSink(w.db).Write(ctx, []schema.Vehicle{{
		GCID: gcid, VIN: carA, Kind: schema.VehicleBasicData, Fetched: day(1).Add(5 * time.Hour), Facts: []schema.Fact{
			{Name: "model_name", Value: schema.Value{Kind: schema.KindText, Text: "i4"}},
			{Name: "number_of_doors", Value: schema.Value{Kind: schema.KindNumber, Number: 5}},
		},
	}}); err != nil {
		w.t.Fatal(err)
	}
}

// session plugs in late on the first day and ends on the second.
func session(vin schema.VIN) schema.ChargingSession {
	start := day(0).Add(23*time.Hour + 30*time.Minute)
	return schema.ChargingSession{
		GCID: gcid, VIN: vin, Start: start, End: start.Add(90 * time.Minute), TimeZone: "Europe/Berlin", GridKWh: new(18.25),
		Place: &schema.ChargingPlace{Municipality: "Sampletown", Address: "Example Road 1", Latitude: new(48.1), Longitude: new(11.5)},
		Blocks: []schema.ChargingBlock{
			{Start: start, End: start.Add(20 * time.Minute), AverageGridKW: 11},
			{Start: start.Add(20 * time.Minute), End: start.Add(45 * time.Minute), AverageGridKW: 10},
			{Start: start.Add(45 * time.Minute), End: start.Add(90 * time.Minute), AverageGridKW: 9},
		},
		Source: schema.SourceREST, Fetched: day(2),
	}
}

// config gives the defaults, on the world's database and target.
func (w *world) config() export.Config {
	w.t.Helper()
	var cfg export.Config
	if err := env.Defaults(&cfg); err != nil {
		w.t.Fatal(err)
	}
	cfg.InfluxURL, cfg.InfluxToken, cfg.InfluxOrg = store.URL, store.Token, store.Org
	cfg.InfluxBucket, cfg.ExportTarget = w.database, w.root
	return cfg
}

// exporter gives an export with a changed configuration.
func (w *world) exporter(change ...func(*export.Config)) *export.Export {
	w.t.Helper()
	cfg := w.config()
	for _, c := range change {
		c(&cfg)
	}
	target, err := dir.New(cfg.ExportTarget)
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := export.New(cfg, target, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(e.Close)
	return e
}

func (w *world) run(e *export.Export, sel export.Selection) export.Summary {
	w.t.Helper()
	sum, err := e.Run(w.t.Context(), sel)
	if err != nil {
		w.t.Fatal(err)
	}
	return sum
}

func (w *world) verified(e *export.Export) export.Report {
	w.t.Helper()
	r, err := e.Verify(w.t.Context(), false)
	if err != nil {
		w.t.Errorf("verify: %v: %v", err, r.Findings)
	}
	return r
}

// stored gives what InfluxDB has: "vin descriptor time" and the value.
func (w *world) stored() map[string]any {
	w.t.Helper()
	found := map[string]any{}
	err := w.db.Query(w.t.Context(), `SELECT "number","bool","text","absent" FROM "reading" GROUP BY "vin","descriptor"`, func(r influx.Row) error {
		key := fmt.Sprint(r.Tag("vin"), " ", r.Tag("descriptor"), " ", time.Unix(0, r.Time()).UTC())
		found[key] = nil
		if v, ok := r.Float("number"); ok {
			found[key] = v
		} else if v, ok := r.Bool("bool"); ok {
			found[key] = v
		} else if v, ok := r.Text("text"); ok {
			found[key] = v
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}
