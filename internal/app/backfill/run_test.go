package backfill

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// TestRun brings every kind to its topic, with one call each, and nothing twice.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bmw.mappings = map[schema.VIN]string{car1: "PRIMARY", car2: "PRIMARY", guest: "SECONDARY"}
		w.bmw.charged(car1, 33, 24*time.Hour)
		w.bmw.charged(car2, 4, 24*time.Hour)
		sum := w.mustRun(Range{})

		// mapping, list and two containers; car1: 30 days with 3 pages and 15 with one,
		// car2: a page for each range; two containers, basic, tyres, settings, image each.
		if want := 1 + 3 + 4 + 2 + 2*6; sum.CallsSpent != want || sum.CallsPlanned != want || w.bmw.spent() != want {
			t.Errorf("calls: spent %d, planned %d, made %d, want %d: %v", sum.CallsSpent, sum.CallsPlanned, w.bmw.spent(), want, w.bmw.calls)
		}
		if got := len(w.kafka.of(names.ChargingSessions)); got != 37 || sum.Sessions != 37 {
			t.Errorf("sessions: %d in Kafka, %d told, want 37", got, sum.Sessions)
		}
		if got := len(w.kafka.of(names.Readings)); got != 2 || sum.Readings != 4 {
			t.Errorf("readings: %d in Kafka, %d told, want 2 of 4 answers", got, sum.Readings)
		}
		vehicles := slices.Sorted(maps.Keys(w.kafka.of(names.Vehicles)))
		want := []string{}
		for _, vin := range []schema.VIN{car1, car2} {
			for _, kind := range []schema.VehicleKind{"basic_data", "image", "mapping", "tyres"} {
				want = append(want, string(vin)+"/"+string(kind))
			}
		}
		want = append(want, string(guest)+"/mapping")
		if !slices.Equal(vehicles, want) {
			t.Errorf("vehicle records %v, want %v", vehicles, want)
		}
		if len(sum.Skipped) != 1 || sum.Skipped[0].VIN != guest || sum.Skipped[0].Remedy == "" {
			t.Errorf("skipped %+v, want the SECONDARY car with a remedy", sum.Skipped)
		}
		if slices.ContainsFunc(w.bmw.calls, func(c string) bool { return strings.Contains(c, string(guest)) }) {
			t.Error("a call was spent on a SECONDARY car")
		}

		if again := w.mustRun(Range{}); again.CallsSpent != 0 {
			t.Errorf("a second run spent %d calls, want none", again.CallsSpent)
		}
		plan, err := w.backfill().Plan(t.Context(), Range{})
		if err != nil || plan.Calls != 0 {
			t.Errorf("plan after the run: %d calls, %v, want none", plan.Calls, err)
		}
	})
}

// TestSessionFields holds a session of the history to the one in Kafka.
func TestSessionFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bmw.charged(car1, 1, time.Hour)
		w.mustRun(Range{Kinds: []Kind{KindSessions}})
		start := w.bmw.sessions[car1][0]
		var s schema.ChargingSession
		for _, value := range w.kafka.of(names.ChargingSessions) {
			if err := schema.NewDecoder().Session(&s, value); err != nil {
				t.Fatal(err)
			}
		}
		if s.VIN != car1 || s.GCID != testGCID || !s.Start.Equal(start) || !s.End.Equal(start.Add(30*time.Minute)) ||
			*s.StartSOC != 40 || *s.EndSOC != 80 || *s.GridKWh != 20.5 || *s.MileageKm != 1000 || s.Source != schema.SourceREST || s.Fetched.IsZero() {
			t.Errorf("session %+v", s)
		}
	})
}

// TestPlanCostsNothing tells the calls of a first run without making one.
func TestPlanCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.quota = rest.QuotaConfig{} // BMW's
		b := w.backfill()
		plan, err := b.Plan(t.Context(), Range{From: time.Now().Add(-365 * 24 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if w.bmw.spent() != 0 {
			t.Fatalf("a plan made %d calls", w.bmw.spent())
		}
		a := plan.Accounts[0]
		// 12 whole ranges of 30 days with a session a day have 4 pages, the rest one.
		if !a.Unknown || a.Setup != 4 || a.Cars[0].Ranges != 13 || a.AtLeast != 4+13+6 || a.Calls != 4+12*4+1+6 || *a.LeftToday != 40 || a.Days != 2 {
			t.Errorf("plan %+v, left %d", a, *a.LeftToday)
		}
	})
}

// TestKilledAnywhere stops a run at each point between an answer and its books,
// and lets a fresh process go on: no call is made twice, and nothing is lost.
func TestKilledAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bmw.mappings[car2] = "PRIMARY"
		w.bmw.charged(car1, 45, 20*time.Hour)
		w.bmw.charged(car2, 12, 30*time.Hour)
		type moment struct {
			dir        string
			calls      int
			kept       int // records in Kafka
			containers []map[string]any
		}
		var moments []moment
		cut := func(when string) func(n int) {
			return func(n int) {
				dir := filepath.Join(t.TempDir(), fmt.Sprint(when, n))
				w.copyTo(dir)
				moments = append(moments, moment{dir, len(w.bmw.calls), len(w.kafka.records), slices.Clone(w.bmw.containers)})
			}
		}
		before := cut("before")
		w.kafka.before = func(n int) error { before(n); return nil }
		w.kafka.after = cut("after")
		w.mustRun(Range{})
		whole := w.bmw.spent()
		want := w.kafka.of(names.ChargingSessions)
		if len(moments) < 30 {
			t.Fatalf("only %d moments", len(moments))
		}
		for _, m := range moments {
			next := &world{t: t, bmw: newBMW(), kafka: new(topic), dir: m.dir, quota: w.quota}
			next.bmw.nextID = 100
			next.bmw.mappings, next.bmw.sessions, next.bmw.containers = w.bmw.mappings, w.bmw.sessions, m.containers
			next.kafka.records = slices.Clone(w.kafka.records[:m.kept])
			next.mustRun(Range{})
			if total := m.calls + next.bmw.spent(); total != whole {
				t.Errorf("%s: %d calls in all, want %d: %v", filepath.Base(m.dir), total, whole, next.bmw.calls)
			}
			if got := next.kafka.of(names.ChargingSessions); !maps.EqualFunc(got, want, equalSession) {
				t.Errorf("%s: %d sessions, want %d", filepath.Base(m.dir), len(got), len(want))
			}
		}
	})
}

// equalSession compares but for the time of fetching.
func equalSession(a, b []byte) bool {
	var x, y schema.ChargingSession
	d := schema.NewDecoder()
	if d.Session(&x, a) != nil || d.Session(&y, b) != nil {
		return false
	}
	x.Fetched, y.Fetched = time.Time{}, time.Time{}
	return string(schema.AppendSession(nil, &x)) == string(schema.AppendSession(nil, &y))
}

// TestQuotaGone waits for 00:00 UTC in the middle of a page sequence and goes on.
func TestQuotaGone(t *testing.T) {
	for _, latched := range []bool{false, true} {
		t.Run(fmt.Sprintf("latched %t", latched), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.bmw.charged(car1, 80, 12*time.Hour)
				if latched {
					day := time.Now().UTC().Truncate(24 * time.Hour)
					w.bmw.fault = func(*http.Request) *http.Response {
						if time.Now().UTC().Truncate(24*time.Hour).Equal(day) && len(w.bmw.calls) > 5 {
							return refuse(http.StatusForbidden, "CU-429", "quota")
						}
						return nil
					}
				} else {
					w.quota = rest.QuotaConfig{Limit: 15, Reserve: 10}
				}
				start := time.Now()
				sum := w.mustRun(Range{Kinds: []Kind{KindSessions}})
				if got := len(w.kafka.of(names.ChargingSessions)); got != 80 {
					t.Errorf("%d sessions, want 80", got)
				}
				if days := time.Since(start); days < 23*time.Hour {
					t.Errorf("it went on after %s, before 00:00 UTC", days)
				}
				if latched && sum.CallsSpent != sum.CallsPlanned+1 {
					t.Errorf("calls spent %d, planned %d: only the refused one is in excess", sum.CallsSpent, sum.CallsPlanned)
				}
				if !latched && sum.CallsSpent != sum.CallsPlanned {
					t.Errorf("calls spent %d, planned %d", sum.CallsSpent, sum.CallsPlanned)
				}
			})
		})
	}
}

// TestQuotaGoneNoWait ends partly done, keeps what came, and the next run goes on.
func TestQuotaGoneNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.quota = rest.QuotaConfig{Limit: 14, Reserve: 10}
		w.bmw.charged(car1, 80, 12*time.Hour)
		r := Range{Kinds: []Kind{KindSessions}, NoWait: true}
		sum, err := w.run(r)
		if exit.Code(err) != exit.Partly || sum.Left == 0 || !strings.Contains(err.Error(), "goes on after") {
			t.Fatalf("got %v with %+v, want partly done", err, sum)
		}
		if got := len(w.kafka.of(names.ChargingSessions)); got != 30 {
			t.Errorf("%d sessions kept, want 30", got)
		}
		for range 10 {
			if _, err = w.run(r); err == nil {
				break
			}
			<-time.After(24 * time.Hour)
		}
		if got := len(w.kafka.of(names.ChargingSessions)); err != nil || got != 80 {
			t.Errorf("%d sessions, %v, want 80", got, err)
		}
	})
}

// TestRefusals shows what each refusal in the middle of a run does: the error,
// its remedy, and that all before it is kept.
func TestRefusals(t *testing.T) {
	html := func() *http.Response {
		res := answer(http.StatusOK, "<html><title>Maintenance</title></html>")
		res.Header.Set("Content-Type", "text/html")
		return res
	}
	tests := map[string]struct {
		res    func() *http.Response
		code   int
		remedy string
	}{
		"token refused":      {func() *http.Response { return refuse(http.StatusUnauthorized, "CU-102", "expired") }, exit.NeedsPerson, "cardata login"},
		"gateway token":      {func() *http.Response { return refuse(http.StatusForbidden, "CU-127", "invalid_token") }, exit.NeedsPerson, "cardata login"},
		"scope missing":      {func() *http.Response { return refuse(http.StatusForbidden, "CU-103", "scope") }, exit.NeedsPerson, "portal"},
		"car became guest's": {func() *http.Response { return refuse(http.StatusForbidden, "CU-104", "vin") }, exit.Partly, "PRIMARY"},
		"maintenance":        {func() *http.Response { return refuse(http.StatusServiceUnavailable, "CU-503", "down") }, exit.Partly, "later"},
		"web page":           {html, exit.Partly, ""},
		"torn body":          {func() *http.Response { return answer(http.StatusOK, `{"data":[{"startTime":17`) }, exit.Partly, ""},
		"gateway fault": {func() *http.Response {
			return answer(http.StatusInternalServerError, `{"fault":{"faultstring":"x","detail":{"errorcode":"y"}}}`)
		}, exit.Partly, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.bmw.charged(car1, 40, 24*time.Hour)
				w.bmw.fault = func(*http.Request) *http.Response {
					if len(w.bmw.calls) > 3 {
						return tt.res()
					}
					return nil
				}
				sum, err := w.run(Range{})
				if exit.Code(err) != tt.code {
					t.Errorf("got %v, exit code %d, want %d", err, exit.Code(err), tt.code)
				}
				said := fmt.Sprint(err)
				for _, s := range sum.Skipped {
					said += s.Reason + s.Remedy
				}
				if !strings.Contains(said, tt.remedy) {
					t.Errorf("no remedy %q in %q", tt.remedy, said)
				}
				if got := len(w.kafka.of(names.ChargingSessions)); got != 20 || sum.Sessions != 20 {
					t.Errorf("%d sessions kept, want 20", got)
				}
				if w.bmw.spent() > 30 {
					t.Errorf("%d calls spent on a service that refuses", w.bmw.spent())
				}

				w.bmw.fault = nil
				<-time.After(15 * time.Minute)
				w.mustRun(Range{})
				if got := len(w.kafka.of(names.ChargingSessions)); got != 40 {
					t.Errorf("%d sessions after the next run, want 40", got)
				}
			})
		})
	}
}

// TestKafkaAway keeps the paid answer on disk.
func TestKafkaAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bmw.charged(car1, 5, 24*time.Hour)
		w.kafka.before = func(n int) error {
			if n == 1 {
				return errors.New("broker is away")
			}
			return nil
		}
		if _, err := w.run(Range{Kinds: []Kind{KindSessions}}); err == nil || !strings.Contains(err.Error(), "waits on disk") {
			t.Fatalf("got %v", err)
		}
		spent := w.bmw.spent()
		w.kafka.before = nil
		sum := w.mustRun(Range{Kinds: []Kind{KindSessions}})
		if got := len(w.kafka.of(names.ChargingSessions)); got != 5 {
			t.Errorf("%d sessions, want 5", got)
		}
		if w.bmw.spent() != spent+1 || sum.CallsSpent != 1 { // the other range
			t.Errorf("%d calls more, want 1: %v", w.bmw.spent()-spent, w.bmw.calls)
		}
	})
}

// TestBusy refuses a second run on an account that one is at work on.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		disk, err := openFolder(w.dir, testGCID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.run(Range{}); exit.Code(err) != exit.Usage || !strings.Contains(err.Error(), "another backfill") || w.bmw.spent() != 0 {
			t.Errorf("got %v after %d calls", err, w.bmw.spent())
		}
		disk.close()
		w.mustRun(Range{})
	})
}

// TestStateBroken costs calls, never data: it is put aside and made anew.
func TestStateBroken(t *testing.T) {
	for name, content := range map[string]string{
		"torn": `{"version":1,"cars":{"WBY0`, "empty": "", "null": "null", "null car": `{"version":1,"cars":{"WBY00000000000001":null}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.bmw.charged(car1, 3, 24*time.Hour)
				disk, err := openFolder(w.dir, testGCID)
				if err != nil {
					t.Fatal(err)
				}
				disk.close()
				if err := writeFile(filepath.Join(disk.path, stateFile), []byte(content)); err != nil {
					t.Fatal(err)
				}
				if sum := w.mustRun(Range{}); sum.Sessions != 3 {
					t.Errorf("%+v", sum)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		disk, err := openFolder(w.dir, testGCID)
		if err != nil {
			t.Fatal(err)
		}
		disk.close()
		if err := writeFile(filepath.Join(disk.path, stateFile), []byte(`{"version":99}`)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.run(Range{}); exit.Code(err) != exit.Usage || !strings.Contains(err.Error(), "newer program") {
			t.Errorf("got %v, want that a newer program's state is left alone", err)
		}
	})
}
