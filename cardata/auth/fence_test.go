package auth

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

// Who no longer owns the account spends no refresh token, and serves what it has.
func TestSourceSpendsNothingItMayNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		moved := errors.New("moved")
		svc := &service{answer: (&rotating{n: 1}).answer}
		src, err := NewSource(newClient(t, svc, nil), newStore(t, setN(1)), SourceConfig{May: func(context.Context) error { return moved }})
		if err != nil {
			t.Fatal(err)
		}
		pause(50 * time.Minute)
		if id, _, err := src.IDToken(t.Context(), 30*time.Minute); err != nil || id != "id-1" {
			t.Errorf("IDToken = %s, %v; want the stored one for the rest of its life", id, err)
		}
		pause(time.Hour)
		if _, _, err := src.IDToken(t.Context(), 0); !errors.Is(err, moved) {
			t.Errorf("IDToken = %v, want %v", err, moved)
		}
		if n := len(svc.requests(tokenPath)); n != 0 {
			t.Errorf("asked %d times, want never", n)
		}
	})
}

// A set that another machine saved during the request is not overwritten, and is
// used from then on.
func TestSourceKeepsWhatAnotherMachineSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, setN(1))
		r := &rotating{n: 1}
		src := newSource(t, newClient(t, &service{answer: func(p string, f url.Values) (*fakeAnswer, error) {
			other := OpenStore(store.path + "-other")
			if err := other.Save(setN(7)); err != nil {
				t.Error(err)
			}
			if err := other.Save(setN(7)); err != nil { // the next revision
				t.Error(err)
			}
			if err := store.rename(other.path, store.path); err != nil {
				t.Error(err)
			}
			return r.answer(p, f)
		}}, nil), store)
		pause(2 * time.Hour)
		if _, _, err := src.IDToken(t.Context(), 0); !errors.Is(err, ErrOvertaken) {
			t.Errorf("IDToken = %v, want ErrOvertaken", err)
		}
		if got := stored(t, store); got != "refresh-7" {
			t.Errorf("stored %s, want refresh-7", got)
		}
		if err := src.Renew(t.Context(), "id-1"); err != nil {
			t.Errorf("Renew = %v, want the set of the store taken over", err)
		}
		if got := src.Tokens().RefreshToken; got != "refresh-7" {
			t.Errorf("uses %s, want refresh-7", string(got))
		}
	})
}
