package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// A planned token change costs a short gap and nothing outside it.
func TestTokenChangeUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{
		Accounts: 2, Cars: 4, History: 24 * time.Hour, Speed: 3600, TokenLife: 20 * time.Second,
		Faults: simulator.Faults{ReconnectRefusal: 1, ReconnectWindow: 900 * time.Millisecond}, // sooner is refused for sure
	})
	r.startIngest()
	r.startSink()
	r.until("two token changes of each account", 90*time.Second, func() bool {
		return r.ingest.metric("cardata_intake_gaps_total") >= 4 && r.sim.Stats.Connects.Load() >= 6
	})
	r.more(50)
	r.settle()
	r.audit()
	for _, a := range r.sim.Accounts() {
		gaps := r.gaps(a.GCID, schema.GapTokenChange, schema.GapTokenChange)
		conns := r.sim.Ledger().Connections(a.GCID)
		if len(conns) != len(gaps)+1 {
			t.Fatalf("%d connections and %d gaps", len(conns), len(gaps))
		}
		for i, g := range gaps { // it starts with the last packet before, so its length depends on the cars
			left, back := conns[i].Closed, conns[i+1].Opened
			if g.Start.After(left) || g.End.Before(back.Add(-time.Millisecond)) {
				t.Errorf("gap %v to %v does not cover %v to %v", g.Start, g.End, left, back)
			}
			if away := back.Sub(left); away > 4*time.Second {
				t.Errorf("away for %v, want little more than the 1 s between two connections", away)
			}
		}
	}
	if n := r.sim.Stats.Refused.Load() + r.sim.Stats.Expired.Load(); n > 0 {
		t.Errorf("%d connections refused or expired, want none", n)
	}
}

// However a connection ends, what is missing lies inside the gap recorded.
func TestConnectionEndsUnderLoad(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*simulator.Simulator, schema.GCID){
		"another client takes it": (*simulator.Simulator).Evict,
		"the network drops it":    (*simulator.Simulator).DropConnections,
		"its tokens are voided":   (*simulator.Simulator).ExpireTokens,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.Config{Accounts: 2, Cars: 3, History: 96 * time.Hour, Speed: 3600})
			r.startIngest()
			r.startSink()
			r.handed(20_000)
			first := r.sim.Accounts()[0].GCID
			down := time.Now()
			end(r.sim, first)
			r.until("reconnected", time.Minute, func() bool { return r.sim.Stats.Connects.Load() >= 3 })
			r.subscribed()
			up := time.Now()
			r.historyDone()
			r.settle()
			r.audit()
			gaps := r.gaps(first, r.causes(first)...)
			if len(gaps) != 1 {
				t.Fatalf("got gaps %v, want one", gaps)
			}
			t.Logf("cause %s, %v long", gaps[0].Cause, gaps[0].End.Sub(gaps[0].Start))
			r.within(gaps[0], down, up)
			r.gaps(r.sim.Accounts()[1].GCID) // each account fails alone
		})
	}
}

// An account whose login is gone stops alone, and goes on after a new login.
func TestLoginRevoked(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 2, Cars: 3, History: 12 * time.Hour, Speed: 3600, TokenLife: 20 * time.Second})
	r.startIngest()
	r.startSink()
	r.historyDone()
	revoked, other := r.sim.Accounts()[0], r.sim.Accounts()[1]
	r.sim.RevokeRefresh(revoked.GCID)
	r.until("login needed", time.Minute, func() bool { return r.ingest.metric("cardata_accounts_login_needed") == 1 })
	before := r.sim.Ledger().Counts(other.GCID).Messages
	r.until("the other account goes on", time.Minute, func() bool { return r.sim.Ledger().Counts(other.GCID).Messages > before+20 })
	r.login(revoked)
	r.until("the account streams again", 90*time.Second, func() bool { return r.ingest.metric("cardata_accounts_subscribed") == 2 })
	r.more(20)
	r.settle()
	r.audit()
	if causes := r.causes(revoked.GCID); len(causes) == 0 {
		t.Error("no gap for the account without login")
	} else {
		t.Logf("causes %v", causes)
	}
}

// A broken account file is one account's trouble.
func TestBrokenAccountFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 2, Cars: 2, History: 24 * time.Hour})
	const broken = "00000000-0000-4000-8000-000000000001"
	if err := os.WriteFile(filepath.Join(r.tokenDir(), broken+".json"), []byte(`{"access_token": "`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.startIngest()
	r.startSink()
	r.historyDone()
	r.settle()
	if got := r.audit(); got.Gaps > 0 {
		t.Errorf("%d gaps, want none", got.Gaps)
	}
	if body, _ := r.ingest.get("/readyz"); !strings.Contains(body, "000…001.json") { // account identifiers are redacted
		t.Errorf("readyz says %s, want the broken file named", body)
	}
}

// causes gives the causes of an account's gaps as recorded.
func (r *rig) causes(gcid schema.GCID) []schema.GapCause {
	r.tb.Helper()
	gaps := r.allGaps(gcid)
	causes := make([]schema.GapCause, len(gaps))
	for i, g := range gaps {
		causes[i] = g.Cause
	}
	return causes
}
