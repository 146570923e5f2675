package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// holdSessions demands that the sessions in InfluxDB are the simulator's of
// [from, to), in every field, and gives their number.
func (r *rig) holdSessions(from, to time.Time) int {
	r.tb.Helper()
	total := 0
	for _, a := range r.sim.Accounts() {
		for _, vin := range a.VINs {
			stored, truth := r.storedSessions(vin), r.sim.Sessions(vin, from, to)
			total += len(truth)
			if len(stored) != len(truth) {
				r.tb.Errorf("%s: %d sessions stored, want %d", vin.LogValue(), len(stored), len(truth))
			}
			for i := range truth {
				r.holdSession(stored[truth[i].Start.UnixMilli()], &truth[i])
			}
		}
	}
	if total == 0 {
		r.tb.Error("no session at all: that proves nothing")
	}
	return total
}

func (r *rig) holdSession(got record, want *cars.Session) {
	r.tb.Helper()
	if got == nil {
		r.tb.Errorf("session of %v is missing", want.Start)
		return
	}
	w := storedForm(want)
	w["fetched"] = got["fetched"]
	if d := differ(got, w); d != "" {
		r.tb.Errorf("session of %v: %s", want.Start, d)
	}
}

// A run that is killed again and again brings what a whole one brings, for at
// most one call more each time.
func TestBackfillKilledInMidRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 1, Cars: 3})
	r.sim.SetFaults(simulator.Faults{ReconnectRefusal: -1, RESTDelay: 30 * time.Millisecond})
	r.startSink()
	gcid := r.sim.Accounts()[0].GCID
	today := time.Now().UTC().Truncate(24 * time.Hour)
	from, to := today.AddDate(0, 0, -20), today.AddDate(0, 0, -3)
	what := []string{
		"--json", "--kinds", "sessions,basic,tyres,telematics",
		"--from", from.Format(time.DateOnly), "--to", to.AddDate(0, 0, -1).Format(time.DateOnly),
	}
	plan := func(data string) fetched {
		before := r.sim.QuotaSpent(gcid)
		p := r.startBackfill(data, append([]string{"plan"}, what...)...).end(0)
		if spent := r.sim.QuotaSpent(gcid) - before; spent != 0 {
			t.Errorf("a plan spends %d calls", spent)
		}
		return p
	}
	run := append([]string{"run", "--no-wait"}, what...)

	if plan("killed").Calls == 0 {
		t.Error("the plan of a first run has no call")
	}
	kills := 0
	for i := range 6 {
		before := r.sim.QuotaSpent(gcid)
		c := r.startBackfill("killed", run...)
		r.until("further calls", 20*time.Second, func() bool { return c.ended() || r.sim.QuotaSpent(gcid) >= before+2 })
		r.pass(time.Duration(i*7) * time.Millisecond)
		if !c.ended() {
			kills++
		}
		c.kill()
	}
	if p := plan("killed"); p.Calls == 0 || !p.Accounts[0].Resumes {
		t.Errorf("plan after %d kills: %+v, want that the run is taken up again", kills, p)
	}
	last := r.startBackfill("killed", run...).end(0)
	spent := r.sim.QuotaSpent(gcid)
	if last.Left+last.DeadLetters > 0 {
		t.Errorf("the last run leaves something: %+v", last)
	}
	r.sunk()
	sessions := r.holdSessions(from, to)
	r.holdLatest()
	if p := plan("killed"); p.Calls != 0 {
		t.Errorf("plan after the run has %d calls, want none", p.Calls)
	}

	// The same once more, whole, from nothing: as dear, and nothing doubles.
	for _, c := range r.sim.Containers(gcid) {
		r.sim.DropContainer(gcid, c.ID)
	}
	r.newDay(gcid)
	whole := r.startBackfill("whole", run...).end(0)
	if whole.Spent != whole.Planned || whole.Spent != r.sim.QuotaSpent(gcid) || whole.Sessions != sessions {
		t.Errorf("whole run: %+v, %d calls at the service, want as many as planned and %d sessions", whole, r.sim.QuotaSpent(gcid), sessions)
	}
	if spent < whole.Spent || spent > whole.Spent+kills || kills < 4 {
		t.Errorf("%d calls with %d kills, %d in one run: want at most one more for each kill, of at least 4", spent, kills, whole.Spent)
	}
	r.sunk()
	r.holdSessions(from, to)
	t.Logf("%d sessions; %d calls with %d kills, %d without", sessions, spent, kills, whole.Spent)
}

// holdLatest demands that what REST tells of each car and never changes while a
// car stands is in InfluxDB: its readings carry time and value of the service.
func (r *rig) holdLatest() {
	r.tb.Helper()
	for _, vin := range r.sim.Accounts()[0].VINs {
		latest, n := r.sim.Latest(vin), 0
		for _, p := range r.points(fmt.Sprintf(`SELECT "number", "descriptor" FROM "reading" WHERE "vin" = '%s'`, vin)) {
			truth, known := latest[schema.Descriptor(fmt.Sprint(p["descriptor"]))]
			if !known {
				r.tb.Errorf("%s: a reading of %v that the service does not have", vin.LogValue(), p["descriptor"])
				continue
			}
			if float64(truth.Measured.UnixMilli()) != p["time"] {
				continue // the car has gone on since
			}
			if n++; truth.Truth.Kind == schema.KindNumber && truth.Truth.Number != p["number"] {
				r.tb.Errorf("%s: %v is %v, want %v", vin.LogValue(), p["descriptor"], p["number"], truth.Truth.Number)
			}
		}
		if n == 0 {
			r.tb.Errorf("%s: no latest value is stored", vin.LogValue())
		}
	}
}

// Two runs and ingest on one account share its quota and its login.
func TestBackfillTwiceBesideIngest(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 1, Cars: 3, Speed: 3600, TokenLife: 8 * time.Second})
	r.sim.SetFaults(simulator.Faults{ReconnectRefusal: -1, RESTDelay: 250 * time.Millisecond})
	gcid := r.sim.Accounts()[0].GCID
	r.startIngest()
	r.startSink()
	r.subscribed()
	day, refreshes := time.Now().UTC().YearDay(), r.sim.Stats.Refreshes.Load()
	run := []string{
		"run", "--no-wait", "--json", "--kinds", "sessions,basic,tyres", "--from", time.Now().UTC().AddDate(0, 0, -170).Format(time.DateOnly),
	}
	first, second := r.startBackfill("first", run...), r.startBackfill("second", run...)
	a, b := first.end(0, 4), second.end(0, 4) // 4: partly done, the rest is for tomorrow
	spent := r.sim.QuotaSpent(gcid)
	if time.Now().UTC().YearDay() == day && (spent != a.Spent+b.Spent || spent < 35 || spent > 40) {
		t.Errorf("%d calls at the service, %d and %d told; want 35 to 40, the 50 without the reserve", spent, a.Spent, b.Spent)
	}
	if n := r.sim.Stats.RESTQuotaRefused.Load(); n > 0 {
		t.Errorf("%d calls refused for the quota, want none made", n)
	}
	if n := r.sim.Stats.Refreshes.Load() - refreshes; n < 2 {
		t.Errorf("%d refreshes meanwhile, want at least 2", n)
	}
	if a.Left+b.Left == 0 {
		t.Error("nothing is left: the quota was never short")
	}

	r.newDay(gcid)
	connects := r.sim.Stats.Connects.Load()
	r.sim.ExpireTokens(gcid) // from here on only the refresh token helps
	if s := r.startBackfill("third", "run", "--no-wait", "--json", "--kinds", "basic").end(0); s.Left > 0 || r.sim.QuotaSpent(gcid) != 4 {
		t.Errorf("after both: %+v and %d calls at the service, want the cars and 3 answers", s, r.sim.QuotaSpent(gcid))
	}
	r.until("ingest back", 30*time.Second, func() bool { return r.sim.Stats.Connects.Load() > connects })
	r.subscribed()
	r.more(50)
	if n := r.ingest.metric("cardata_accounts_login_needed"); n != 0 {
		t.Errorf("%v accounts need a login, want none", n)
	}
	r.settle()
	r.audit()
	t.Logf("calls %d + %d, refreshes %d", a.Spent, b.Spent, r.sim.Stats.Refreshes.Load()-refreshes)
}

// One run at a time has the resume state; the other one says so and spends nothing.
func TestBackfillTwiceOnOneFolder(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 1, Cars: 1})
	r.sim.SetFaults(simulator.Faults{ReconnectRefusal: -1, RESTDelay: 1500 * time.Millisecond})
	gcid := r.sim.Accounts()[0].GCID
	run := []string{"run", "--no-wait", "--json", "--kinds", "basic"}
	first := r.startBackfill("data", run...)
	r.until("the first at work", 20*time.Second, func() bool {
		found, _ := filepath.Glob(filepath.Join(r.dir, "data", "backfill", string(gcid), "lock"))
		return len(found) > 0
	})
	second := r.startBackfill("data", run...)
	second.end(2)
	if !strings.Contains(second.out.text(t), "another backfill is at work") {
		t.Error("the second does not say why it ends")
	}
	first.end(0)
	if spent := r.sim.QuotaSpent(gcid); spent != 2 {
		t.Errorf("%d calls, want the first run's 2", spent)
	}
}
