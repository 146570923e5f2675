package influx_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// What the fakes are made after, on the real ones.

func TestARealConflictRejectsThatReadingAlone(t *testing.T) {
	eachRealServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		// Another program made text an integer, in the shard of that day.
		if status := rawWrite(t, tg.cfg, fmt.Sprintf("reading,vin=x,descriptor=y text=1i %d\n", noon.UnixNano())); status != http.StatusNoContent {
			t.Fatalf("raw write: status %d", status)
		}
		var batch []schema.Reading
		for i := range 200 {
			batch = append(batch, number("key", noon.Add(time.Duration(i)*time.Second), float64(i)))
		}
		batch = slices.Insert(batch, 77, text("key", noon, "words"))
		err := influx.NewReadingSink(newClient(t, tg.cfg)).Write(t.Context(), batch)
		wantRejected(t, err, 77, influx.ReasonRejected)
		if got := len(tg.readings(t)); got != 201 {
			t.Errorf("store holds %d readings, want 200 and the foreign one", got)
		}
	})
}

func TestAReadingOlderThanTheRetentionIsRejectedAloneAndItsDayMarkIsNoFault(t *testing.T) {
	url, token, _ := strings.Cut(realServer(t, "CARDATA_TEST_INFLUX1"), ",")
	tg := newDatabase1(t, url, token)
	c := newClient(t, tg.cfg)
	err := c.Query(t.Context(), "ALTER RETENTION POLICY autogen ON "+influx.QuoteIdent(tg.cfg.Bucket)+" DURATION 1h SHARD DURATION 1h",
		func(influx.Row) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	batch := []schema.Reading{number("a", now, 1), number("b", now.Add(-100*time.Hour), 2), number("c", now, 3)}
	wantRejected(t, influx.NewReadingSink(c).Write(t.Context(), batch), 1, influx.ReasonRetention)
	if got := len(tg.readings(t)); got != 2 {
		t.Errorf("store holds %d readings, want 2", got)
	}
	if c.Stats.MarksIgnored.Load() == 0 {
		t.Error("no day mark was older than the retention")
	}
}

func TestAConflictOfAllReadingsIsTheServersTrouble(t *testing.T) {
	eachRealServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		rawWrite(t, tg.cfg, fmt.Sprintf("reading,vin=x,descriptor=y number=1i %d\n", noon.UnixNano()))
		var batch []schema.Reading
		for i := range 200 {
			batch = append(batch, number("key", noon.Add(time.Duration(i)*time.Second), float64(i)))
		}
		err := influx.NewReadingSink(newClient(t, tg.cfg)).Write(t.Context(), batch)
		if we, ok := errors.AsType[*pipeline.WriteError](err); !ok || we.Class != pipeline.Fatal {
			t.Errorf("Write = %v, want fatal", err)
		}
	})
}

func wantRejected(t *testing.T, err error, index int, reason string) {
	t.Helper()
	we, ok := errors.AsType[*pipeline.WriteError](err)
	if !ok || we.Class != pipeline.Permanent || len(we.Rejected) != 1 || we.Rejected[0].Index != index || we.Rejected[0].Reason != reason {
		t.Fatalf("Write = %v, want index %d alone rejected as %s", err, index, reason)
	}
}

func rawWrite(t *testing.T, cfg influx.Config, lines string) int {
	t.Helper()
	u := cfg.URL + "/api/v2/write?" + url.Values{"org": {cfg.Org}, "bucket": {cfg.Bucket}, "precision": {"ns"}}.Encode()
	req, err := http.NewRequest(http.MethodPost, u, strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+string(cfg.Token))
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
