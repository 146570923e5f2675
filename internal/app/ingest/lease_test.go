package ingest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func pause(d time.Duration) { <-time.After(d) }

func TestLeaseEndsWhenNothingProvesIt(t *testing.T) {
	const limit = 7 * time.Second
	for name, c := range map[string]struct {
		then func(l *lease)
		held time.Duration // how long it lasts from the first proof on
		why  error
	}{
		"no further proof": {func(*lease) {}, limit, errLapsed},
		"proofs":           {func(l *lease) { pause(5 * time.Second); l.prove(time.Now()) }, 5*time.Second + limit, errLapsed},
		"an old proof":     {func(l *lease) { at := time.Now(); pause(5 * time.Second); l.prove(at.Add(time.Second)) }, time.Second + limit, errLapsed},
		"a proof too late": {func(l *lease) { pause(limit); l.prove(time.Now()) }, limit, errLapsed},
		"revoked":          {func(l *lease) { pause(2 * time.Second); l.revoke(errMoved) }, 2 * time.Second, errMoved},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancelCause(t.Context())
				start := time.Now()
				l := newLease(limit, start, end)
				c.then(l)
				<-ctx.Done()
				if d := time.Since(start); d != c.held || !errors.Is(context.Cause(ctx), c.why) {
					t.Errorf("over after %v for %v, want %v for %v", d, context.Cause(ctx), c.held, c.why)
				}
				if l.prove(time.Now()); l.holds() {
					t.Error("came back")
				}
			})
		})
	}
}

func TestClaimsAreReadBackByOthers(t *testing.T) {
	const gcid = schema.GCID("00000000-0000-4000-8000-000000000001")
	dir, ctx := t.TempDir(), t.Context()
	a, err := openClaims(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := openClaims(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := b.holder(ctx, gcid); err != nil || c.Life != "" {
		t.Fatalf("holder = %+v, %v; want nobody", c, err)
	}
	if r, err := b.told(ctx, "one"); err != nil || r.Accounts != nil {
		t.Fatalf("told = %+v, %v; want nothing", r, err)
	}
	at := time.Date(2026, 3, 14, 7, 0, 0, 0, time.UTC)
	mine := claim{Epoch: 1, Life: "one", Replica: "a", At: at}
	state := pipeline.CoverageState{Subscribed: true, Since: at, Known: []schema.VIN{"WBY00000000000001"}}
	err = errors.Join(a.take(ctx, gcid, mine), a.tell(ctx, "one", report{Alive: at, Accounts: map[schema.GCID]pipeline.CoverageState{gcid: state}}))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := b.holder(ctx, gcid); err != nil || !c.same(mine) {
		t.Errorf("holder = %+v, %v", c, err)
	}
	r, err := b.told(ctx, "one")
	if err != nil || !r.Alive.Equal(at) || !r.Accounts[gcid].Since.Equal(at) || len(r.Accounts[gcid].Known) != 1 {
		t.Errorf("told = %+v, %v", r, err)
	}
	for _, life := range []string{"one", "gone"} {
		if err := b.tell(ctx, life, report{Alive: at.Add(time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.tidy(time.Now().Add(25 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if r, _ := b.told(ctx, "one"); r.Alive.IsZero() {
		t.Error("the report of a life with a claim is gone")
	}
	if r, _ := b.told(ctx, "gone"); !r.Alive.IsZero() {
		t.Error("the report of a life without claims stays for ever")
	}
}
