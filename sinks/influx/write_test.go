package influx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// roundTrip is a server in one function, for synctest and exact answers.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f(r)
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	return resp, err
}

func answering(status int, header http.Header, body string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

func clientOver(t *testing.T, rt http.RoundTripper) *influx.Client {
	t.Helper()
	return newClient(t, influx.Config{URL: "http://influx.test:8086", Bucket: "cardata", HTTPClient: &http.Client{Transport: rt}})
}

func TestAnswersAreClassed(t *testing.T) {
	json := http.Header{"Content-Type": {"application/json"}}
	tests := map[string]struct {
		rt    roundTrip
		class pipeline.Class
		after time.Duration
		text  string // part of the error
	}{
		"connection refused is retried": {
			rt: func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, class: pipeline.Retryable, text: "connection refused",
		},
		"500 is retried":              {rt: answering(500, json, `{"error":"timeout"}`), class: pipeline.Retryable, text: "timeout"},
		"503 of a proxy is retried":   {rt: answering(503, nil, "<html>no backend</html>"), class: pipeline.Retryable, text: "no backend"},
		"500 cache full is retried":   {rt: answering(500, json, `{"error":"engine: cache-max-memory-size exceeded: (1/1)"}`), class: pipeline.Retryable},
		"429 waits as long as asked":  {rt: answering(429, http.Header{"Retry-After": {"7"}}, `{"code":"too many requests","message":"org has exceeded limit"}`), class: pipeline.Retryable, after: 7 * time.Second},
		"503 may ask for a wait too":  {rt: answering(503, http.Header{"Retry-After": {"2"}}, ""), class: pipeline.Retryable, after: 2 * time.Second},
		"an absurd wait is not taken": {rt: answering(429, http.Header{"Retry-After": {"99999999999"}}, ""), class: pipeline.Retryable},
		"401 needs a person":          {rt: answering(401, json, `{"code":"unauthorized","message":"unauthorized access"}`), class: pipeline.Fatal, text: "unauthorized access"},
		"403 needs a person":          {rt: answering(403, json, `{"error":"\"sink\" user is not authorized to write"}`), class: pipeline.Fatal, text: "not authorized"},
		"404 needs a person":          {rt: answering(404, json, `{"code":"not found","message":"bucket \"cardata\" not found"}`), class: pipeline.Fatal, text: "not found"},
		"a missing retention policy":  {rt: answering(500, json, `{"error":"retention policy not found: nope"}`), class: pipeline.Fatal},
		"a redirect is no answer":     {rt: answering(302, http.Header{"Location": {"http://login.test/"}}, ""), class: pipeline.Fatal, text: "302"},
		"a 200 page is no success":    {rt: answering(200, nil, "<html>please log in</html>"), class: pipeline.Fatal, text: "please log in"},
		"series limit is the server's": {
			rt: answering(400, json, `{"error":"partial write: max-series-per-database limit exceeded: (1000000) dropped=1"}`), class: pipeline.Fatal, text: "limit exceeded",
		},
		"values limit is the server's": {
			rt: answering(400, json, `{"error":"partial write: max-values-per-tag limit exceeded (1/1): measurement=\"reading\" tag=\"vin\" value=\"WBY00000000000001\" dropped=1"}`), class: pipeline.Fatal,
		},
		"a quota is the server's":  {rt: answering(422, json, `{"code":"x","message":"organization quota reached"}`), class: pipeline.Fatal},
		"a full disk needs a hand": {rt: answering(500, json, `{"error":"engine: write wal/1.wal: no space left on device"}`), class: pipeline.Fatal, text: "no space left"},
		"a read-only disk as well": {rt: answering(500, json, `{"error":"open x: read-only file system"}`), class: pipeline.Fatal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := clientOver(t, tt.rt)
			for what, err := range map[string]error{
				"Write": influx.NewReadingSink(c).Write(t.Context(), readingBatch(3)),
				"Ping":  c.Ping(t.Context()),
			} {
				we, ok := errors.AsType[*pipeline.WriteError](err)
				if !ok {
					t.Fatalf("%s = %v, want a *pipeline.WriteError", what, err)
				}
				if we.Class != tt.class || we.After != tt.after {
					t.Errorf("%s = %v after %v (%v), want %v after %v", what, we.Class, we.After, err, tt.class, tt.after)
				}
				if !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%s = %q, want %q in it", what, err, tt.text)
				}
				if strings.Contains(err.Error(), string(vinA)) {
					t.Errorf("%s = %q holds a VIN", what, err)
				}
			}
		})
	}
}

func TestRetryAfterMayBeADate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
		err := clientOver(t, answering(503, http.Header{"Retry-After": {at}}, "")).Ping(t.Context())
		if we, ok := errors.AsType[*pipeline.WriteError](err); !ok || we.After != 30*time.Second {
			t.Errorf("After = %v, want 30s", err)
		}
	})
}

func TestAWriteEndsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := clientOver(t, roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		err := influx.NewReadingSink(c).Write(t.Context(), readingBatch(1))
		we, ok := errors.AsType[*pipeline.WriteError](err)
		if !ok || we.Class != pipeline.Retryable || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write = %v, want a retryable timeout", err)
		}
		if got := time.Since(start); got != influx.DefaultTimeout {
			t.Errorf("gave up after %v, want %v", got, influx.DefaultTimeout)
		}
	})
}

func TestRefusedLinesAreFoundAloneAndTheRestIsStored(t *testing.T) {
	tests := map[string]struct {
		prepare func(f *fakeInflux)
		bad     schema.Reading
		reason  string
	}{
		"malformed": {
			prepare: func(*fakeInflux) {}, bad: number("MALFORMED", noon, 1), reason: influx.ReasonRejected,
		},
		"malformed with the word quota in it": {
			prepare: func(*fakeInflux) {}, bad: number("MALFORMED limit exceeded quota", noon, 1), reason: influx.ReasonRejected,
		},
		"type conflict": {
			prepare: func(f *fakeInflux) { f.types["reading text"] = "int64" }, bad: text("k", noon, "v"), reason: influx.ReasonRejected,
		},
		"older than the retention": {
			prepare: func(f *fakeInflux) { f.oldest = noon.Add(-13 * time.Hour) }, bad: number("k", noon.Add(-48*time.Hour), 1), reason: influx.ReasonRetention,
		},
		"too large alone": {
			prepare: func(f *fakeInflux) { f.maxBody = 16 << 10 }, bad: text("k", noon, strings.Repeat("x", 20<<10)), reason: influx.ReasonTooLarge,
		},
		"text that is not UTF-8": {
			prepare: func(*fakeInflux) {}, bad: text("k", noon, "a\xffb"), reason: influx.ReasonUnencodable,
		},
		"no time": {
			prepare: func(*fakeInflux) {}, bad: number("k", time.Time{}, 1), reason: influx.ReasonUnencodable,
		},
		"no VIN": {
			prepare: func(*fakeInflux) {}, bad: schema.Reading{Descriptor: "k", Time: noon}, reason: influx.ReasonUnencodable,
		},
		"descriptor ending in a backslash": {
			prepare: func(*fakeInflux) {}, bad: number(`k\`, noon, 1), reason: influx.ReasonUnencodable,
		},
		"descriptor with a line feed": {
			prepare: func(*fakeInflux) {}, bad: number("k v=1\nday,vin=x touched=1i 0", noon, 1), reason: influx.ReasonUnencodable,
		},
	}
	for name, tt := range tests {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s on %d", name, version), func(t *testing.T) {
				fake := newFake(version)
				tt.prepare(fake)
				tg := target{fakeConfig(fake.serve(t)), fake}
				c := newClient(t, tg.cfg)
				var batch, want []schema.Reading
				for i := range 300 {
					want = append(want, number(schema.Descriptor(fmt.Sprint("key", i)), noon.Add(time.Duration(i)*time.Second), float64(i)))
				}
				batch = slices.Insert(slices.Clone(want), 123, tt.bad)
				err := influx.NewReadingSink(c).Write(t.Context(), batch)
				we, ok := errors.AsType[*pipeline.WriteError](err)
				if !ok || we.Class != pipeline.Permanent || len(we.Rejected) != 1 || we.Rejected[0].Index != 123 || we.Rejected[0].Reason != tt.reason {
					t.Fatalf("Write = %v (%+v), want index 123 alone rejected as %s", err, we, tt.reason)
				}
				got := tg.readings(t)
				for _, r := range want {
					if !maps.Equal(got[readingKey(r)], fieldsOf(r)) {
						t.Fatalf("%s = %v, want %v", readingKey(r), got[readingKey(r)], fieldsOf(r))
					}
				}
				if len(got) != len(want) {
					t.Errorf("store holds %d readings, want %d", len(got), len(want))
				}
				if days := fake.all("day"); len(days) == 0 {
					t.Error("the day of the stored readings has no mark")
				}
			})
		}
	}
}

func TestTooManyRefusalsAreTheServersTrouble(t *testing.T) {
	tests := map[string]struct {
		size, bad int
		class     pipeline.Class
	}{
		"10 of 20 are still the lines'":     {20, 10, pipeline.Permanent},
		"11 of 20 are the server's":         {20, 11, pipeline.Fatal},
		"1 % of 2,000 are still the lines'": {2000, 20, pipeline.Permanent},
		"more than 1 % are the server's":    {2000, 21, pipeline.Fatal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			fake := newFake(1)
			c := newClient(t, fakeConfig(fake.serve(t)))
			var batch []schema.Reading
			for i := range tt.size {
				d := schema.Descriptor(fmt.Sprint("key", i))
				if i < tt.bad {
					d = "MALFORMED " + d
				}
				batch = append(batch, number(d, noon, 1))
			}
			err := influx.NewReadingSink(c).Write(t.Context(), batch)
			we, ok := errors.AsType[*pipeline.WriteError](err)
			if !ok || we.Class != tt.class {
				t.Fatalf("Write = %v, want %v", err, tt.class)
			}
			if tt.class == pipeline.Permanent && len(we.Rejected) != tt.bad {
				t.Errorf("%d rejected, want %d", len(we.Rejected), tt.bad)
			}
			if tt.class == pipeline.Fatal && len(we.Rejected) != 0 {
				t.Errorf("%d rejected with a fatal error, want none: they are no dead letters", len(we.Rejected))
			}
		})
	}
}

func TestASeriesLimitIsNeverADeadLetter(t *testing.T) {
	fake := newFake(1)
	fake.maxSeries = 3
	c := newClient(t, fakeConfig(fake.serve(t)))
	err := influx.NewReadingSink(c).Write(t.Context(), readingBatch(40))
	if we, ok := errors.AsType[*pipeline.WriteError](err); !ok || we.Class != pipeline.Fatal {
		t.Fatalf("Write over the series limit = %v, want fatal", err)
	}
}

func TestPointsAreSentBeforeTheirDays(t *testing.T) {
	fake := newFake(2)
	cfg := fakeConfig(fake.serve(t))
	cfg.MaxBatchLines = 10
	c := newClient(t, cfg)
	if err := influx.NewReadingSink(c).Write(t.Context(), readingBatch(95)); err != nil {
		t.Fatal(err)
	}
	if len(fake.bodies) != 11 {
		t.Fatalf("%d requests, want 10 of readings and 1 of days", len(fake.bodies))
	}
	for i, body := range fake.bodies {
		if n := strings.Count(body, "\nreading,") + strings.Count(body, "\nday,") + 1; n > 10 {
			t.Errorf("request %d has %d lines, want 10 at most", i, n)
		}
		if got := strings.HasPrefix(body, "day,"); got != (i == 10) {
			t.Errorf("request %d begins %.20q, want days last", i, body)
		}
	}
	// 11 hours before midnight, a minute apart, of two cars: both days of both.
	days := map[string]bool{}
	for _, p := range fake.all("day") {
		days[p.tags["vin"]+" "+p.tags["table"]+" "+time.Unix(0, p.time).UTC().Format(time.RFC3339)] = true
	}
	want := map[string]bool{}
	for _, vin := range []schema.VIN{vinA, vinB} {
		want[string(vin)+" readings 2026-06-01T00:00:00Z"] = true
		want[string(vin)+" readings 2026-06-02T00:00:00Z"] = true
	}
	if !maps.Equal(days, want) {
		t.Errorf("days = %v, want %v", days, want)
	}
}

func TestDaysStayUntouchedWhenPointsAreNotDurable(t *testing.T) {
	fake := newFake(1)
	c := newClient(t, fakeConfig(fake.serve(t)))
	fake.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.HasPrefix(body, []byte("day")) {
			t.Error("a day was sent")
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if err := influx.NewReadingSink(c).Write(t.Context(), readingBatch(5)); err == nil {
		t.Fatal("Write = nil, want an error")
	}
}

func TestEveryWriteChangesTheMarkOfItsDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still between the writes
		var touched []string
		c := clientOver(t, roundTrip(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			if bytes.HasPrefix(body, []byte("day")) {
				touched = append(touched, string(body))
			}
			return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
		}))
		for range 3 {
			if err := influx.NewReadingSink(c).Write(t.Context(), readingBatch(1)); err != nil {
				t.Fatal(err)
			}
		}
		if len(slices.Compact(slices.Clone(touched))) != 3 {
			t.Errorf("marks = %q, want three different ones", touched)
		}
		want := fmt.Sprintf("day,table=readings,vin=WBY00000000000002 touched=%di 1780272000000000000\n", time.Now().UnixMilli())
		if touched[0] != want {
			t.Errorf("first mark = %q, want %q", touched[0], want)
		}
	})
}

func TestADayOlderThanTheRetentionIsNoFault(t *testing.T) {
	for _, version := range []int{1, 2} {
		fake := newFake(version)
		fake.oldest = noon.Add(-time.Hour) // the start of the day is gone, its noon is not
		c := newClient(t, fakeConfig(fake.serve(t)))
		if err := influx.NewReadingSink(c).Write(t.Context(), []schema.Reading{number("k", noon, 1)}); err != nil {
			t.Fatalf("on %d: Write = %v, want nil", version, err)
		}
		if got := c.Stats.MarksIgnored.Load(); got != 1 {
			t.Errorf("on %d: MarksIgnored = %d, want 1", version, got)
		}
	}
}

func TestGzipCarriesTheSameLines(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		tg.cfg.Gzip, tg.cfg.MaxBatchLines = true, 7
		if err := influx.NewReadingSink(newClient(t, tg.cfg)).Write(t.Context(), readingBatch(100)); err != nil {
			t.Fatal(err)
		}
		if got := len(tg.readings(t)); got != 100 {
			t.Errorf("store holds %d readings, want 100", got)
		}
	})
}

func TestStatsCountWhatWasDone(t *testing.T) {
	fake := newFake(2)
	c := newClient(t, fakeConfig(fake.serve(t)))
	batch := append(readingBatch(98), number("MALFORMED", noon, 1), text("k", noon, "\xff"))
	if err := influx.NewReadingSink(c).Write(t.Context(), batch); err == nil {
		t.Fatal("Write = nil, want an error")
	}
	s := &c.Stats
	// 98 readings and the marks of two cars on two days.
	if s.Points.Load() != 102 || s.Rejected.Load() != 1 || s.Unencodable.Load() != 1 || s.Halvings.Load() == 0 || s.Batches.Load() == 0 || s.Bytes.Load() == 0 || s.Failures.Load() != 0 {
		t.Errorf("points %d rejected %d unencodable %d halvings %d batches %d bytes %d failures %d",
			s.Points.Load(), s.Rejected.Load(), s.Unencodable.Load(), s.Halvings.Load(), s.Batches.Load(), s.Bytes.Load(), s.Failures.Load())
	}
}

// A server or proxy under pressure answers before it has read the request.
func TestAnEarlyAnswerSpoilsNoLaterBatch(t *testing.T) {
	fake := newFake(1)
	tg := target{fakeConfig(fake.serve(t)), fake}
	sink := influx.NewReadingSink(newClient(t, tg.cfg))
	var large []schema.Reading
	for i := range 200 {
		large = append(large, text(schema.Descriptor(fmt.Sprint("large", i)), noon, strings.Repeat("x", 16<<10)))
	}
	for i := range 20 {
		fake.setAnswer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		wantClass(t, sink.Write(t.Context(), large), pipeline.Retryable)
		fake.setAnswer(nil)
		if err := sink.Write(t.Context(), []schema.Reading{number(schema.Descriptor(fmt.Sprint("small", i)), noon, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(tg.readings(t)); got != 20 {
		t.Errorf("store holds %d readings, want the 20 small ones", got)
	}
}

func wantClass(t *testing.T, err error, class pipeline.Class) {
	t.Helper()
	if we, ok := errors.AsType[*pipeline.WriteError](err); !ok || we.Class != class {
		t.Fatalf("Write = %v, want %v", err, class)
	}
}
