package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSourceHandsOutTheStoredTokenWhileItLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &service{answer: (&rotating{n: 1}).answer}
		src := newSource(t, newClient(t, svc, nil), newStore(t, setN(1)))
		if src.GCID() != testGCID {
			t.Errorf("GCID = %v", src.GCID())
		}
		for _, step := range []struct {
			wait, minLife time.Duration
			want          string
		}{
			{0, 0, "1"},
			{0, 2 * time.Hour, "1"}, // counts as 45 minutes
			{10 * time.Minute, 49 * time.Minute, "1"},
			{10 * time.Minute, 39 * time.Minute, "1"},
			{0, 41 * time.Minute, "2"},
			{59 * time.Minute, 0, "2"},
			{time.Minute, 0, "3"},
		} {
			pause(step.wait)
			id, expires, err := src.IDToken(t.Context(), step.minLife)
			if err != nil || id != "id-"+step.want || !expires.After(now()) {
				t.Errorf("IDToken(%v) = %s until %v, %v; want id-%s", step.minLife, id, expires, err, step.want)
			}
			access, _, err := src.AccessToken(t.Context(), 0)
			if err != nil || access != "access-"+step.want {
				t.Errorf("AccessToken = %s, %v; want access-%s", access, err, step.want)
			}
		}
		if r := svc.requests(tokenPath)[0].form; r.Get("grant_type") != "refresh_token" || r.Get("client_id") != testClient || len(r) != 3 {
			t.Errorf("refresh form = %v", r)
		}
	})
}

func TestSourceRunRefreshesAheadOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &service{answer: (&rotating{n: 1}).answer}
		store := newStore(t, setN(1))
		src := newSource(t, newClient(t, svc, nil), store)
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		last := time.Now()
		if err := src.Run(ctx); err != nil {
			t.Errorf("Run: %v, want nil at the end of its context", err)
		}
		for _, r := range svc.requests(tokenPath) {
			if age := r.at.Sub(last); age < 45*time.Minute || age > 50*time.Minute {
				t.Errorf("refreshed at an age of %v, want 45 to 50 minutes", age)
			}
			last = r.at
		}
		if n := len(svc.requests(tokenPath)); n < 28 || n > 32 {
			t.Errorf("refreshes in a day = %d, want about 30", n)
		}
		if st := src.Status(); st.State != StateReady || st.LastError != nil {
			t.Errorf("status = %+v, want ready", st)
		}
	})
}

func TestTwoSourcesOnOneStoreRefreshOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		svc := &service{answer: func(p string, f url.Values) (*fakeAnswer, error) {
			pause(time.Second)
			return r.answer(p, f)
		}}
		store := newStore(t, setN(1))
		a := newSource(t, newClient(t, svc, nil), store)
		b := newSource(t, newClient(t, svc, nil), OpenStore(store.Path()))
		pause(2 * time.Hour)
		var wg sync.WaitGroup
		for i := range 6 {
			src := []*Source{a, b}[i%2]
			wg.Go(func() {
				if id, _, err := src.IDToken(t.Context(), time.Minute); err != nil || id != "id-2" {
					t.Errorf("IDToken = %s, %v; want id-2", id, err)
				}
			})
		}
		wg.Wait()
		if r.refreshes != 1 {
			t.Errorf("refreshes = %d, want 1", r.refreshes)
		}
		if n := a.Stats().TokenAdoptions.Load() + b.Stats().TokenAdoptions.Load(); n != 1 {
			t.Errorf("adoptions = %d, want 1", n)
		}
	})
}

func TestTwoSourcesRunningShareARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		store := newStore(t, setN(1))
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Hour)
		defer cancel()
		var wg sync.WaitGroup
		for range 2 {
			src := newSource(t, newClient(t, &service{answer: r.answer}, nil), OpenStore(store.Path()))
			wg.Go(func() { _ = src.Run(ctx) })
		}
		wg.Wait()
		if r.refreshes != r.n-1 || r.refreshes > 16 {
			t.Errorf("refreshes = %d for %d sets in 12 h, want each accepted and no more than one process needs", r.refreshes, r.n-1)
		}
	})
}

func TestSourceAnswersARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		store := newStore(t, setN(1))
		client := newClient(t, &service{answer: r.answer}, nil)
		src, other := newSource(t, client, store), newSource(t, client, OpenStore(store.Path()))

		if err := src.Renew(t.Context(), "id-0"); err != nil || r.refreshes != 0 {
			t.Errorf("Renew of a token no longer held: %v, %d refreshes; want none", err, r.refreshes)
		}
		if err := src.Renew(t.Context(), "id-1"); err != nil || r.refreshes != 1 {
			t.Errorf("Renew: %v, %d refreshes; want one", err, r.refreshes)
		}
		if err := other.Renew(t.Context(), "access-1"); err != nil || r.refreshes != 1 {
			t.Errorf("Renew in another process: %v, %d refreshes; want the stored answer", err, r.refreshes)
		}
		if id, _, err := other.IDToken(t.Context(), 0); err != nil || id != "id-2" {
			t.Errorf("IDToken of the other = %s, %v; want id-2", id, err)
		}
		pause(renewEvery - time.Second)
		if err := src.Renew(t.Context(), "id-2"); !errors.Is(err, ErrRenewTooSoon) {
			t.Errorf("second Renew after 2:59: %v, want ErrRenewTooSoon", err)
		}
		pause(time.Second)
		if err := src.Renew(t.Context(), "id-2"); err != nil || r.refreshes != 2 {
			t.Errorf("second Renew after 3:00: %v, %d refreshes; want two", err, r.refreshes)
		}
	})
}

func TestSourceAnswersARefusalOfTheAccessToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		store := newStore(t, setN(1))
		client := newClient(t, &service{answer: r.answer}, nil)
		src, other := newSource(t, client, store), newSource(t, client, OpenStore(store.Path()))

		if err := src.RenewAccess(t.Context(), "access-0"); err != nil || r.refreshes != 0 {
			t.Errorf("RenewAccess of a token no longer held: %v, %d refreshes; want none", err, r.refreshes)
		}
		if err := src.RenewAccess(t.Context(), "access-1"); err != nil || r.refreshes != 1 {
			t.Errorf("RenewAccess: %v, %d refreshes; want one", err, r.refreshes)
		}
		if err := other.RenewAccess(t.Context(), "access-1"); err != nil || r.refreshes != 1 {
			t.Errorf("RenewAccess in another process: %v, %d refreshes; want the stored answer", err, r.refreshes)
		}
		if token, _, err := other.AccessToken(t.Context(), 0); err != nil || token != "access-2" {
			t.Errorf("AccessToken of the other = %s, %v; want access-2", token, err)
		}
		if err := src.RenewAccess(t.Context(), "access-2"); !errors.Is(err, ErrRenewTooSoon) {
			t.Errorf("RenewAccess of a token just issued: %v, want ErrRenewTooSoon", err)
		}
		pause(2 * time.Hour)
		if err := src.RenewAccess(t.Context(), "access-1"); err != nil || r.refreshes != 2 {
			t.Errorf("RenewAccess when the stored token has run out too: %v, %d refreshes; want two", err, r.refreshes)
		}
	})
}

func TestSourceTellsLoginNeededFromTrouble(t *testing.T) {
	lost := func() (*fakeAnswer, error) { return nil, errors.New("connection reset") }
	tests := map[string]struct {
		answer func() (*fakeAnswer, error)
		login  bool
		asked  int
	}{
		"invalid_grant":           {says(400, sampleBody("error-400-invalid_grant.json")), true, 2},
		"invalid_request":         {says(400, sampleBody("error-400-invalid_request.json")), true, 2},
		"401":                     {says(401, sampleBody("error-401-invalid_client.json")), true, 2},
		"400 without a body":      {says(400, ""), true, 2},
		"gateway fault with 500":  {says(500, sampleBody("error-500-gateway-fault.json")), false, 1},
		"fault body with 401":     {says(401, sampleBody("error-500-gateway-fault.json")), false, 1},
		"503":                     {says(503, ""), false, 1},
		"429":                     {says(429, ""), false, 1},
		"403 of a bot protection": {says(403, "<html>"), false, 1},
		"network":                 {lost, false, 2},
		"200 that is no JSON":     {says(200, "<html>"), false, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := &service{answer: func(string, url.Values) (*fakeAnswer, error) { return tt.answer() }}
				store := newStore(t, setN(1))
				src := newSource(t, newClient(t, svc, nil), store)
				pause(50 * time.Minute)
				for range 2 { // the second call finds a back-off
					if id, _, err := src.IDToken(t.Context(), 30*time.Minute); err != nil || id != "id-1" {
						t.Errorf("IDToken = %s, %v; want the token that still lives", id, err)
					}
				}
				if n := len(svc.requests(tokenPath)); n != tt.asked {
					t.Errorf("asked %d times, want %d", n, tt.asked)
				}
				want := StateRetrying
				if tt.login {
					want = StateLoginNeeded
				}
				if st := src.Status(); st.State != want || st.LastError == nil {
					t.Errorf("status = %+v, want %s and why", st, want)
				}
				pause(11 * time.Minute)
				id, _, err := src.IDToken(t.Context(), 0)
				if err == nil || id != "" || errors.Is(err, ErrLoginNeeded) != tt.login {
					t.Errorf("IDToken past its life = %q, %v; want login needed = %v", id, err, tt.login)
				}
				e, ok := errors.AsType[*Error](err)
				if !ok || e.Remedy == "" || e.Transient == tt.login || e.LoginNeeded() != tt.login {
					t.Errorf("IDToken past its life: %v, want an *Error with a remedy", err)
				}
				if stored(t, store) != "refresh-1" {
					t.Error("the stored set has changed")
				}
			})
		})
	}
}

func TestSourceRecoversFromTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		var down atomic.Bool
		down.Store(true)
		var log safeBuffer
		svc := &service{answer: func(p string, f url.Values) (*fakeAnswer, error) {
			if down.Load() {
				return reply(503, ""), nil
			}
			return r.answer(p, f)
		}}
		src := newSource(t, newClient(t, svc, &log), newStore(t, setN(1)))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = src.Run(ctx) })
		pause(3 * time.Hour)
		if n := len(svc.requests(tokenPath)); n < 20 || n > 300 {
			t.Errorf("asked %d times in two hours of trouble, want a back-off up to 5 minutes", n)
		}
		down.Store(false)
		pause(longestDelay + checkEvery)
		if id, _, err := src.IDToken(t.Context(), 0); err != nil || id != "id-2" {
			t.Errorf("IDToken = %s, %v; want id-2", id, err)
		}
		cancel()
		wg.Wait()
		if n := strings.Count(log.String(), "token refresh failed"); n != 1 {
			t.Errorf("the same failure is logged %d times, want once: %s", n, log.String())
		}
		if !strings.Contains(log.String(), "token refresh works again") {
			t.Error("the end of the failure is not logged")
		}
	})
}

func TestSourceTakesOverANewLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 9} // refresh-1 is spent
		store := newStore(t, setN(1))
		src := newSource(t, newClient(t, &service{answer: r.answer}, nil), store)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = src.Run(ctx) })
		pause(2 * time.Hour)
		if _, _, err := src.IDToken(t.Context(), 0); !errors.Is(err, ErrLoginNeeded) {
			t.Errorf("IDToken: %v, want ErrLoginNeeded", err)
		}
		if r.refreshes > 6 {
			t.Errorf("a refused token was presented %d times in two hours", r.refreshes)
		}
		if err := OpenStore(store.Path()).Save(setN(9)); err != nil {
			t.Fatal(err)
		}
		pause(checkEvery)
		synctest.Wait()
		if st := src.Status(); st.State != StateReady {
			t.Errorf("status after a new login = %+v, want ready within 10 s", st)
		}
		if id, _, err := src.IDToken(t.Context(), 0); err != nil || id != "id-9" {
			t.Errorf("IDToken = %s, %v; want id-9", id, err)
		}
		cancel()
		wg.Wait()
	})
}

func TestSourceWarnsOfAnOldRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log safeBuffer
		svc := &service{answer: func(string, url.Values) (*fakeAnswer, error) {
			res := reply(503, "")
			res.Header.Set("Retry-After", "3600")
			return res, nil
		}}
		set := setN(1)
		set.RefreshExpires = set.RefreshExpires.Add(-6 * 24 * time.Hour)
		src := newSource(t, newClient(t, svc, &log), newStore(t, set))
		ctx, cancel := context.WithTimeout(t.Context(), 84*time.Hour)
		defer cancel()
		_ = src.Run(ctx)
		if n := strings.Count(log.String(), "refresh token is old"); n != 3 {
			t.Errorf("warnings from day 6 to day 9.5 = %d, want one a day after the seventh", n)
		}
		for _, bad := range []string{"refresh-1", "id-1", testGCID} {
			if strings.Contains(log.String(), bad) {
				t.Errorf("%s is in the log", bad)
			}
		}
	})
}

func TestClientComparesClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log safeBuffer
		r := &rotating{n: 1}
		ahead := 45 * time.Second
		svc := &service{answer: func(p string, f url.Values) (*fakeAnswer, error) {
			res, err := r.answer(p, f)
			res.Header.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			return res, err
		}}
		src := newSource(t, newClient(t, svc, &log), newStore(t, setN(1)))
		for i := range 3 {
			if err := src.Renew(t.Context(), fmt.Sprintf("id-%d", i+1)); err != nil {
				t.Fatal(err)
			}
			pause(renewEvery)
		}
		if got := src.Status().Skew; got < ahead-time.Second || got > ahead+time.Second {
			t.Errorf("skew = %v, want about %v", got, ahead)
		}
		if n := strings.Count(log.String(), "clock differs"); n != 1 {
			t.Errorf("warned %d times, want once", n)
		}
		set := src.Tokens()
		if set.Expires.Sub(set.Obtained) != time.Hour {
			t.Error("the service's clock entered a life that is counted by ours")
		}
	})
}

func TestSourceHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &service{answer: func(string, url.Values) (*fakeAnswer, error) {
			res := reply(503, "")
			res.Header.Set("Retry-After", "900")
			return res, nil
		}}
		src := newSource(t, newClient(t, svc, nil), newStore(t, setN(1)))
		ctx, cancel := context.WithTimeout(t.Context(), 64*time.Minute)
		defer cancel()
		_ = src.Run(ctx)
		if n := len(svc.requests(tokenPath)); n < 1 || n > 2 {
			t.Errorf("asked %d times within 15 minutes of the first 503, want the server's wait kept", n)
		}
	})
}

func TestSourceBoundsASenselessLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &service{answer: func(string, url.Values) (*fakeAnswer, error) {
			return reply(200, strings.Replace(tokenBody(2), "3600", "2000000000", 1)), nil
		}}
		src := newSource(t, newClient(t, svc, nil), newStore(t, setN(1)))
		if err := src.Renew(t.Context(), "id-1"); err != nil {
			t.Fatal(err)
		}
		if life := src.Status().Expires.Sub(now()); life != 24*time.Hour {
			t.Errorf("life = %v, want at most a day so that the refresh token is rotated in time", life)
		}
	})
}

func TestSourceTellsThatTheDirectoryCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		store := newStore(t, setN(1))
		src := newSource(t, newClient(t, &service{answer: r.answer}, nil), store)
		_ = os.Remove(store.Path() + ".lock")
		if err := os.Mkdir(store.Path()+".lock", 0o700); err != nil { // refuses even root
			t.Fatal(err)
		}
		if err := src.Renew(t.Context(), "id-1"); err == nil || !strings.Contains(err.Error(), "writable") || r.refreshes != 0 {
			t.Errorf("Renew without a lock: %v after %d refreshes, want the remedy and no request", err, r.refreshes)
		}
		if st := src.Status(); st.State != StateRetrying {
			t.Errorf("state = %s, want retrying", st.State)
		}
	})
}
