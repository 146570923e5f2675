package e2e

import (
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func TestHistoryThenLive(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 3, Cars: 3, History: 24 * time.Hour, Speed: 3600})
	r.startIngest()
	r.startSink()
	r.historyDone()
	r.more(300)
	r.settle()
	if got := r.audit(); got.InGap > 0 || got.Gaps > 0 {
		t.Errorf("%d readings inside %d gaps, want none", got.InGap, got.Gaps)
	}
	r.positions()
	r.ledgerHolds()
}

// ledgerHolds demands that the counters of both processes add up, as they must
// within one life of each once nothing is in flight.
func (r *rig) ledgerHolds() {
	r.tb.Helper()
	in := func(name string) int64 { return int64(r.ingest.metric("cardata_" + name + "_total")) }
	stored := int64(r.sink.metric("cardata_ledger_readings_stored_total"))
	for _, sum := range []struct {
		rule      string
		got, want int64
	}{
		{"messages handed over = received", in("intake_messages_received"), r.sim.Ledger().Total().Messages},
		{"received = journaled + refused", in("intake_messages_journaled") + in("intake_messages_refused"), in("intake_messages_received")},
		{"journaled = normalised + dead-lettered", in("ledger_messages_normalised") + in("ledger_messages_dead_lettered"), in("ledger_messages_journaled")},
		{"journaled = read back", in("ledger_messages_journaled"), in("intake_messages_journaled")},
		{
			"readings = produced + duplicates + skipped + minimised",
			in("ledger_readings_produced") + in("ledger_readings_duplicate") + in("ledger_readings_skipped") + in("ledger_readings_minimised"), in("ledger_readings"),
		},
		{"produced = in Kafka", in("ledger_readings_produced"), r.broker.End(r.topics.Readings)},
		{"produced = stored", stored, in("ledger_readings_produced")},
		{"dead letters = in Kafka", in("ledger_dead_letters"), r.broker.End(r.topics.DeadLetters)},
	} {
		if sum.got != sum.want {
			r.tb.Errorf("%s: %d and %d", sum.rule, sum.got, sum.want)
		}
	}
}

// A crash of ingest loses what was on its way, and says so: the gap is at most
// the outage plus 1.5 s.
func TestIngestKilledTwiceInMidFlow(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 2, Cars: 3, History: 240 * time.Hour, Speed: 3600})
	r.startIngest()
	r.startSink()
	type outage struct{ down, up time.Time }
	var outages []outage
	for _, n := range []int64{60_000, 180_000} {
		r.handed(n)
		o := outage{down: time.Now()}
		r.ingest.kill()
		r.pass(500 * time.Millisecond)
		r.startIngest()
		r.subscribed()
		o.up = time.Now()
		outages = append(outages, o)
	}
	r.historyDone()
	r.more(100)
	r.settle()
	r.audit()
	for _, a := range r.sim.Accounts() {
		for i, g := range r.gaps(a.GCID, schema.GapCrash, schema.GapCrash) {
			r.within(g, outages[i].down, outages[i].up)
		}
	}
}

// A crash of the sink loses nothing at all.
func TestSinkKilledTwiceInMidFlow(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 1, Cars: 5, History: 240 * time.Hour, Speed: 3600})
	r.startIngest()
	for range 2 {
		r.startSink()
		r.until("readings in InfluxDB", time.Minute, func() bool { return r.sink.metric("cardata_store_readings_total") > 30_000 })
		r.sink.kill()
	}
	r.startSink()
	r.historyDone()
	r.settle()
	if got := r.audit(); got.InGap > 0 || got.Gaps > 0 {
		t.Errorf("%d readings inside %d gaps, want none", got.InGap, got.Gaps)
	}
	r.positions()
}

// An orderly stop finishes what it has; only the time without a stream is a gap.
func TestBothStoppedInMidFlow(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 2, Cars: 3, History: 240 * time.Hour, Speed: 3600})
	r.startIngest()
	r.startSink()
	r.handed(50_000)
	down := time.Now()
	if code := r.ingest.terminate(); code != 0 {
		t.Errorf("ingest exits with %d, want 0", code)
	}
	if code := r.sink.terminate(); code != 0 {
		t.Errorf("sink exits with %d, want 0", code)
	}
	r.startSink()
	r.startIngest()
	r.subscribed()
	up := time.Now()
	r.historyDone()
	r.settle()
	r.audit()
	for _, a := range r.sim.Accounts() {
		r.within(r.gaps(a.GCID, schema.GapShutdown)[0], down, up)
	}
}
