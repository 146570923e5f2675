package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func newQuota(t *testing.T, log *strings.Builder) *Quota {
	t.Helper()
	cfg := QuotaConfig{}
	if log != nil {
		cfg.Log = slog.New(slog.NewJSONHandler(log, nil))
	}
	return OpenQuota(QuotaPath(filepath.Join(t.TempDir(), "tokens"), testGCID), cfg)
}

// spend books calls one by one until the quota refuses.
func spend(t *testing.T, q *Quota, use Use) (booked int, refusal *QuotaError) {
	t.Helper()
	for {
		err := q.Book(t.Context(), 1, use)
		if err == nil {
			booked++
			continue
		}
		refusal, ok := errors.AsType[*QuotaError](err)
		if !ok {
			t.Fatal(err)
		}
		return booked, refusal
	}
}

func quotaStatus(t *testing.T, q *Quota) QuotaStatus {
	t.Helper()
	s, err := q.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func book(t *testing.T, q *Quota, calls int) {
	t.Helper()
	if err := q.Book(t.Context(), calls, UseOwner); err != nil {
		t.Fatal(err)
	}
}

func exhaust(t *testing.T, q *Quota) {
	t.Helper()
	if err := q.Exhausted(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// sleep moves the bubble's clock.
func sleep(d time.Duration) { <-time.After(d) }

func TestATimetableLeavesTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(strings.Builder)
		q := newQuota(t, log)
		sleep(6 * time.Hour)
		n, refusal := spend(t, q, UseScheduled)
		if n != 40 || refusal.Latched || refusal.Spent != 40 || refusal.Reserve != 10 || !refusal.Until.Equal(time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("a timetable booked %d, %+v", n, refusal)
		}
		if n, refusal = spend(t, q, UseOwner); n != 10 || refusal.Spent != 50 {
			t.Errorf("the owner booked %d, %+v", n, refusal)
		}
		if s := quotaStatus(t, q); s.Left != 0 || s.Scheduled != 0 || s.Spent != 50 || !s.LatchedUntil.IsZero() {
			t.Errorf("status = %+v", s)
		}
		if c := strings.Count(log.String(), "rest quota runs low"); c != 1 {
			t.Errorf("said %d times that it runs low: %s", c, log)
		}
		if q.Stats().QuotaCalls.Load() != 50 || q.Stats().QuotaRefusals.Load() != 2 {
			t.Errorf("stats = %d calls, %d refusals", q.Stats().QuotaCalls.Load(), q.Stats().QuotaRefusals.Load())
		}
		sleep(18*time.Hour - time.Nanosecond)
		if n, _ = spend(t, q, UseOwner); n != 0 {
			t.Errorf("booked %d just before midnight", n)
		}
		sleep(time.Nanosecond)
		if n, _ = spend(t, q, UseScheduled); n != 40 {
			t.Errorf("booked %d on the next day, want 40", n)
		}
		if s := quotaStatus(t, q); len(s.History) != 1 || s.History[0] != (QuotaDay{Day: "2000-01-01", Spent: 50}) {
			t.Errorf("history = %+v", s.History)
		}
	})
}

func TestCallsAreBookedAllOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuota(t, nil)
		book(t, q, 45)
		if err := q.Book(t.Context(), 6, UseOwner); err == nil {
			t.Error("booked 51 calls")
		}
		book(t, q, 5)
		if err := q.Book(t.Context(), -1, UseOwner); err == nil {
			t.Error("booked a negative number")
		}
		if err := q.Book(t.Context(), 0, UseScheduled); err != nil {
			t.Errorf("no calls: %v", err)
		}
		exhaust(t, q)
		if err := q.Book(t.Context(), 0, UseScheduled); err == nil {
			t.Error("a latched quota says yes")
		}
	})
}

func TestOtherToolsAreLearntOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(strings.Builder)
		q := newQuota(t, log)
		sleep(time.Hour)
		book(t, q, 25)
		exhaust(t, q)
		exhaust(t, q) // a second process may see it as well
		s := quotaStatus(t, q)
		if s.Foreign != 25 || s.Left != 0 || s.Scheduled != 0 || !s.LatchedUntil.Equal(time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("status = %+v", s)
		}
		if n, refusal := spend(t, q, UseOwner); n != 0 || !refusal.Latched {
			t.Errorf("booked %d while latched, %+v", n, refusal)
		}
		if c := strings.Count(log.String(), "rest quota is used up"); c != 1 || q.Stats().QuotaLatches.Load() != 1 {
			t.Errorf("said %d times that it is used up: %s", c, log)
		}
		for day := range 7 {
			sleep(24 * time.Hour)
			if s := quotaStatus(t, q); s.Expected != 25 || s.Scheduled != 15 || s.Left != 50 || !s.LatchedUntil.IsZero() {
				t.Errorf("day %d: %+v, want 40 less 25 for a timetable", day+1, s)
			}
		}
		sleep(24 * time.Hour)
		if s := quotaStatus(t, q); s.Expected != 0 || s.Scheduled != 40 {
			t.Errorf("after a week: %+v", s)
		}
	})
}

func TestOneBadDayDoesNotSilenceAWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuota(t, nil)
		sleep(time.Hour)
		book(t, q, 1)
		exhaust(t, q)
		sleep(24 * time.Hour)
		if n, _ := spend(t, q, UseScheduled); n != leastScheduled {
			t.Errorf("booked %d, want %d", n, leastScheduled)
		}
	})
}

func TestARefusalOfYesterdayDoesNotLatchToday(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuota(t, nil)
		book(t, q, 30)
		sleep(24*time.Hour + time.Second)
		exhaust(t, q)
		if s := quotaStatus(t, q); !s.LatchedUntil.IsZero() || s.Foreign != 0 {
			t.Errorf("status = %+v", s)
		}
		sleep(time.Hour)
		exhaust(t, q)
		if s := quotaStatus(t, q); s.LatchedUntil.IsZero() {
			t.Errorf("status = %+v", s)
		}
	})
}

func TestTheDayIsByBMWsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuota(t, nil)
		sleep(23*time.Hour + 55*time.Minute)
		book(t, q, 50)
		sleep(10 * time.Minute) // by our clock, which is fast, a new day
		book(t, q, 1)
		q.SetSkew(t.Context(), -10*time.Minute)
		if n, refusal := spend(t, q, UseOwner); n != 0 || refusal.Spent != 51 || !refusal.Until.Equal(time.Date(2000, 1, 2, 0, 10, 0, 0, time.UTC)) {
			t.Errorf("booked %d, %+v", n, refusal)
		}
		sleep(5 * time.Minute)
		if n, _ := spend(t, q, UseOwner); n != 50 {
			t.Errorf("booked %d after BMW's midnight", n)
		}
		q.SetSkew(t.Context(), 400*24*time.Hour)
		if s := quotaStatus(t, q); s.Day != "2000-01-02" {
			t.Errorf("a nonsensical date moved the day to %s", s.Day)
		}
	})
}

func TestAClockThatGoesBackGivesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuota(t, nil)
		book(t, q, 1)
		write(t, q, `{"version":1,"day":"2030-01-01","spent":30,"history":[{"day":"2029-12-31","spent":1,"foreign":0},{"day":"2000-01-01","spent":15,"foreign":0},{"day":"1999-12-31","spent":9,"foreign":4}]}`)
		if n, _ := spend(t, q, UseOwner); n != 4 {
			t.Errorf("booked %d after the clock went back, want 50-30-1-15", n)
		}
		sleep(24 * time.Hour)
		if s := quotaStatus(t, q); s.Spent != 0 || len(s.History) != 2 || s.Expected != 4 {
			t.Errorf("next day: %+v", s)
		}
	})
}

func write(t *testing.T, q *Quota, content string) {
	t.Helper()
	if err := os.WriteFile(q.path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenQuotaFiles(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "torn": `{"version":1,"day":"20`, "foreign": `[]`, "no day": `{"version":1}`,
		"another version": `{"version":2,"day":"2026-01-01"}`, "negative": `{"version":1,"day":"2026-01-01","spent":-5}`,
	} {
		t.Run(name, func(t *testing.T) {
			log := new(strings.Builder)
			q := newQuota(t, log)
			book(t, q, 1)
			write(t, q, content)
			if s := quotaStatus(t, q); s.Scheduled != 0 || s.Left != 10 {
				t.Errorf("status = %+v", s)
			}
			if n, _ := spend(t, q, UseScheduled); n != 0 {
				t.Errorf("a timetable booked %d on an unknown count", n)
			}
			if n, _ := spend(t, q, UseOwner); n != 10 {
				t.Errorf("the owner booked %d, want the reserve", n)
			}
			if _, err := os.Stat(q.path + ".broken"); err != nil || strings.Count(log.String(), "cannot be understood") == 0 {
				t.Errorf("%v, log %s", err, log)
			}
		})
	}
}

func TestACountThatCannotBeKept(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	q := OpenQuota(QuotaPath(filepath.Join(dir, "file"), testGCID), QuotaConfig{})
	err := q.Book(t.Context(), 1, UseOwner)
	if _, refused := errors.AsType[*QuotaError](err); err == nil || refused || !strings.Contains(err.Error(), "writable") || q.Stats().QuotaFaults.Load() == 0 {
		t.Errorf("Book = %v", err)
	}
}

func TestQuotaFileIsPrivate(t *testing.T) {
	q := newQuota(t, nil)
	book(t, q, 1)
	if filepath.Base(q.path) != testGCID+".quota.json" {
		t.Errorf("path = %s", q.path)
	}
	for _, path := range []string{q.path, strings.TrimSuffix(q.path, ".json") + ".lock"} {
		fi, err := os.Stat(path)
		if err != nil || runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, fi, err)
		}
	}
	if _, err := os.Stat(q.path + ".tmp"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("temporary file stays: %v", err)
	}
}

func TestLimitsOfConfig(t *testing.T) {
	tests := map[string]struct {
		cfg            QuotaConfig
		left, schedule int
	}{
		"BMW's by default":            {QuotaConfig{}, 50, 40},
		"a reserve of a fifth":        {QuotaConfig{Limit: 5}, 5, 4},
		"no reserve":                  {QuotaConfig{Reserve: -1}, 50, 50},
		"a reserve above the limit":   {QuotaConfig{Limit: 5, Reserve: 9}, 5, 0},
		"both given":                  {QuotaConfig{Limit: 30, Reserve: 20}, 30, 10},
		"a limit below zero is BMW's": {QuotaConfig{Limit: -1}, 50, 40},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := quotaStatus(t, OpenQuota(filepath.Join(t.TempDir(), "q.json"), tc.cfg))
			if s.Left != tc.left || s.Scheduled != tc.schedule {
				t.Errorf("status = %+v", s)
			}
		})
	}
}

func TestStatusIsReadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuota(t, nil)
		book(t, q, 3)
		b, err := json.Marshal(quotaStatus(t, q))
		if err != nil || !strings.Contains(string(b), `"spent":3`) || strings.Contains(string(b), "latched_until") {
			t.Errorf("%s, %v", b, err)
		}
	})
}

// TestProcessesOnOneAccountNeverExceedTheQuota starts this test binary four times
// on one quota file; each books until it is refused.
func TestProcessesOnOneAccountNeverExceedTheQuota(t *testing.T) {
	const variable = "CARDATA_REST_TEST_QUOTA"
	if os.Getenv(variable) != "" {
		beOneSpender(t)
		return
	}
	q := newQuota(t, nil)
	if err := os.Mkdir(filepath.Dir(q.path), dirMode); err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards total
		total int
	)
	for range 4 {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$", "-test.v")
			cmd.Env = append(os.Environ(), variable+"=1")
			cmd.Dir = filepath.Dir(q.path)
			out, err := cmd.CombinedOutput()
			var n int
			_, after, found := strings.Cut(string(out), "booked=")
			if _, scan := fmt.Sscan(after, &n); err != nil || !found || scan != nil {
				t.Errorf("process: %v\n%s", err, out)
			}
			mu.Lock()
			defer mu.Unlock()
			total += n
		})
	}
	wg.Wait()
	// Midnight within the test would give a second day's quota.
	days := 1 + len(quotaStatus(t, q).History)
	if total > 50*days || days == 1 && total != 50 {
		t.Errorf("booked %d calls together, want 50", total)
	}
}

// beOneSpender books from two goroutines with a Quota each, as two parts of one
// program might.
func beOneSpender(t *testing.T) {
	t.Helper()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards total
		total int
	)
	for range 2 {
		wg.Go(func() {
			n := 0
			for OpenQuota(QuotaPath(".", testGCID), QuotaConfig{}).Book(context.Background(), 1, UseOwner) == nil {
				n++
			}
			mu.Lock()
			defer mu.Unlock()
			total += n
		})
	}
	wg.Wait()
	fmt.Printf("booked=%d\n", total)
}

// TestAKilledProcessLosesNoCount kills a spender and counts what it said against
// the file.
func TestAKilledProcessLosesNoCount(t *testing.T) {
	const variable = "CARDATA_REST_TEST_KILLED"
	if os.Getenv(variable) != "" {
		q := OpenQuota(QuotaPath(".", testGCID), QuotaConfig{Limit: 1_000_000})
		for q.Book(context.Background(), 1, UseOwner) == nil {
			fmt.Println("call") // it goes out
		}
		return
	}
	q := OpenQuota(QuotaPath(t.TempDir(), testGCID), QuotaConfig{Limit: 1_000_000})
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		before := quotaStatus(t, q)
		cmd := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), variable+"=1")
		cmd.Dir = filepath.Dir(q.path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		calls := 0
		buf := make([]byte, 1)
		for calls < 20 {
			if _, err := out.Read(buf); err != nil {
				t.Fatal(err)
			}
			if buf[0] == '\n' {
				calls++
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		after := quotaStatus(t, q)
		if after.Day == before.Day && after.Spent < before.Spent+calls {
			t.Errorf("%d calls went out, %d are counted", calls, after.Spent-before.Spent)
		}
		book(t, q, 1) // the lock of the dead is free, its torn file does no harm
	}
}
