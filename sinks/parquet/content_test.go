package parquet_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

func TestReadingsComeBackValueForValue(t *testing.T) {
	s := open(t, t.TempDir(), full)
	hostile := "\"quotes\", \\ and \n\t\x00 line; 車 🚗"
	s.export(t, day, "1",
		car{vin: vinA, readings: []schema.ReadingBlock{
			block(vinA, soc, noon, num(55.5), schema.Value{}, num(math.Copysign(0, -1)), word("full")),
			block(vinA, soc, noon.Add(time.Hour), num(math.MaxFloat64)),
			block(vinA, moving, noon, yes(true), yes(false)),
			block(vinA, unknown, noon, word(hostile), word(""), word("bad \xff utf")),
		}},
		car{vin: vinB, readings: []schema.ReadingBlock{block(vinB, soc, day.Start(), num(1)), block(vinB, moving, day.Next().Start().Add(-1), yes(true))}},
	)
	s.close(t)
	a := "vin=" + string(vinA) + " descriptor="
	equalLines(t, "readings", rows(t, s.root, part("readings")),
		a+string(soc)+" time=2026-11-24T12:00:00 number=55.5 unit=%",
		a+string(soc)+" time=2026-11-24T12:00:01 unit=%",
		a+string(soc)+" time=2026-11-24T12:00:02 number=-0 unit=%",
		a+string(soc)+" time=2026-11-24T12:00:03 text=full unit=%",
		a+string(soc)+" time=2026-11-24T13:00:00 number=1.7976931348623157e+308 unit=%",
		a+string(moving)+" time=2026-11-24T12:00:00 bool=true",
		a+string(moving)+" time=2026-11-24T12:00:01 bool=false",
		a+string(unknown)+" time=2026-11-24T12:00:00 text="+hostile,
		a+string(unknown)+" time=2026-11-24T12:00:01 text=",
		a+string(unknown)+" time=2026-11-24T12:00:02 text=bad \ufffd utf",
		"vin="+string(vinB)+" descriptor="+string(soc)+" time=2026-11-24T00:00:00 number=1 unit=%",
		"vin="+string(vinB)+" descriptor="+string(moving)+" time=2026-11-24T23:59:59.999999 bool=true",
	)
	clean(t, s.root)
}

func TestEveryDayCanBeWritten(t *testing.T) {
	s := open(t, t.TempDir(), full)
	for _, date := range []string{"1969-12-31", "1970-01-01", "2000-02-29", "2099-12-31"} {
		d := mustDate(date)
		end := d.Next().Start().Add(-1)
		s.export(t, d, "", car{vin: vinA, readings: []schema.ReadingBlock{block(vinA, soc, d.Start(), num(1)), block(vinA, moving, end, yes(true))}})
		got := rows(t, s.root, "readings/date="+date+"/part-0.parquet")
		if len(got) != 2 || !strings.Contains(got[0], date+"T00:00:00 ") || !strings.Contains(got[1], date+"T23:59:59.999999") {
			t.Errorf("%s: %q", date, got)
		}
	}
	s.close(t)
	clean(t, s.root)
}

func TestWideHasOneRowForEachTime(t *testing.T) {
	s := open(t, t.TempDir(), full)
	s.export(t, day, "1",
		car{vin: vinA, readings: []schema.ReadingBlock{
			block(vinA, soc, noon, num(55.5), schema.Value{}, word("full")),
			block(vinA, moving, noon.Add(time.Second), yes(true)),
			block(vinA, unknown, noon, num(7), word("seven"), yes(true)),
		}},
		car{vin: vinB, readings: []schema.ReadingBlock{block(vinB, status, noon, word("CHARGING"))}},
	)
	s.close(t)
	u := string(unknown)
	equalLines(t, "wide", rows(t, s.root, part("wide")),
		"vin="+string(vinA)+" time=2026-11-24T12:00:00 "+string(soc)+"=55.5 "+u+"__number=7",
		"vin="+string(vinA)+" time=2026-11-24T12:00:01 "+string(moving)+"=true "+u+"__text=seven",
		"vin="+string(vinA)+" time=2026-11-24T12:00:02 "+string(soc)+"__text=full "+u+"__bool=true",
		"vin="+string(vinB)+" time=2026-11-24T12:00:00 "+string(status)+"=CHARGING",
	)
	clean(t, s.root)
}

func TestPositionsComeBack(t *testing.T) {
	s := open(t, t.TempDir(), full)
	s.export(t, day, "1", car{vin: vinA, positions: []derive.Position{
		{Time: noon.UnixNano(), Latitude: 48.1, Longitude: 11.5, Altitude: 520, Heading: 90, ApartNS: 1_500_000},
		{Time: noon.Add(time.Second).UnixNano(), Latitude: -48.1, Longitude: -11.5, Altitude: math.NaN(), Heading: math.NaN(), Outlier: true},
	}})
	s.close(t)
	equalLines(t, "positions", rows(t, s.root, part("positions")),
		"vin="+string(vinA)+" time=2026-11-24T12:00:00 latitude=48.1 longitude=11.5 altitude=520 heading=90 apart_ms=1.5 outlier=false",
		"vin="+string(vinA)+" time=2026-11-24T12:00:01 latitude=-48.1 longitude=-11.5 apart_ms=0 outlier=true",
	)
}

func TestSessionsAndBlocksHaveLocalTime(t *testing.T) {
	s := open(t, t.TempDir(), full)
	end := noon.Add(90 * time.Minute)
	w, err := s.Begin(day, "charging_sessions", "charging_blocks")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := w.Vehicle(vinA); err != nil {
		t.Fatal(err)
	}
	evening := day.Start().Add(-time.Hour)
	w.SessionZone(evening, "America/New_York")
	for table, list := range map[string][]cells{
		"charging_blocks": {
			{"time": noon, "session": noon, "fetched": end, "end": end, "seconds": 5400, "average_grid_kw": 10.5},
			{"time": day.Start(), "session": evening, "average_grid_kw": 3},
			{"time": day.Start().Add(time.Second), "session": evening.Add(-time.Hour)},
		},
		"charging_sessions": {
			{"time": noon.Add(time.Hour), "time_zone": "Nowhere/Land", "running": true},
			{
				"time": noon, "time_zone": "Europe/Berlin", "end": end, "running": false, "seconds": 5400.0, "start_soc": 20, "end_soc": 80.5, "grid_kwh": 40.25,
				"preconditioning": true, "municipality": "München", "blocks": 1, "fetched": end, "source": "rest", "latitude": 48.1, "longitude": 11.5,
			},
		},
	} {
		for _, r := range list {
			if err := w.Row(table, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := w.Commit(t.Context(), func(string, schema.VIN) string { return "1" }); err != nil {
		t.Fatal(err)
	}
	s.close(t)
	a := "vin=" + string(vinA)
	equalLines(t, "charging_sessions", rows(t, s.root, part("charging_sessions")),
		a+" start=2026-11-24T12:00:00 end=2026-11-24T13:30:00 start_local=2026-11-24T13:00:00 end_local=2026-11-24T14:30:00 time_zone=Europe/Berlin running=false "+
			"seconds=5400 start_soc=20 end_soc=80.5 grid_kwh=40.25 preconditioning=true latitude=48.1 longitude=11.5 municipality=München blocks=1 source=rest fetched=2026-11-24T13:30:00",
		a+" start=2026-11-24T13:00:00 time_zone=Nowhere/Land running=true",
	)
	equalLines(t, "charging_blocks", rows(t, s.root, part("charging_blocks")),
		a+" start=2026-11-24T00:00:00 start_local=2026-11-23T19:00:00 average_grid_kw=3 session=2026-11-23T23:00:00",
		a+" start=2026-11-24T00:00:01 session=2026-11-23T22:00:00",
		a+" start=2026-11-24T12:00:00 end=2026-11-24T13:30:00 start_local=2026-11-24T13:00:00 end_local=2026-11-24T14:30:00 seconds=5400 average_grid_kw=10.5 session=2026-11-24T12:00:00 fetched=2026-11-24T13:30:00",
	)
	clean(t, s.root)
}

func TestVehiclesAndGaps(t *testing.T) {
	s := open(t, t.TempDir(), full)
	s.export(t, day, "1",
		car{rows: map[string][]cells{"gaps": {{"time": noon, "gcid": gcid, "end": noon.Add(time.Minute), "seconds": 60, "cause": "crash"}}}},
		car{vin: vinA, rows: map[string][]cells{
			"gaps":     {{"time": noon, "gcid": gcid, "end": noon.Add(time.Minute), "seconds": 60, "cause": "crash"}},
			"vehicles": {{"time": noon, "vin": string(vinA), "kind": "basic_data", "facts": 3, "model_name.text": "i0", "doors.number": 5, "a.b.bool": false}},
		}},
	)
	s.close(t)
	gap := "gcid=" + gcid + " start=2026-11-24T12:00:00 end=2026-11-24T12:01:00 seconds=60 cause=crash"
	equalLines(t, "gaps", rows(t, s.root, part("gaps")), gap, "vin="+string(vinA)+" "+gap)
	v := "vin=" + string(vinA) + " kind=basic_data time=2026-11-24T12:00:00 fact="
	equalLines(t, "vehicles", rows(t, s.root, part("vehicles")), v+"a.b bool=false", v+"doors number=5", v+"model_name text=i0")
	clean(t, s.root)
}

func TestCatalogueIsWrittenOnce(t *testing.T) {
	s := open(t, t.TempDir(), full)
	c, err := s.WriteCatalogue(t.Context())
	if err != nil || c.Files != 1 {
		t.Fatalf("WriteCatalogue = %+v, %v", c, err)
	}
	if c, err = s.WriteCatalogue(t.Context()); err != nil || c.Same != 1 || c.Files != 0 {
		t.Fatalf("again: %+v, %v", c, err)
	}
	s.close(t)
	got := rows(t, s.root, "catalogue/part-0.parquet")
	if len(got) != full.Catalogue.Len() {
		t.Errorf("%d rows, want %d", len(got), full.Catalogue.Len())
	}
	clean(t, s.root)
}

func TestWhatIsOutOfOrderIsRefused(t *testing.T) {
	s := open(t, t.TempDir(), full)
	for name, do := range map[string]func(w *parquet.Day) error{
		"a vehicle before another":  func(w *parquet.Day) error { return errors.Join(w.Vehicle(vinB), w.Vehicle(vinA)) },
		"a vehicle twice":           func(w *parquet.Day) error { return errors.Join(w.Vehicle(vinA), w.Vehicle(vinA)) },
		"readings before a vehicle": func(w *parquet.Day) error { return give2(w, block(vinA, soc, noon, num(1))) },
		"readings of another": func(w *parquet.Day) error {
			return errors.Join(w.Vehicle(vinA), give2(w, block(vinB, soc, noon, num(1))))
		},
		"a descriptor before another": func(w *parquet.Day) error {
			return errors.Join(w.Vehicle(vinA), give2(w, block(vinA, moving, noon, yes(true)), block(vinA, soc, noon, num(1))))
		},
		"a time twice": func(w *parquet.Day) error {
			return errors.Join(w.Vehicle(vinA), give2(w, block(vinA, soc, noon, num(1)), block(vinA, soc, noon, num(1))))
		},
		"readings of another day": func(w *parquet.Day) error {
			return errors.Join(w.Vehicle(vinA), give2(w, block(vinA, soc, day.Next().Start(), num(1))))
		},
		"a row of another day": func(w *parquet.Day) error {
			return errors.Join(w.Vehicle(vinA), w.Row("gaps", cells{"time": day.Next().Start()}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := s.Begin(day, "readings", "gaps")
			if err != nil {
				t.Fatal(err)
			}
			defer w.Abort()
			if err := do(w); !errors.Is(err, parquet.ErrOrder) {
				t.Errorf("got %v, want ErrOrder", err)
			}
		})
	}
	if _, err := s.Begin(day, "trips2"); err == nil || !strings.Contains(err.Error(), "trips2") {
		t.Errorf("Begin of an unknown table = %v", err)
	}
}

func give2(w *parquet.Day, blocks ...schema.ReadingBlock) error {
	for i := range blocks {
		if err := w.Readings(&blocks[i]); err != nil {
			return err
		}
	}
	return nil
}
