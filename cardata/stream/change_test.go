package stream

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// flood publishes on the newest connection every step until told to stop.
func flood(b *bench, step time.Duration) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(step)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			if p := b.peer(b.count()); p != nil {
				_ = p.publish(fmt.Sprint(i))
			}
		}
	})
	return func() { close(quit); wg.Wait() }
}

func TestTokenChangeUnderLoadWaitsForTheEndOfTheWindow(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		t := b.t
		stop := flood(b, 500*time.Millisecond)
		begin := time.Now()
		pass(58 * time.Minute)
		stop()
		l := b.rec.losses()
		if len(l) != 1 || l[0].cause != schema.GapTokenChange {
			t.Fatalf("losses = %+v, want one token change", l)
		}
		if age := l[0].at.Sub(begin); age < 55*time.Minute || age > 57*time.Minute+2*time.Second {
			t.Errorf("changed at age %v, want near the end of the window: it was never quiet", age)
		}
		p, q := b.peer(1), b.peer(2)
		if p.password == q.password || q.password != b.tokens.text() {
			t.Error("the new connection does not use the new token")
		}
		if p.bye.IsZero() {
			t.Error("the old connection was not ended by DISCONNECT")
		}
		if gap := q.opened.Sub(p.bye); gap < 10*time.Second || gap > 11*time.Second {
			t.Errorf("gap = %v, want 10 s", gap)
		}
		var before, after int
		for _, e := range b.rec.list() {
			switch {
			case e.what == "subscribed" || e.cause != "":
			case e.at.After(l[0].at):
				after++
			default:
				before++
			}
		}
		if before < 6600 || after < 80 {
			t.Errorf("%d messages before and %d after the change", before, after)
		}
	})
}

func TestTokenChangeTakesTheFirstQuietMoment(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		t := b.t
		stop := flood(b, 10*time.Second)
		begin := time.Now()
		pass(46 * time.Minute)
		if n := b.count(); n != 1 {
			t.Fatalf("%d connections, want none given up while messages come every 10 s", n)
		}
		stop()
		pass(30 * time.Second)
		l := b.rec.losses()
		if len(l) != 1 || l[0].cause != schema.GapTokenChange || l[0].at.Sub(begin) > 46*time.Minute+20*time.Second {
			t.Fatalf("losses = %+v, want a token change within 20 s of silence", l)
		}
	})
}

func TestShortLivedTokensScaleTheWindow(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) { b.tokens.life = 2 * time.Minute }, func(b *bench) {
		t := b.t
		pass(10 * time.Minute)
		l := b.rec.losses()
		if len(l) < 5 || len(l) > 7 {
			t.Fatalf("%d losses in ten minutes of two-minute tokens: %v", len(l), b.rec.names())
		}
		for _, e := range l {
			if e.cause != schema.GapTokenChange {
				t.Errorf("cause = %s, want only token changes", e.cause)
			}
		}
	})
}

func TestTokenChangeIsPutOffWhileThereIsNoToken(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		b.tokens.fail = func() error {
			if b.tokens.n > 0 && time.Until(b.tokens.expires) > 8*time.Minute {
				return errors.New("no answer")
			}
			return nil
		}
	}, func(b *bench) {
		t := b.t
		pass(51 * time.Minute)
		if n := b.count(); n != 1 || b.conn.cfg.Stats.TokenFaults.Load() < 5 {
			t.Errorf("%d connections, %d token faults; want the old connection kept", n, b.conn.cfg.Stats.TokenFaults.Load())
		}
		wantState(t, b.conn, StateSubscribed, "no answer", "")
		pass(2 * time.Minute)
		wantNames(t, b.rec, "subscribed", "lost token_change", "subscribed")
		wantState(t, b.conn, StateSubscribed, "", "")
	})
}

func TestTokenChangeStandsInLineWhileStillConnected(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) { b.pacer = NewPacer(1, 5*time.Minute) }, func(b *bench) {
		t := b.t
		pass(44 * time.Minute)
		b.pacer.book(time.Now(), time.Now())
		pass(time.Minute + 30*time.Second)
		if n := len(b.rec.losses()); n != 0 {
			t.Fatal("disconnected before its turn")
		}
		pass(5 * time.Minute)
		l := b.rec.losses()
		if len(l) != 1 || b.count() != 2 {
			t.Fatalf("%d losses, %d connections", len(l), b.count())
		}
		if gap := b.peer(2).opened.Sub(l[0].at); gap > 11*time.Second {
			t.Errorf("gap = %v, want the turn waited for before the disconnect", gap)
		}
	})
}

func TestLossWhilePreparingAChangeIsNoPlannedChange(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) { b.pacer = NewPacer(1, 5*time.Minute) }, func(b *bench) {
		t := b.t
		pass(44 * time.Minute)
		b.pacer.book(time.Now(), time.Now())
		pass(90 * time.Second)
		b.peer(1).conn.Close()
		pass(10 * time.Minute)
		wantNames(t, b.rec, "subscribed", "lost connection", "subscribed")
	})
}

func TestTokenWithoutClaimsIsTakenAsOneOfAnHour(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, text := range map[string]string{
		"opaque": "abc", "no base64": "a.!.c", "no JSON": "a.YWJj.c", "no times": "a.e30.c",
		"absurd": "a.eyJpYXQiOjEsImV4cCI6OTk5OTk5OTk5OTk5OTk5OTk5fQ.c",
	} {
		if got := newPassword(text, now).life(); got != time.Hour {
			t.Errorf("%s: life = %v, want 1 h", name, got)
		}
	}
}
