package backfill

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

var history = Range{Kinds: []Kind{KindSessions}}

// TestPageAlwaysFails notes a page that never comes and keeps all around it.
func TestPageAlwaysFails(t *testing.T) {
	tests := map[string]struct {
		fails    func(r *http.Request, starts []time.Time) bool
		sessions int // at least
		skipped  bool
		calls    int // at most
	}{
		"the second page of any query": {func(r *http.Request, _ []time.Time) bool {
			return r.URL.Query().Get("nextToken") != ""
		}, 30, false, 24},
		"every query that holds one bad session": {func(r *http.Request, starts []time.Time) bool {
			to, _ := time.Parse(time.RFC3339Nano, r.URL.Query().Get("to"))
			from, _ := time.Parse(time.RFC3339Nano, r.URL.Query().Get("from"))
			return starts[4].Before(to) && !starts[4].Before(from)
		}, 15, true, 16},
		"everything": {func(*http.Request, []time.Time) bool { return true }, 0, true, 16},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.bmw.charged(car1, 30, 24*time.Hour)
				starts := slices.Clone(w.bmw.sessions[car1])
				w.bmw.fault = func(r *http.Request) *http.Response {
					if strings.HasSuffix(r.URL.Path, "chargingHistory") && tt.fails(r, starts) {
						return refuse(http.StatusInternalServerError, "CU-500", "internal")
					}
					return nil
				}
				sum, err := w.run(history)
				if got := len(w.kafka.of(names.ChargingSessions)); got < tt.sessions {
					t.Errorf("%d sessions, want %d or more", got, tt.sessions)
				}
				if tt.skipped != (len(sum.Skipped) > 0) || tt.skipped != (exit.Code(err) == exit.Partly) {
					t.Errorf("skipped %+v, %v", sum.Skipped, err)
				}
				for _, s := range sum.Skipped {
					if s.From.IsZero() || s.Remedy == "" {
						t.Errorf("skip without range or remedy: %+v", s)
					}
				}
				if w.bmw.spent() > tt.calls {
					t.Errorf("%d calls, want at most %d", w.bmw.spent(), tt.calls)
				}
			})
		})
	}
}

// TestPageTokens goes on below what is here when a token expires or repeats.
func TestPageTokens(t *testing.T) {
	tests := map[string]func(w *world){
		"expire at once": func(w *world) { w.bmw.tokenLife = -time.Second },
		"repeat":         func(w *world) { w.bmw.sameToken = true },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.bmw.charged(car1, 35, 12*time.Hour)
				prepare(w)
				w.mustRun(history)
				if got := len(w.kafka.of(names.ChargingSessions)); got != 35 {
					t.Errorf("%d sessions, want 35", got)
				}
				if w.bmw.spent() > 14 {
					t.Errorf("%d calls", w.bmw.spent())
				}
			})
		})
	}
}

// TestRunningSession is completed by a later run, as the same session.
func TestRunningSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bmw.charged(car1, 3, 24*time.Hour)
		w.bmw.running[car1] = w.bmw.sessions[car1][0]
		w.mustRun(history)
		if got := running(t, w); got != 1 {
			t.Fatalf("%d running sessions, want 1", got)
		}
		<-time.After(5 * 24 * time.Hour) // it was plugged in for days
		clear(w.bmw.running)
		w.mustRun(history)
		if got := len(w.kafka.of(names.ChargingSessions)); got != 3 {
			t.Errorf("%d sessions, want the same 3", got)
		}
		if got := running(t, w); got != 0 {
			t.Errorf("%d sessions still run", got)
		}
	})
}

func running(t *testing.T, w *world) int {
	t.Helper()
	n := 0
	for _, value := range w.kafka.of(names.ChargingSessions) {
		if !strings.Contains(string(value), `"end":`) {
			n++
		}
	}
	return n
}

// TestSettledHistory is never asked for again, however long the range.
func TestSettledHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bmw.charged(car1, 100, 24*time.Hour)
		year := Range{Kinds: history.Kinds, From: time.Now().Add(-120 * 24 * time.Hour)}
		w.mustRun(year)
		first := w.bmw.spent()
		<-time.After(24 * time.Hour)
		w.mustRun(year)
		if more := w.bmw.spent() - first; more != 2 { // the mapping, and the last days
			t.Errorf("the next day's run made %d calls, want 2: %v", more, w.bmw.calls[first:])
		}
		<-time.After(time.Minute)
		again := year
		again.Again = true
		if sum := w.mustRun(again); sum.Sessions != 100 {
			t.Errorf("--again brought %d sessions, want all 100", sum.Sessions)
		}
	})
}

// TestSpans holds the arithmetic of ranges to a count of hours.
func TestSpans(t *testing.T) {
	epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const hours = 2000
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		draw := func() span {
			a, b := random.IntN(hours), random.IntN(hours)
			return span{epoch.Add(time.Duration(min(a, b)) * time.Hour), epoch.Add(time.Duration(max(a, b)) * time.Hour)}
		}
		in := func(list []span, h int) int {
			n, at := 0, epoch.Add(time.Duration(h)*time.Hour)
			for _, s := range list {
				if !at.Before(s.From) && at.Before(s.To) {
					n++
				}
			}
			return n
		}
		whole := draw()
		covered := []span{draw(), draw(), draw()}
		rest := sliced(without(whole, covered))
		for h := range hours {
			want := in([]span{whole}, h)
			if in(covered, h) > 0 {
				want = 0
			}
			if got := in(rest, h); got != want {
				t.Fatalf("seed %d: hour %d is %d times in %v, want %d (%v without %v)", seed, h, got, rest, want, whole, covered)
			}
			if in(merged(covered), h) != min(in(covered, h), 1) {
				t.Fatalf("seed %d: merged %v", seed, merged(covered))
			}
		}
		for i, s := range rest {
			if s.To.Sub(s.From) > maxSlice || i > 0 && s.To.After(rest[i-1].From) {
				t.Fatalf("seed %d: %v is not newest first in slices of 30 days", seed, rest)
			}
		}
	}
}

// TestSettingsPages goes on with the page that is missing.
func TestSettingsPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		down := true
		w.bmw.fault = func(r *http.Request) *http.Response {
			if !strings.HasSuffix(r.URL.Path, "locationBasedChargingSettings") {
				return nil
			}
			switch {
			case r.URL.Query().Get("nextToken") == "":
				return answer(http.StatusOK, `{"data":[{"id":"1","chargingMode":"NOW"}],"nextToken":"two"}`)
			case down:
				return refuse(http.StatusServiceUnavailable, "CU-503", "down")
			}
			return answer(http.StatusOK, `{"data":[{"id":"2","chargingMode":"LATER"}]}`)
		}
		settings := Range{Kinds: []Kind{KindSettings}}
		if _, err := w.run(settings); exit.Code(err) != exit.Partly {
			t.Fatalf("got %v", err)
		}
		down = false
		spent := w.bmw.spent()
		w.mustRun(settings)
		if more := w.bmw.spent() - spent; more != 1 {
			t.Errorf("%d calls for the page that was missing: %v", more, w.bmw.calls)
		}
		value := string(w.kafka.of(names.Vehicles)[string(car1)+"/settings"])
		if !strings.Contains(value, "NOW") || !strings.Contains(value, "LATER") {
			t.Errorf("settings %s", value)
		}
	})
}
