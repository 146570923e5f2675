package auth

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestSourceWhoseAnswerWasLostAfterTheRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		svc := &service{}
		svc.answer = func(p string, f url.Values) (*fakeAnswer, error) {
			res, err := r.answer(p, f)
			if r.refreshes == 1 {
				return nil, errors.New("connection reset by peer")
			}
			return res, err
		}
		src := newSource(t, newClient(t, svc, nil), newStore(t, setN(1)))
		pause(2 * time.Hour)
		if _, _, err := src.IDToken(t.Context(), 0); !errors.Is(err, ErrLoginNeeded) || !strings.Contains(err.Error(), "cardata login") {
			t.Errorf("IDToken: %v, want ErrLoginNeeded with its remedy", err)
		}
		if n := len(svc.requests(tokenPath)); n != 2 {
			t.Errorf("asked %d times, want one short retry with the old token", n)
		}
	})
}

func TestSourceUsesASetWrittenWithoutTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, setN(1))
		svc := &service{answer: func(string, url.Values) (*fakeAnswer, error) {
			if err := store.Save(setN(5)); err != nil {
				t.Error(err)
			}
			return reply(400, sampleBody("error-400-invalid_grant.json")), nil
		}}
		src := newSource(t, newClient(t, svc, nil), store)
		pause(2 * time.Hour)
		if id, _, err := src.IDToken(t.Context(), 0); err != nil || id != "id-5" {
			t.Errorf("IDToken = %s, %v; want the stored id-5", id, err)
		}
	})
}

func TestSourceNeverUsesWhatIsNotSaved(t *testing.T) {
	tests := map[string]func(s *Store){
		"rename fails after the rotation": func(s *Store) {
			rename := s.rename
			s.rename = func(from, to string) error {
				if to == s.path {
					return syscall.EIO
				}
				return rename(from, to)
			}
		},
		"write fails after the rotation": func(s *Store) {
			s.write = func(f *os.File, b []byte) (int, error) {
				if len(b) == reserveBytes {
					return f.Write(b)
				}
				return 0, syscall.ENOSPC
			}
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &rotating{n: 1}
				store := newStore(t, setN(1))
				src := newSource(t, newClient(t, &service{answer: r.answer}, nil), store)
				spoil(store)
				pause(50 * time.Minute)
				if id, _, err := src.IDToken(t.Context(), 20*time.Minute); err != nil || id != "id-1" {
					t.Errorf("IDToken = %s, %v; want the durable id-1 for the rest of its life", id, err)
				}
				pause(11 * time.Minute)
				for range 3 {
					if id, _, err := src.IDToken(t.Context(), 0); !errors.Is(err, ErrNotSaved) || id != "" {
						t.Errorf("IDToken = %q, %v; want ErrNotSaved and no token", id, err)
					}
				}
				if st := src.Status(); st.State != StateUnsaved {
					t.Errorf("state = %s, want unsaved", st.State)
				}
				if r.refreshes != 1 {
					t.Errorf("refreshes = %d, want the one rotation kept in memory", r.refreshes)
				}
				store.write, store.rename = (*os.File).Write, os.Rename
				if id, _, err := src.IDToken(t.Context(), 20*time.Minute); err != nil || id != "id-2" {
					t.Errorf("IDToken with a mended disk = %s, %v; want id-2", id, err)
				}
				if stored(t, store) != "refresh-2" || r.refreshes != 1 || src.Status().State != StateReady {
					t.Errorf("stored %s after %d refreshes, state %s", stored(t, store), r.refreshes, src.Status().State)
				}
			})
		})
	}
}

func TestSourceDoesNotRotateOntoAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		store := newStore(t, setN(1))
		src := newSource(t, newClient(t, &service{answer: r.answer}, nil), store)
		store.write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
		pause(2 * time.Hour)
		if _, _, err := src.IDToken(t.Context(), 0); !errors.Is(err, ErrNotSaved) {
			t.Errorf("IDToken: %v, want ErrNotSaved", err)
		}
		if r.refreshes != 0 {
			t.Errorf("refreshes = %d, want none while the disk is full", r.refreshes)
		}
		store.write = (*os.File).Write
		if id, _, err := src.IDToken(t.Context(), 0); err != nil || id != "id-2" {
			t.Errorf("IDToken with room again = %s, %v; want id-2", id, err)
		}
	})
}

func TestSourceAfterACrashBetweenWriteAndRename(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 2}
		store := newStore(t, setN(1))
		pause(50 * time.Minute)
		b, err := encode(setN(2), 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(store.Path()+".tmp", b, 0o600); err != nil {
			t.Fatal(err)
		}
		src := newSource(t, newClient(t, &service{answer: r.answer}, nil), store)
		if id, _, err := src.IDToken(t.Context(), 20*time.Minute); err != nil || id != "id-2" || r.refreshes != 0 {
			t.Errorf("IDToken = %s, %v after %d refreshes; want the saved id-2", id, err, r.refreshes)
		}
	})
}

func TestSourceKeepsTheRotationOfAnIncompleteAnswer(t *testing.T) {
	for name, body := range map[string]string{
		"no id_token":     `{"access_token":"a","refresh_token":"refresh-2","expires_in":3600}`,
		"no access_token": `{"id_token":"i","refresh_token":"refresh-2"}`,
		"odd expires_in":  `{"access_token":"a","id_token":"i","refresh_token":"refresh-2","expires_in":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &rotating{n: 2}
				first := true
				svc := &service{answer: func(p string, f url.Values) (*fakeAnswer, error) {
					if first {
						first = false
						return reply(200, body), nil
					}
					return r.answer(p, f)
				}}
				store := newStore(t, setN(1))
				src := newSource(t, newClient(t, svc, nil), store)
				pause(50 * time.Minute)
				id, _, err := src.IDToken(t.Context(), 20*time.Minute)
				if st := src.Status(); err != nil || id != "id-1" || !errors.Is(st.LastError, ErrIncomplete) {
					t.Errorf("IDToken = %s, %v, status %+v; want the old one while it lives, and ErrIncomplete", id, err, st)
				}
				if stored(t, store) != "refresh-2" {
					t.Errorf("stored = %s, want the rotated token", stored(t, store))
				}
				pause(firstDelay)
				if id, _, err := src.IDToken(t.Context(), 20*time.Minute); err != nil || id != "id-3" {
					t.Errorf("IDToken after the back-off = %s, %v; want id-3", id, err)
				}
			})
		})
	}
}

func TestSourceKeepsAccountWhenTheAnswerLacksIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &service{answer: func(string, url.Values) (*fakeAnswer, error) {
			return reply(200, sampleBody("token-refresh-200-without-gcid.json")), nil
		}}
		store := newStore(t, setN(1))
		src := newSource(t, newClient(t, svc, nil), store)
		if err := src.Renew(t.Context(), "id-1"); err != nil {
			t.Fatal(err)
		}
		if set, err := store.Load(); err != nil || set.GCID != testGCID || set.ClientID != testClient {
			t.Errorf("stored %v, %v; want the old account", set, err)
		}
	})
}

func TestSourceRefusesTokensOfAnotherAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &service{answer: func(string, url.Values) (*fakeAnswer, error) {
			return reply(200, strings.Replace(tokenBody(2), testGCID, "00000000-0000-4000-8000-000000000002", 1)), nil
		}}
		store := newStore(t, setN(1))
		src := newSource(t, newClient(t, svc, nil), store)
		if err := src.Renew(t.Context(), "id-1"); err == nil || stored(t, store) != "refresh-1" {
			t.Errorf("Renew: %v, stored %s; want a refusal", err, stored(t, store))
		}
	})
}

func TestSourceFinishesARotationWhoseCallerIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		ctx, cancel := context.WithCancel(t.Context())
		svc := &service{answer: func(p string, f url.Values) (*fakeAnswer, error) {
			cancel() // the request is out
			pause(time.Second)
			return r.answer(p, f)
		}}
		store := newStore(t, setN(1))
		src := newSource(t, newClient(t, svc, nil), store)
		_ = src.Renew(ctx, "id-1")
		if got := stored(t, store); got != "refresh-2" {
			t.Errorf("stored = %s, want the rotated token in spite of the cancelled caller", got)
		}
	})
}

func TestSourceWaitsNoLongerThanItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &service{answer: func(string, url.Values) (*fakeAnswer, error) {
			pause(20 * time.Second)
			return reply(200, tokenBody(2)), nil
		}}
		src := newSource(t, newClient(t, svc, nil), newStore(t, setN(1)))
		var wg sync.WaitGroup
		wg.Go(func() { _ = src.Renew(t.Context(), "id-1") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := src.Renew(ctx, "id-1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Renew beside another: %v, want the end of its own context", err)
		}
		wg.Wait()
	})
}

func TestSourceNoticesAClockThatJumped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		set := setN(1)
		// Obtained when the clock was three hours ahead.
		set.Obtained, set.Expires = set.Obtained.Add(3*time.Hour), set.Expires.Add(3*time.Hour)
		src := newSource(t, newClient(t, &service{answer: r.answer}, nil), newStore(t, set))
		if id, _, err := src.IDToken(t.Context(), 0); err != nil || id != "id-2" {
			t.Errorf("IDToken = %s, %v; want a fresh one", id, err)
		}
	})
}

func TestSourceTokenFileGoneOrTorn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{n: 1}
		store := newStore(t, setN(1))
		src := newSource(t, newClient(t, &service{answer: r.answer}, nil), store)
		if err := os.WriteFile(store.Path(), []byte(`{"vers`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := src.Renew(t.Context(), "id-1"); err != nil || stored(t, store) != "refresh-2" {
			t.Errorf("Renew over a torn file: %v, want it rewritten from memory", err)
		}
		pause(renewEvery)
		if err := os.Remove(store.Path()); err != nil {
			t.Fatal(err)
		}
		if err := src.Renew(t.Context(), "id-2"); !errors.Is(err, ErrLoginNeeded) || r.refreshes != 1 {
			t.Errorf("Renew without the file: %v after %d refreshes, want ErrLoginNeeded and no request", err, r.refreshes)
		}
		if _, err := os.Stat(store.Path()); err == nil {
			t.Error("a removed account came back")
		}
	})
}
