package influx_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/sinktest"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// sessionStart is a whole second, as BMW gives it, shortly before midnight.
var sessionStart = time.Date(2026, 6, 1, 23, 30, 0, 0, time.UTC)

func TestSessionSinkKeepsTheContract(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		sinktest.Run(t, sinktest.Suite[schema.ChargingSession]{
			New: func(t *testing.T) sinktest.Subject[schema.ChargingSession] {
				t.Helper()
				tg := newTarget(t)
				sub := subject(t, tg, func(c *influx.Client) pipeline.Sink[schema.ChargingSession] { return influx.NewSessionSink(c) }, tg.sessions, sessionPoints)
				sub.Count = func(t *testing.T) int { t.Helper(); return len(tg.sessionsOnly(t)) }
				return sub
			},
			Batch: sessionBatch,
			Bad: func() schema.ChargingSession {
				s := fullSession()
				s.VIN = "car\nwith a line feed"
				return s
			},
		})
	})
}

// fullSession has all that BMW can say.
func fullSession() schema.ChargingSession {
	return schema.ChargingSession{
		GCID: gcidA, VIN: vinA, Start: sessionStart, End: sessionStart.Add(90 * time.Minute), TimeZone: "Europe/Berlin",
		StartSOC: new(41.0), EndSOC: new(80.0), ChargingSeconds: new(5000.0), GridKWh: new(18.34000015258789),
		BatteryIncreaseKWh: new(17.5), BatteryDecreaseKWh: new(1.25), DischargedKWh: new(0.5), MileageKm: new(23456.0), Preconditioning: new(true),
		Place: &schema.ChargingPlace{
			Municipality: "Sampletown", Address: "Example \"Road\" 1,\n00000 Sampletown", Street: `Example\Road 1`,
			Latitude: new(48.1001), Longitude: new(11.5001),
		},
		Public: []schema.ChargingPoint{{Provider: "Sample Power", Street: "Motorway 9", PostalCode: "00001", City: "Testburg"}, {Provider: "Other"}, {City: "Town"}},
		Cost:   &schema.ChargingCost{Currency: "EUR", Calculated: new(6.89), Savings: new(0.0)},
		Errors: []schema.ChargingError{{Hint: "ONE"}, {}, {Time: noon, Hint: "TWO"}},
		Blocks: []schema.ChargingBlock{
			{Start: sessionStart, End: sessionStart.Add(time.Minute), AverageGridKW: 3.2},
			{Start: sessionStart.Add(time.Minute), End: sessionStart.Add(40 * time.Minute), AverageGridKW: 10.8},
			{Start: sessionStart.Add(40 * time.Minute), End: sessionStart.Add(90 * time.Minute), AverageGridKW: 4.1},
		},
		Source: schema.SourceREST, Fetched: sessionStart.Add(24 * time.Hour),
	}
}

// running gives the session as it was listed ten minutes after its start.
func running(s schema.ChargingSession) schema.ChargingSession {
	s.End, s.GridKWh, s.ChargingSeconds, s.EndSOC = time.Time{}, nil, new(600.0), new(44.0)
	s.Blocks = []schema.ChargingBlock{s.Blocks[0], {Start: s.Blocks[1].Start, End: s.Start.Add(10 * time.Minute), AverageGridKW: 10.5}}
	s.Fetched = s.Start.Add(10 * time.Minute)
	return s
}

// fullSessionFields is what the point of fullSession must hold.
func fullSessionFields() map[string]any {
	return map[string]any{
		"running": false, "blocks": 3.0, "errors": 3.0, "fetched": float64(sessionStart.Add(24 * time.Hour).UnixMilli()), "source": "rest",
		"end": float64(sessionStart.Add(90 * time.Minute).UnixMilli()), "seconds": 5400.0, "charging_seconds": 5000.0,
		"start_soc": 41.0, "end_soc": 80.0, "grid_kwh": 18.34000015258789, "battery_increase_kwh": 17.5, "battery_decrease_kwh": 1.25, "discharged_kwh": 0.5,
		"mileage_km": 23456.0, "peak_kw": 10.8, "preconditioning": true, "time_zone": "Europe/Berlin",
		"latitude": 48.1001, "longitude": 11.5001, "municipality": "Sampletown", "address": "Example \"Road\" 1,\n00000 Sampletown",
		"street": `Example\Road 1`, "providers": "Sample Power; Other", "public_points": "Sample Power, Motorway 9, 00001 Testburg; Other; Town",
		"cost": 6.89, "savings": 0.0, "currency": "EUR", "error_hints": "ONE; TWO",
	}
}

func TestASessionIsStoredFieldByField(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		full := fullSession()
		if err := influx.NewSessionSink(newClient(t, tg.cfg)).Write(t.Context(), []schema.ChargingSession{full}); err != nil {
			t.Fatal(err)
		}
		wantFullSession(t, tg)
	})
}

func wantFullSession(t *testing.T, tg target) {
	t.Helper()
	full := fullSession()
	got := tg.sessions(t)
	want := blockPoints(full)
	want[sessionKey(full)] = fullSessionFields()
	if !maps.EqualFunc(got, want, maps.Equal) {
		t.Errorf("points = %v\nwant %v", got, want)
	}
	for _, day := range []time.Time{sessionStart, sessionStart.Add(40 * time.Minute)} { // the last block is of the next day
		days := tg.values(t, "day", []string{"vin", "table"}, []string{"touched"})
		if days[fmt.Sprint(vinA, ",charging_sessions, ", day.Truncate(24*time.Hour).UnixNano())] == nil {
			t.Errorf("days = %v, want %s", days, day)
		}
	}
}

func TestARunningSessionIsCompletedByALaterVersion(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		sink := influx.NewSessionSink(newClient(t, tg.cfg))
		early := running(fullSession())
		if err := sink.Write(t.Context(), []schema.ChargingSession{early}); err != nil {
			t.Fatal(err)
		}
		point := tg.sessions(t)[sessionKey(early)]
		if _, ended := point["end"]; ended || point["running"] != true || point["end_soc"] != 44.0 || point["grid_kwh"] != nil {
			t.Errorf("running session = %v", point)
		}
		if err := sink.Write(t.Context(), []schema.ChargingSession{fullSession()}); err != nil {
			t.Fatal(err)
		}
		wantFullSession(t, tg)
	})
}

func TestABlockThatALaterVersionCutOtherwiseCanBeTold(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		sink := influx.NewSessionSink(newClient(t, tg.cfg))
		early, full := fullSession(), fullSession()
		early.Fetched = full.Fetched.Add(-time.Hour)
		early.Blocks = append(early.Blocks, schema.ChargingBlock{Start: sessionStart.Add(7 * time.Minute), AverageGridKW: 5})
		for _, s := range []schema.ChargingSession{early, full} {
			if err := sink.Write(t.Context(), []schema.ChargingSession{s}); err != nil {
				t.Fatal(err)
			}
		}
		points := tg.sessions(t)
		session := points[sessionKey(full)]
		got := map[string]map[string]any{}
		for key, fields := range points {
			if fields["session"] == float64(sessionStart.UnixMilli()) && fields["fetched"] == session["fetched"] {
				got[key] = fields
			}
		}
		if want := blockPoints(full); !maps.EqualFunc(got, want, maps.Equal) {
			t.Errorf("blocks of the stored version = %v, want %v", got, want)
		}
	})
}

func TestOfTwoVersionsInOneBatchTheLaterCounts(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		batch := []schema.ChargingSession{running(fullSession()), fullSession()}
		if err := influx.NewSessionSink(newClient(t, tg.cfg)).Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		wantFullSession(t, tg)
	})
}

// The types of fields never depend on what BMW sent.
func TestFieldsOfSessionsNeverChangeTheirType(t *testing.T) {
	fake := newFake(1)
	tg := target{fakeConfig(fake.serve(t)), fake}
	sink := influx.NewSessionSink(newClient(t, tg.cfg))
	bare := schema.ChargingSession{VIN: vinB, Start: sessionStart, Source: schema.SourceArchive, Fetched: noon}
	hollow := bare
	hollow.VIN, hollow.Place, hollow.Cost = vinA, &schema.ChargingPlace{}, &schema.ChargingCost{}
	batch := append(sessionBatch(12), fullSession(), running(fullSession()), bare, hollow)
	if err := sink.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, measurement := range []string{"charging_session", "charging_block"} {
		for _, p := range fake.all(measurement) {
			for name, v := range p.fields {
				key, is := measurement+" "+name, fmt.Sprintf("%T", v)
				if was, known := types[key]; known && was != is {
					t.Errorf("%s is %s and %s", key, was, is)
				}
				types[key] = is
			}
		}
	}
	if got := types["charging_session end"]; got != "int64" {
		t.Errorf("end is %s, want int64", got)
	}
}

func TestSessionsOlderThanTheRetentionAreDeadLettersAndNoAlarm(t *testing.T) {
	for _, version := range []int{1, 2} {
		fake := newFake(version)
		fake.oldest = sessionStart.Add(-time.Hour)
		tg := target{fakeConfig(fake.serve(t)), fake}
		client := newClient(t, tg.cfg)
		var batch []schema.ChargingSession
		for i := range 40 { // more than would be the server's trouble
			s := fullSession()
			s.Start = sessionStart.Add(-time.Duration(i+1) * 24 * time.Hour)
			s.Blocks = nil
			for j := range 100 {
				s.Blocks = append(s.Blocks, schema.ChargingBlock{Start: s.Start.Add(time.Duration(j) * time.Minute), AverageGridKW: 1})
			}
			batch = append(batch, s)
		}
		batch = append(batch, fullSession())
		err := influx.NewSessionSink(client).Write(t.Context(), batch)
		we, ok := errors.AsType[*pipeline.WriteError](err)
		if !ok || we.Class != pipeline.Permanent || len(we.Rejected) != 40 || we.Rejected[39].Index != 39 || we.Rejected[0].Reason != influx.ReasonRetention {
			t.Fatalf("fake %d: Write = %v, want the first 40 rejected", version, err)
		}
		if got := len(tg.sessionsOnly(t)); got != 1 {
			t.Errorf("fake %d: %d sessions, want 1", version, got)
		}
		if n := client.Stats.Halvings.Load(); n > 10*41 {
			t.Errorf("fake %d: %d requests were halved for 41 sessions, want no halving down to each of 4,000 blocks", version, n)
		}
	}
}

func TestReadingsOlderThanTheRetentionAreNoAlarm(t *testing.T) {
	fake := newFake(2)
	fake.oldest = noon
	tg := target{fakeConfig(fake.serve(t)), fake}
	var batch []schema.Reading
	for i := range 100 {
		batch = append(batch, number("key", noon.Add(time.Duration(i-50)*time.Second), float64(i)))
	}
	err := influx.NewReadingSink(newClient(t, tg.cfg)).Write(t.Context(), batch)
	we, ok := errors.AsType[*pipeline.WriteError](err)
	if !ok || we.Class != pipeline.Permanent || len(we.Rejected) != 50 || len(tg.readings(t)) != 50 {
		t.Errorf("Write = %v and %d readings, want 50 rejected and 50 stored", err, len(tg.readings(t)))
	}
}

// sessionBatch has running and ended sessions with 0 to 3 blocks.
func sessionBatch(n int) []schema.ChargingSession {
	batch := make([]schema.ChargingSession, n)
	for i := range batch {
		start := sessionStart.Add(-time.Duration(i) * 3 * time.Hour)
		s := schema.ChargingSession{VIN: vinA, Start: start, Source: schema.SourceREST, Fetched: noon, StartSOC: new(float64(i % 100)), TimeZone: "Europe/Berlin"}
		if i%2 == 0 {
			s.End, s.GridKWh = start.Add(time.Hour), new(float64(i)/7)
		}
		for j := range i % 4 {
			s.Blocks = append(s.Blocks, schema.ChargingBlock{Start: start.Add(time.Duration(j) * time.Minute), End: start.Add(time.Duration(j+1) * time.Minute), AverageGridKW: float64(j)})
		}
		batch[i] = s
	}
	return batch
}

func sessionKey(s schema.ChargingSession) string {
	return fmt.Sprint("session ", s.VIN, ", ", s.Start.UnixNano())
}

// sessionPoints gives the points of a session of sessionBatch.
func sessionPoints(s schema.ChargingSession) map[string]map[string]any {
	points := blockPoints(s)
	fields := map[string]any{
		"running": s.Running(), "blocks": float64(len(s.Blocks)), "errors": 0.0, "fetched": float64(s.Fetched.UnixMilli()),
		"source": string(s.Source), "start_soc": *s.StartSOC, "time_zone": s.TimeZone,
	}
	if !s.Running() {
		fields["end"], fields["seconds"], fields["grid_kwh"] = float64(s.End.UnixMilli()), s.End.Sub(s.Start).Seconds(), *s.GridKWh
	}
	if n := len(s.Blocks); n > 0 {
		fields["peak_kw"] = s.Blocks[n-1].AverageGridKW
	}
	points[sessionKey(s)] = fields
	return points
}

func blockPoints(s schema.ChargingSession) map[string]map[string]any {
	points := map[string]map[string]any{}
	for _, b := range s.Blocks {
		points[fmt.Sprint("block ", s.VIN, ", ", b.Start.UnixNano())] = map[string]any{
			"session": float64(s.Start.UnixMilli()), "fetched": float64(s.Fetched.UnixMilli()), "average_grid_kw": b.AverageGridKW,
			"end": float64(b.End.UnixMilli()), "seconds": b.End.Sub(b.Start).Seconds(),
		}
	}
	return points
}

func (tg target) sessionsOnly(t *testing.T) map[string]map[string]any {
	t.Helper()
	fields := []string{"session"} // of a server, all that a session can have
	for name := range fullSessionFields() {
		fields = append(fields, name)
	}
	return asFloats(tg.values(t, "charging_session", []string{"vin"}, fields))
}

// sessions gives the points of both measurements, with integers as floats.
func (tg target) sessions(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for key, fields := range tg.sessionsOnly(t) {
		all["session "+key] = fields
	}
	for key, fields := range asFloats(tg.values(t, "charging_block", []string{"vin"}, []string{"session", "fetched", "average_grid_kw", "end", "seconds"})) {
		all["block "+key] = fields
	}
	return all
}

func asFloats(points map[string]map[string]any) map[string]map[string]any {
	for _, fields := range points {
		for name, v := range fields {
			if n, ok := v.(int64); ok { // the fake keeps the type
				fields[name] = float64(n)
			}
		}
	}
	return points
}

func TestEveryDayOfASessionAndOfAGapWithoutACarIsMarked(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		c := newClient(t, tg.cfg)
		long := schema.ChargingSession{VIN: vinA, Start: noon, End: noon.Add(50 * time.Hour), Fetched: noon.Add(60 * time.Hour)}
		wrong := schema.ChargingSession{VIN: vinB, Start: noon, End: noon.AddDate(3, 0, 0), Fetched: noon}
		if err := influx.NewSessionSink(c).Write(t.Context(), []schema.ChargingSession{long, wrong}); err != nil {
			t.Fatal(err)
		}
		gap := schema.Gap{GCID: gcidA, Start: noon, End: noon.Add(time.Minute), Cause: schema.GapRefused}
		if err := influx.NewGapSink(c).Write(t.Context(), []schema.Gap{gap}); err != nil {
			t.Fatal(err)
		}
		days := tg.values(t, "day", []string{"vin", "table"}, []string{"touched"})
		count := map[string]int{}
		for key := range days {
			who, _, _ := strings.Cut(key, ", ")
			count[who]++
		}
		if want := map[string]int{string(vinA) + ",charging_sessions": 3, string(vinB) + ",charging_sessions": 61, ",gaps": 1}; !maps.Equal(count, want) {
			t.Errorf("marked days = %v, want %v", count, want)
		}
	})
}
