package backfill

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// feed hands over what a test puts in.
type feed chan []pipeline.Record

func (f feed) Run(ctx context.Context, handle kafka.Handler) error {
	for {
		select {
		case batch := <-f:
			if err := handle(ctx, batch[0].Topic, 0, batch); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (f feed) reading(vin schema.VIN, source schema.Source) {
	now := time.Now().UTC()
	r := schema.Reading{
		VIN: vin, Descriptor: mileage, Time: now, Value: schema.Value{Kind: schema.KindNumber, Number: 1}, Source: source, Received: now, GCID: testGCID,
	}
	f <- []pipeline.Record{{Topic: names.Readings, Key: []byte(vin), Value: schema.AppendReading(nil, &r), Time: now}}
}

// gap ends now.
func (f feed) gap(length time.Duration, vins ...schema.VIN) {
	now := time.Now().UTC()
	g := schema.Gap{GCID: testGCID, VINs: vins, Start: now.Add(-length), End: now, Cause: schema.GapConnection}
	f <- []pipeline.Record{{Topic: names.Gaps, Key: []byte(testGCID), Value: schema.AppendGap(nil, &g), Time: now}}
}

// watching runs watch beside a test, past its first daily run.
func watching(t *testing.T, test func(w *world, f feed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f := make(feed)
		w.feed = f
		w.bmw.mappings[car2] = "PRIMARY"
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.backfill().Watch(ctx) }()
		<-time.After(3 * time.Minute)
		w.bmw.forget()
		test(w, f)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (w *world) repairs() int {
	n := 0
	for _, c := range w.bmw.made() {
		if strings.Contains(c, "telematicData") {
			n++
		}
	}
	return n
}

func TestWatchRepairs(t *testing.T) {
	tests := map[string]struct {
		do   func(f feed)
		want int
	}{
		"a gap after recent data": {func(f feed) {
			f.reading(car1, schema.SourceStream)
			<-time.After(20 * time.Minute)
			f.gap(20*time.Minute, car1, car2)
		}, 1},
		"both cars were heard": {func(f feed) {
			f.reading(car1, schema.SourceStream)
			f.reading(car2, schema.SourceStream)
			<-time.After(70 * time.Minute)
			f.gap(30*time.Minute, car1, car2)
		}, 2},
		"a short gap": {func(f feed) {
			f.reading(car1, schema.SourceStream)
			<-time.After(15 * time.Minute)
			f.gap(15*time.Minute, car1)
		}, 0},
		"a car that slept": {func(f feed) {
			f.reading(car1, schema.SourceStream)
			<-time.After(3 * time.Hour)
			f.gap(time.Hour, car1)
		}, 0},
		"heard by REST alone": {func(f feed) {
			f.reading(car1, schema.SourceREST)
			<-time.After(20 * time.Minute)
			f.gap(20*time.Minute, car1)
		}, 0},
		"readings come after the gap's record": {func(f feed) {
			start := time.Now().UTC()
			<-time.After(20 * time.Minute)
			f.gap(20*time.Minute, car1)
			<-time.After(10 * time.Minute)
			r := schema.Reading{VIN: car1, Descriptor: mileage, Time: start, Source: schema.SourceStream, Received: start, GCID: testGCID}
			f <- []pipeline.Record{{Topic: names.Readings, Key: []byte(car1), Value: schema.AppendReading(nil, &r), Time: start}}
		}, 1},
		"gaps that follow each other": {func(f feed) {
			for range 3 {
				f.reading(car1, schema.SourceStream)
				<-time.After(16 * time.Minute)
				f.gap(16*time.Minute, car1)
				<-time.After(time.Minute)
			}
		}, 1},
		"another account's gap": {func(f feed) {
			f.reading(car1, schema.SourceStream)
			<-time.After(20 * time.Minute)
			now := time.Now().UTC()
			g := schema.Gap{GCID: "00000000-0000-4000-8000-000000000009", VINs: []schema.VIN{car1}, Start: now.Add(-20 * time.Minute), End: now, Cause: schema.GapConnection}
			f <- []pipeline.Record{{Topic: names.Gaps, Value: schema.AppendGap(nil, &g), Time: now}}
		}, 0},
		"not a gap": {func(f feed) {
			f <- []pipeline.Record{{Topic: names.Gaps, Value: []byte("rubbish"), Time: time.Now()}}
		}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			watching(t, func(w *world, f feed) {
				tt.do(f)
				<-time.After(5 * time.Minute)
				if got := w.repairs(); got != tt.want {
					t.Errorf("%d repairs, want %d: %v", got, tt.want, w.bmw.made())
				}
				if tt.want > 0 && !slices.ContainsFunc(w.bmw.made(), func(c string) bool { return strings.Contains(c, "containers") }) {
					t.Error("the container of latest values was not made")
				}
			})
		})
	}
}

// TestWatchBound makes at most ten repairs a UTC day, and the daily run beside.
func TestWatchBound(t *testing.T) {
	watching(t, func(w *world, f feed) {
		<-time.After(time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)))
		w.bmw.forget()
		for range 15 {
			f.reading(car1, schema.SourceStream)
			<-time.After(20 * time.Minute)
			f.gap(20*time.Minute, car1)
			<-time.After(70 * time.Minute)
		}
		<-time.After(time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(24*time.Hour - time.Second)))
		daily := 2 // both cars, by rest-only
		if got := w.repairs() - daily; got != repairsPerDay {
			t.Errorf("%d repairs in a day, want %d", got, repairsPerDay)
		}
	})
}

// TestWatchDaily runs once a day, at the account's own time, and keeps that
// over restarts.
func TestWatchDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		runs := func(d time.Duration) int {
			ctx, stop := context.WithTimeout(t.Context(), d)
			defer stop()
			before := w.bmw.spent()
			if err := w.backfill().Watch(ctx); err != nil {
				t.Error(err)
			}
			n := 0
			for _, c := range w.bmw.made()[before:] {
				if strings.Contains(c, "basicData") {
					n++
				}
			}
			return n
		}
		if got := runs(time.Minute); got != 1 {
			t.Errorf("%d daily runs at once, want 1", got)
		}
		for range 3 {
			if got := runs(time.Minute); got != 0 {
				t.Errorf("%d daily runs after a restart, want 0", got)
			}
		}
		if got := runs(72 * time.Hour); got != 3 {
			t.Errorf("%d daily runs in three days, want 3", got)
		}
	})
}
