package influx_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

func TestTheLastValueOfAKeyInABatchWins(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		var batch []schema.Reading
		for i := range 1000 {
			batch = append(batch, number(schema.Descriptor(fmt.Sprint("key", i%10)), noon, float64(i)))
		}
		if err := influx.NewReadingSink(newClient(t, tg.cfg)).Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		wantHeld(t, tg, batch[990:])
	})
}

func TestALaterWriteOfAKeyWins(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		s := influx.NewReadingSink(newClient(t, tg.cfg))
		for _, v := range []float64{1, 2, 3} {
			if err := s.Write(t.Context(), []schema.Reading{number("key", noon, v)}); err != nil {
				t.Fatal(err)
			}
		}
		wantHeld(t, tg, []schema.Reading{number("key", noon, 3)})
	})
}

func TestEveryValueComesBackAsItWas(t *testing.T) {
	var batch []schema.Reading
	for i, v := range []float64{0, -0.5, 1, 1e21, -1e-21, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi, 1 << 53} {
		batch = append(batch, number(schema.Descriptor(fmt.Sprint("number", i)), noon, v))
	}
	for i, v := range hostileTexts() {
		batch = append(batch, text(schema.Descriptor(fmt.Sprint("text", i)), noon, v))
	}
	for i, d := range []schema.Descriptor{
		"a b", "a,b", "a=b", `a\b`, `a\ b`, `a\,b`, `a\=b`, `a\\,vin\=x b`, `"quoted"`, `"`, "#", "ключ.😀", "'", "{}", "%20", "number=1", " lead", "trail ", "time",
	} {
		batch = append(batch, number(d, noon, float64(i)))
	}
	batch = append(batch,
		number("early", time.Date(2000, 1, 1, 0, 0, 0, 1, time.UTC), 1),
		number("late", time.Date(2099, 12, 31, 23, 59, 59, 999999999, time.UTC), 1))
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		if err := influx.NewReadingSink(newClient(t, tg.cfg)).Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		wantHeld(t, tg, batch)
	})
}

func hostileTexts() []string {
	return []string{
		"", " ", "plain", "two\nlines", "\n", "tab\tcr\r\nend", `\`, `\\`, `\n`, `"`, `\"`, `"\`, `ends in \`, "a=b,c=d e", `text="x" 1`,
		"nul\x00nul", "bell\x07 del\x7f", "🚗 é \u200b\ufeff", strings.Repeat("x", 64<<10), strings.Repeat("\"\\\n", 20_000), strings.Repeat("y", 1<<20),
	}
}

func wantHeld(t *testing.T, tg target, want []schema.Reading) {
	t.Helper()
	got := tg.readings(t)
	if len(got) != len(want) {
		t.Errorf("store holds %d readings, want %d", len(got), len(want))
	}
	for _, r := range want {
		if held := got[readingKey(r)]; !maps.Equal(held, fieldsOf(r)) {
			t.Errorf("%.80s holds %.80q, want %.80q", readingKey(r), fmt.Sprint(held), fmt.Sprint(fieldsOf(r)))
		}
	}
}

func TestGapHasAPointForEachCarAndADayMark(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		gap := schema.Gap{GCID: gcidA, VINs: []schema.VIN{vinA, vinB}, Start: noon, End: noon.Add(90 * time.Minute), Cause: schema.GapCrash}
		if err := influx.NewGapSink(newClient(t, tg.cfg)).Write(t.Context(), []schema.Gap{gap}); err != nil {
			t.Fatal(err)
		}
		got := tg.gaps(t)
		if want := gapPoints(gap); !maps.EqualFunc(got, want, maps.Equal) {
			t.Errorf("gap points = %v, want %v", got, want)
		}
		days := tg.values(t, "day", []string{"vin", "table"}, []string{"touched"})
		for _, vin := range gap.VINs {
			if days[fmt.Sprint(vin, ",gaps, ", noon.Truncate(24*time.Hour).UnixNano())] == nil {
				t.Errorf("days = %v, want one of table gaps for each car", days)
			}
		}
	})
}

func TestFreshnessAndDaysAreStored(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		c := newClient(t, tg.cfg)
		if err := c.WriteFreshness(t.Context(), []influx.Freshness{{VIN: vinA, Minute: noon, LagMS: 1500, Readings: 12}}); err != nil {
			t.Fatal(err)
		}
		got := tg.values(t, "freshness", []string{"vin"}, []string{"lag_ms", "readings"})
		if f := got[fmt.Sprint(vinA, ", ", noon.Truncate(time.Minute).UnixNano())]; fmt.Sprint(f["lag_ms"], f["readings"]) != "1500 12" {
			t.Errorf("freshness = %v, want lag_ms 1500 and readings 12 at the minute", got)
		}
		touched := time.UnixMilli(1_780_000_000_123)
		if err := c.TouchDays(t.Context(), []influx.Day{{VIN: vinA, Table: "trips", Day: noon, Touched: touched}}); err != nil {
			t.Fatal(err)
		}
		days := tg.values(t, "day", []string{"vin", "table"}, []string{"touched"})
		if d := days[fmt.Sprint(vinA, ",trips, ", noon.Truncate(24*time.Hour).UnixNano())]; len(d) != 1 {
			t.Errorf("days = %v, want trips at the start of the day", days)
		}
	})
}

func TestPingProvesTokenAndBucket(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		if err := newClient(t, tg.cfg).Ping(t.Context()); err != nil {
			t.Errorf("Ping = %v, want nil", err)
		}
		wrong := map[string]func(*influx.Config){
			"bucket": func(cfg *influx.Config) { cfg.Bucket = "missing" },
		}
		if tg.fake == nil && tg.cfg.Token == "" {
			wrong["retention policy"] = func(cfg *influx.Config) { cfg.Bucket += "/missing" }
		}
		if tg.cfg.Token != "" {
			wrong["token"] = func(cfg *influx.Config) { cfg.Token = "wrong" }
		}
		for what, change := range wrong {
			cfg := tg.cfg
			change(&cfg)
			err := newClient(t, cfg).Ping(t.Context())
			if we, ok := errors.AsType[*pipeline.WriteError](err); !ok || we.Class != pipeline.Fatal {
				t.Errorf("Ping with a wrong %s = %v, want fatal", what, err)
			}
		}
		if got := len(tg.readings(t)); got != 0 {
			t.Errorf("Ping left %d readings", got)
		}
	})
}

func TestEnsureDatabase(t *testing.T) {
	t.Run("makes a missing one on 1.8", func(t *testing.T) {
		fake := newFake(1)
		cfg := fakeConfig(fake.serve(t))
		fake.bucket = ""
		for range 2 {
			if err := newClient(t, cfg).EnsureDatabase(t.Context()); err != nil {
				t.Fatalf("EnsureDatabase = %v, want nil", err)
			}
		}
		if fake.bucket != "cardata" {
			t.Errorf("database = %q, want cardata", fake.bucket)
		}
	})
	t.Run("says what is missing on 2.x", func(t *testing.T) {
		fake := newFake(2)
		cfg := fakeConfig(fake.serve(t))
		fake.bucket = "other"
		err := newClient(t, cfg).EnsureDatabase(t.Context())
		we, ok := errors.AsType[*pipeline.WriteError](err)
		if !ok || we.Class != pipeline.Fatal || !strings.Contains(err.Error(), "influx bucket create --org test --name cardata") {
			t.Errorf("EnsureDatabase = %v, want fatal with the command that helps", err)
		}
	})
	t.Run("is retryable while the server is away", func(t *testing.T) {
		fake := newFake(1)
		srv := fake.serve(t)
		srv.Close()
		err := newClient(t, fakeConfig(srv)).EnsureDatabase(t.Context())
		if we, ok := errors.AsType[*pipeline.WriteError](err); !ok || we.Class != pipeline.Retryable {
			t.Errorf("EnsureDatabase = %v, want retryable", err)
		}
	})
	t.Run("is fatal on a wrong token", func(t *testing.T) {
		cfg := fakeConfig(newFake(1).serve(t))
		cfg.Token = "wrong"
		err := newClient(t, cfg).EnsureDatabase(t.Context())
		if we, ok := errors.AsType[*pipeline.WriteError](err); !ok || we.Class != pipeline.Fatal {
			t.Errorf("EnsureDatabase = %v, want fatal", err)
		}
	})
	t.Run("takes any name on a real 1.8", func(t *testing.T) {
		url, token, _ := strings.Cut(realServer(t, "CARDATA_TEST_INFLUX1"), ",")
		cfg := influx.Config{URL: url, Token: pipeline.Secret(token), Bucket: `te"st ünï`}
		c := newClient(t, cfg)
		t.Cleanup(func() {
			_ = newClient(t, cfg).Query(context.WithoutCancel(t.Context()), "DROP DATABASE "+influx.QuoteIdent(cfg.Bucket), func(influx.Row) error { return nil })
		})
		for range 2 {
			if err := c.EnsureDatabase(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestConfigFaultsAreNamedAtOnce(t *testing.T) {
	_, err := influx.New(influx.Config{URL: "ftp://user:secret@host", Timeout: -1, MaxBatchLines: 1 << 30, MaxBatchBytes: 1})
	if err == nil {
		t.Fatal("New = nil error, want all faults")
	}
	for _, want := range []string{"URL", "bucket", "timeout", "max batch lines", "max batch bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("New = %q shows the password", err)
	}
}
