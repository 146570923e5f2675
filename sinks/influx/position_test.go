package influx_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/sinktest"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// place is one position of one car, for the suite of sinks.
type place struct {
	vin schema.VIN
	derive.Position
}

func part(vin schema.VIN, p derive.Part, at time.Time, v float64) schema.Reading {
	r := number(p.Descriptor(), at, v)
	r.VIN = vin
	return r
}

// pair is the readings of a position.
func pair(vin schema.VIN, at time.Time, lat, lon float64) []schema.Reading {
	return []schema.Reading{part(vin, derive.Latitude, at, lat), part(vin, derive.Longitude, at, lon)}
}

// placeSink takes places apart into readings, and puts rejections together again.
type placeSink struct{ readings pipeline.Sink[schema.Reading] }

func (s placeSink) Write(ctx context.Context, places []place) error {
	var batch []schema.Reading
	for _, p := range places {
		batch = append(batch, pair(p.vin, time.Unix(0, p.Time), p.Latitude, p.Longitude)...)
	}
	err := s.readings.Write(ctx, batch)
	if we, ok := errors.AsType[*pipeline.WriteError](err); ok {
		for i := range we.Rejected {
			we.Rejected[i].Index /= 2
		}
		we.Rejected = slices.CompactFunc(we.Rejected, func(a, b pipeline.Rejection) bool { return a.Index == b.Index })
	}
	return err
}

// bothSinks is what a sink process puts readings through.
func bothSinks(c *influx.Client) pipeline.Sink[schema.Reading] {
	return pipeline.NewThen[schema.Reading](influx.NewReadingSink(c), influx.NewPositionSink(c))
}

func TestPositionSinkKeepsTheContract(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		sinktest.Run(t, sinktest.Suite[place]{
			New: func(t *testing.T) sinktest.Subject[place] {
				t.Helper()
				tg := newTarget(t)
				return subject(t, tg, func(c *influx.Client) pipeline.Sink[place] { return placeSink{bothSinks(c)} }, tg.positions, placePoints)
			},
			Batch: func(n int) []place {
				batch := make([]place, n)
				for i := range batch {
					batch[i] = place{vinA, derive.Position{
						Time: noon.Add(11*time.Hour + time.Duration(i)*time.Minute).UnixNano(), Latitude: 48 + float64(i)*0.001, Longitude: 11.5, Altitude: math.NaN(), Heading: math.NaN(),
					}}
					if i%3 == 0 {
						batch[i].vin = vinB
					}
				}
				return batch
			},
			Bad: func() place {
				return place{"car\nwith a line feed", derive.Position{Time: noon.UnixNano(), Latitude: 1, Longitude: 1}}
			},
		})
	})
}

var positionFields = []string{"latitude", "longitude", "altitude", "heading", "apart_ms", "outlier"}

func (tg target) positions(t *testing.T) map[string]map[string]any {
	t.Helper()
	found := tg.values(t, "position", []string{"vin"}, positionFields)
	for _, fields := range found {
		if v, ok := fields["apart_ms"].(int64); ok { // the fake keeps the type
			fields["apart_ms"] = float64(v)
		}
	}
	return found
}

func placePoints(p place) map[string]map[string]any {
	fields := map[string]any{"latitude": p.Latitude, "longitude": p.Longitude, "apart_ms": float64(p.ApartNS / 1e6), "outlier": p.Outlier}
	if !math.IsNaN(p.Altitude) {
		fields["altitude"] = p.Altitude
	}
	if !math.IsNaN(p.Heading) {
		fields["heading"] = p.Heading
	}
	return map[string]map[string]any{fmt.Sprint(p.vin, ", ", p.Time): fields}
}

// wantDerived demands that the store holds just the positions that all its
// readings together give.
func wantDerived(t *testing.T, tg target, readings []schema.Reading) {
	t.Helper()
	tracks := map[schema.VIN]*derive.Track{}
	for _, r := range readings {
		if tracks[r.VIN] == nil {
			tracks[r.VIN] = &derive.Track{}
		}
		tracks[r.VIN].Add(r.Descriptor, r.Time.UnixNano(), r.Value)
	}
	want := map[string]map[string]any{}
	for vin, track := range tracks {
		for _, p := range track.AppendPositions(nil) {
			maps.Copy(want, placePoints(place{vin, p}))
		}
	}
	got := tg.positions(t)
	for key, fields := range want {
		if !maps.Equal(got[key], fields) {
			t.Errorf("%s holds %v, want %v", key, got[key], fields)
		}
	}
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("store holds %d positions, want %d, more than none", len(got), len(want))
	}
}

// drive is a car's readings on a drive, with all that happens on one.
func drive(vin schema.VIN, begin time.Time, positions int) (list []schema.Reading) {
	for i := range positions {
		at := begin.Add(time.Duration(i) * 7 * time.Second)
		lat, lon := 48+float64(i)*0.0008, 11.5+float64(i%2)*0.0001
		if i%40 > 20 && i%40 < 23 {
			lat += 1.8
		}
		late := time.Duration(i%5/3) * time.Second
		list = append(list, part(vin, derive.Latitude, at, lat), part(vin, derive.Longitude, at.Add(late), lon), number("vehicle.vehicle.travelledDistance", at, float64(i)))
		if i%3 == 0 {
			list = append(list, part(vin, derive.Altitude, at.Add(time.Second), 500), part(vin, derive.Heading, at.Add(-time.Second), 90))
		}
		if i%11 == 0 {
			list = append(list, schema.Reading{VIN: vin, Descriptor: derive.Altitude.Descriptor(), Time: at.Add(2 * time.Second)})
		}
	}
	return list
}

func TestAllBatchesTogetherGiveThePositionsOfAllReadings(t *testing.T) {
	trip := slices.Concat(drive(vinA, noon, 150), drive(vinB, noon.Add(time.Minute), 50), drive(vinA, noon.Add(11*time.Hour+50*time.Minute), 120))
	for name, c := range map[string]struct {
		size    int
		reorder func([]schema.Reading) []schema.Reading
		restart int // after so many batches; 0: never
	}{
		"in order":                   {size: 50},
		"each alone":                 {size: 1},
		"in one piece":               {size: 10_000},
		"restarted after each batch": {size: 13, restart: 1},
		"restarted now and then":     {size: 7, restart: 10},
		"backwards":                  {size: 20, reorder: func(l []schema.Reading) []schema.Reading { slices.Reverse(l); return l }},
		"all twice":                  {size: 30, restart: 40, reorder: func(l []schema.Reading) []schema.Reading { return slices.Concat(l, l) }},
		"the second half, then the first": {size: 30, reorder: func(l []schema.Reading) []schema.Reading {
			return slices.Concat(l[len(l)/2:], l[:len(l)/2])
		}},
		"some hours late": {size: 20, reorder: func(l []schema.Reading) []schema.Reading {
			var soon, late []schema.Reading
			for i, r := range l {
				if i%9 == 0 {
					late = append(late, r)
				} else {
					soon = append(soon, r)
				}
			}
			return append(soon, late...)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
				t.Helper()
				tg := newTarget(t)
				if tg.fake == nil && c.size == 1 {
					t.Skip("a thousand requests add nothing here")
				}
				client := newClient(t, tg.cfg)
				list := slices.Clone(trip)
				if c.reorder != nil {
					list = c.reorder(list)
				}
				sink, n := bothSinks(client), 0
				for batch := range slices.Chunk(list, c.size) {
					if err := sink.Write(t.Context(), batch); err != nil {
						t.Fatal(err)
					}
					if n++; c.restart > 0 && n%c.restart == 0 {
						sink = bothSinks(client)
					}
				}
				wantDerived(t, tg, list)
			})
		})
	}
}

func TestALookUpIsNeededAtFirstSightAlone(t *testing.T) {
	tg := fakeTarget(t)
	sink := influx.NewPositionSink(newClient(t, tg.cfg))
	now := time.Now()
	for batch := range slices.Chunk(drive(vinA, now.Add(-time.Hour), 500), 10) {
		if err := sink.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if n := sink.Stats.Lookups.Load(); n != 1 {
		t.Errorf("%d look-ups for one car, want 1", n)
	}
	// Minutes late, as many readings are, is still remembered; an hour is not.
	for _, late := range []struct {
		by   time.Duration
		want int64
	}{{40 * time.Minute, 1}, {26 * time.Hour, 2}} {
		if err := sink.Write(t.Context(), pair(vinA, now.Add(-late.by), 48, 11)); err != nil {
			t.Fatal(err)
		}
		if n := sink.Stats.Lookups.Load(); n != late.want {
			t.Errorf("%d look-ups after a reading %v late, want %d", n, late.by, late.want)
		}
	}
	sink.Generation(1)
	for range 2 {
		if err := sink.Write(t.Context(), pair(vinA, now, 48, 11)); err != nil {
			t.Fatal(err)
		}
		sink.Generation(1)
	}
	if n := sink.Stats.Lookups.Load(); n != 3 {
		t.Errorf("%d look-ups after a rebalance, want 3", n)
	}
}

func TestCatchingUpAWeekNeedsFewLookUps(t *testing.T) {
	for name, c := range map[string]struct {
		every time.Duration
		most  int64
	}{
		"driving all the time":     {time.Minute, 15},
		"positions at trips' ends": {5 * time.Hour, 5},
	} {
		t.Run(name, func(t *testing.T) {
			tg := fakeTarget(t)
			c2 := newClient(t, tg.cfg)
			sink, positions := influx.NewReadingSink(c2), influx.NewPositionSink(c2)
			var list []schema.Reading
			for at := time.Now().AddDate(0, 0, -7); at.Before(time.Now()); at = at.Add(c.every) {
				list = append(list, pair(vinA, at, 48, 11)...)
			}
			for batch := range slices.Chunk(list, 100) {
				if err := errors.Join(sink.Write(t.Context(), batch), positions.Write(t.Context(), batch)); err != nil {
					t.Fatal(err)
				}
			}
			if n := positions.Stats.Lookups.Load(); n > c.most {
				t.Errorf("%d look-ups for %d readings, want at most %d", n, len(list), c.most)
			}
			wantDerived(t, tg, list)
		})
	}
}

func TestAnOutlierIsMarkedOnceTheCarIsBack(t *testing.T) {
	tg := fakeTarget(t)
	client := newClient(t, tg.cfg)
	positions := influx.NewPositionSink(client)
	sink := pipeline.NewThen[schema.Reading](influx.NewReadingSink(client), positions)
	var all []schema.Reading
	for _, step := range []struct {
		seconds  int
		lat      float64
		outliers int64
	}{{0, 48, 0}, {60, 48.01, 0}, {66, 49.8, 0}, {78, 48.01, 1}, {100, 48.02, 1}} {
		batch := pair(vinA, noon.Add(time.Duration(step.seconds)*time.Second), step.lat, 11)
		all = append(all, batch...)
		if err := sink.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if n := positions.Stats.Outliers.Load(); n != step.outliers {
			t.Errorf("after %d s: %d outliers written, want %d", step.seconds, n, step.outliers)
		}
	}
	wantDerived(t, tg, all)
	if n := positions.Stats.Written.Load(); n != 6 {
		t.Errorf("%d points written, want 5 positions and one mark", n)
	}
}

func TestALongitudeAfterMidnightTouchesTheDayBefore(t *testing.T) {
	tg := fakeTarget(t)
	sink := bothSinks(newClient(t, tg.cfg))
	midnight := noon.Truncate(24 * time.Hour).Add(24 * time.Hour)
	lat := part(vinA, derive.Latitude, midnight.Add(-time.Second), 48)
	if err := sink.Write(t.Context(), []schema.Reading{lat}); err != nil {
		t.Fatal(err)
	}
	yesterday := fmt.Sprint(vinA, ",positions, ", midnight.Add(-24*time.Hour).UnixNano())
	if days := tg.values(t, "day", []string{"vin", "table"}, nil); days[yesterday] != nil {
		t.Fatalf("days %v, want none of positions yet", days)
	}
	lon := part(vinA, derive.Longitude, midnight.Add(time.Second), 11)
	if err := sink.Write(t.Context(), []schema.Reading{lon}); err != nil {
		t.Fatal(err)
	}
	if days := tg.values(t, "day", []string{"vin", "table"}, nil); days[yesterday] == nil {
		t.Errorf("days %v, want the day before touched", days)
	}
	wantDerived(t, tg, []schema.Reading{lat, lon})
}

func TestPositionsFollowTheAnswersOfTheServer(t *testing.T) {
	status := func(code int, path string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			w.WriteHeader(code)
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   pipeline.Class
		says   string
	}{
		"away, asked":              {status(http.StatusServiceUnavailable, "/query"), pipeline.Retryable, ""},
		"a token that cannot read": {status(http.StatusForbidden, "/query"), pipeline.Fatal, "may read"},
		"no such database":         {status(http.StatusNotFound, "/query"), pipeline.Fatal, "may read"},
	} {
		t.Run(name, func(t *testing.T) {
			tg := fakeTarget(t)
			sink := influx.NewPositionSink(newClient(t, tg.cfg))
			tg.fake.setAnswer(c.answer)
			batch := pair(vinA, noon, 48, 11)
			err := sink.Write(t.Context(), batch)
			if we, ok := errors.AsType[*pipeline.WriteError](err); !ok || we.Class != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Write = %v, want %v with %q", err, c.want, c.says)
			}
			tg.fake.setAnswer(nil)
			if err := sink.Write(t.Context(), batch); err != nil {
				t.Errorf("afterwards Write = %v", err)
			}
			wantDerived(t, tg, batch)
		})
	}
}

// After a write that failed it is not known what is stored: all is written again.
func TestAFailedWriteIsMadeUpFor(t *testing.T) {
	tg := fakeTarget(t)
	sink := influx.NewPositionSink(newClient(t, tg.cfg))
	first, second := pair(vinA, noon, 48, 11), pair(vinA, noon.Add(time.Second), 48, 11)
	readings := influx.NewReadingSink(newClient(t, tg.cfg))
	if err := errors.Join(readings.Write(t.Context(), first), sink.Write(t.Context(), first), readings.Write(t.Context(), second)); err != nil {
		t.Fatal(err)
	}
	tg.fake.setAnswer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	if err := sink.Write(t.Context(), second); err == nil {
		t.Fatal("no error of a server that is away")
	}
	tg.fake.setAnswer(nil)
	if err := sink.Write(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	wantDerived(t, tg, slices.Concat(first, second))
}

func TestARefusedPositionIsTheReadingsDeadLetter(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*fakeInflux)
		want  []int // readings rejected
		fatal bool
	}{
		"one conflict":                {spoil: func(f *fakeInflux) { f.types["position heading"] = "string" }, want: []int{102}},
		"conflicts of all":            {spoil: func(f *fakeInflux) { f.types["position latitude"] = "string" }, fatal: true},
		"older than the server keeps": {spoil: func(f *fakeInflux) { f.oldest = noon.Add(10 * time.Second) }},
	} {
		t.Run(name, func(t *testing.T) {
			tg := fakeTarget(t)
			c.spoil(tg.fake)
			var batch []schema.Reading
			for i := range 51 {
				batch = append(batch, pair(vinA, noon.Add(time.Duration(i)*time.Second), 48, 11)...)
			}
			batch = append(batch, part(vinA, derive.Latitude, noon.Add(time.Hour), 48), part(vinA, derive.Longitude, noon.Add(time.Hour), 11),
				part(vinA, derive.Heading, noon.Add(time.Hour), 90))
			sink := influx.NewPositionSink(newClient(t, tg.cfg))
			err := sink.Write(t.Context(), batch)
			we, _ := errors.AsType[*pipeline.WriteError](err)
			switch {
			case c.fatal:
				if we == nil || we.Class != pipeline.Fatal {
					t.Errorf("Write = %v, want fatal", err)
				}
			case c.want == nil:
				if err != nil || sink.Stats.TooOld.Load() != 10 || len(tg.positions(t)) != 42 {
					t.Errorf("Write = %v with %d too old and %d stored, want 10 and 42", err, sink.Stats.TooOld.Load(), len(tg.positions(t)))
				}
			default:
				if we == nil || we.Class != pipeline.Permanent || len(we.Rejected) != 1 || we.Rejected[0].Index < 102 {
					t.Errorf("Write = %v, want one reading of the last position rejected", err)
				}
			}
		})
	}
}

func TestReadingsWithoutPositionsCostNothing(t *testing.T) {
	tg := fakeTarget(t)
	sink := influx.NewPositionSink(newClient(t, tg.cfg))
	batch := readingBatch(1000)
	if n := testing.AllocsPerRun(10, func() {
		if err := sink.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if len(tg.fake.lookups) > 0 {
		t.Errorf("look-ups %v, want none", tg.fake.lookups)
	}
}

func fakeTarget(t *testing.T) target {
	t.Helper()
	fake := newFake(1)
	return target{fakeConfig(fake.serve(t)), fake}
}
