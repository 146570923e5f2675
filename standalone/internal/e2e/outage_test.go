package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// away is how long a server is gone.
const away = 10 * time.Second

// While Kafka is away the journal takes what comes; the stream never ends.
func TestKafkaAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 2, Cars: 4, History: 72 * time.Hour, Speed: 3600})
	r.startIngest()
	r.startSink()
	r.handed(20_000)
	r.kafka.away()
	before := r.sim.Ledger().Total().Messages
	r.pass(away)
	if r.sim.Ledger().Total().Messages == before {
		t.Error("no message came while Kafka was away: that proves nothing")
	}
	if unsent := r.ingest.metric("cardata_journal_unsent_records"); unsent < 1000 {
		t.Errorf("the journal holds %v unsent records, want what came meanwhile", unsent)
	}
	for _, c := range []*child{r.ingest, r.sink} {
		if body, status := c.get("/readyz"); status != http.StatusServiceUnavailable || strings.Contains(body, `"kafka":"ok"`) {
			t.Errorf("%s: readyz answers %d %s, want 503 that names kafka", c.name, status, body)
		}
	}
	r.kafka.here(t)
	r.more(50)
	r.settle()
	if got := r.audit(); got.InGap > 0 || got.Gaps > 0 {
		t.Errorf("%d readings inside %d gaps, want none", got.InGap, got.Gaps)
	}
	if n := r.sim.Stats.Connects.Load(); n != 2 {
		t.Errorf("%d connections, want the first one of each account to have lasted", n)
	}
	r.inOrder()
}

// inOrder demands that the raw messages of each car are in Kafka in the order
// of their arrival. A batch whose answer was lost with the connection may be
// there twice; its first time counts.
func (r *rig) inOrder() {
	r.tb.Helper()
	last, seen := make(map[string]time.Time), make(map[string]bool)
	for _, rec := range r.records(r.topics.Raw) {
		text := header(&rec, pipeline.HeaderReceived)
		id := text + string(rec.Value)
		if seen[id] {
			continue
		}
		seen[id] = true
		received, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			r.tb.Fatal(err)
		}
		if received.Before(last[string(rec.Key)]) {
			r.tb.Fatalf("partition %d, offset %d: received %v, after one of %v", rec.Partition, rec.Offset, received, last[string(rec.Key)])
		}
		last[string(rec.Key)] = received
	}
}

// While InfluxDB is away the sink commits nothing and loses nothing.
func TestInfluxAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 2, Cars: 4, History: 120 * time.Hour, Speed: 3600})
	r.startIngest()
	r.startSink()
	r.until("readings in InfluxDB", time.Minute, func() bool { return r.sink.metric("cardata_store_readings_total") > 10_000 })
	r.influx.away()
	r.pass(4 * time.Second)     // commits of what was written before
	committed := func() int64 { // of a log that does not grow between the two looks
		r.sim.Pause()
		defer r.sim.Resume()
		last := int64(-1)
		r.until("the log stands still", time.Minute, func() bool {
			end := r.broker.End(r.topics.Readings)
			still := end == last && r.ingest.metric("cardata_journal_unsent_records") < 10
			last = end
			return still
		})
		return r.broker.End(r.topics.Readings) - r.broker.Behind(r.group, r.topics.Readings)
	}
	r.until("InfluxDB away long enough for something to be behind", time.Minute, func() bool { return r.broker.Behind(r.group, r.topics.Readings) > 1000 })
	before := committed()
	r.pass(away - 4*time.Second)
	if after := committed(); after != before {
		t.Errorf("%d records were committed while InfluxDB was away", after-before)
	}
	if body, status := r.sink.get("/readyz"); status != http.StatusServiceUnavailable || strings.Contains(body, `"influxdb":"ok"`) {
		t.Errorf("readyz answers %d %s, want 503 that names influxdb", status, body)
	}
	r.influx.here(t)
	r.historyDone()
	r.settle()
	if got := r.audit(); got.InGap > 0 || got.Gaps > 0 {
		t.Errorf("%d readings inside %d gaps, want none", got.InGap, got.Gaps)
	}
	if r.sink.ended() {
		t.Error("the sink has ended")
	}
}

// A full journal refuses and records the gap, and takes messages again once
// Kafka has emptied it.
func TestJournalFull(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 2, Cars: 5, History: 72 * time.Hour, Speed: 7200})
	r.startIngest(map[string]string{"JOURNAL_MAX_MIB": "16", "JOURNAL_RESERVE_MIB": "1"})
	r.startSink()
	r.handed(10_000)
	r.kafka.away()
	r.until("journal full", time.Minute, func() bool { return r.ingest.metric("cardata_journal_full") == 1 })
	r.historyDone()
	if body, status := r.ingest.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"journal":"full`) {
		t.Errorf("readyz answers %d %s, want 503 that says the journal is full", status, body)
	}
	r.kafka.here(t)
	r.until("journal takes messages again", time.Minute, func() bool { return r.ingest.metric("cardata_journal_full") == 0 })
	r.until("every account has gone on", time.Minute, func() bool {
		return r.ingest.metric("cardata_intake_gaps_total") == 2 && r.ingest.metric("cardata_intake_gaps_waiting_total") == 0
	})
	r.more(50)
	r.settle()
	refused := int64(r.ingest.metric("cardata_intake_messages_refused_total"))
	if got := r.audit(); got.InGap == 0 || got.InGap > refused {
		t.Errorf("%d readings inside gaps, want some, and no more than the %d refused", got.InGap, refused)
	}
	for _, a := range r.sim.Accounts() {
		r.gaps(a.GCID, schema.GapJournalFull)
	}
	if n := r.sim.Stats.Connects.Load(); n != 2 {
		t.Errorf("%d connections, want the first one of each account to have lasted", n)
	}
}

// A journal that is full when ingest is killed is still full at the next start:
// both lives record what they could not take.
func TestKilledWhileJournalFull(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 2, Cars: 5, History: 72 * time.Hour, Speed: 7200})
	small := map[string]string{"JOURNAL_MAX_MIB": "16", "JOURNAL_RESERVE_MIB": "1"}
	r.startIngest(small)
	r.startSink()
	r.handed(10_000)
	r.kafka.away()
	r.until("journal full", time.Minute, func() bool { return r.ingest.metric("cardata_journal_full") == 1 })
	r.historyDone()
	r.ingest.kill()
	r.startIngest(small)
	r.subscribed()
	r.until("both accounts refused again", time.Minute, func() bool { return r.ingest.metric("cardata_intake_messages_refused_total") > 50 })
	r.kafka.here(t)
	r.until("journal takes messages again", time.Minute, func() bool { return r.ingest.metric("cardata_journal_full") == 0 })
	r.moreOfEach(50) // a gap ends with the next message of its account
	r.settle()
	if got := r.audit(); got.InGap == 0 {
		t.Error("nothing inside a gap: that proves nothing")
	}
	for _, a := range r.sim.Accounts() {
		for _, cause := range r.causes(a.GCID) {
			if cause != schema.GapJournalFull {
				t.Errorf("cause %s, want %s", cause, schema.GapJournalFull)
			}
		}
	}
}

// Outages and crashes that overlap lose no more than they do alone.
func TestTroubleUponTrouble(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 2, Cars: 4, History: 240 * time.Hour, Speed: 3600})
	r.startIngest()
	r.startSink()
	r.handed(20_000)
	r.kafka.away()
	r.handed(60_000)
	down := time.Now()
	r.ingest.kill()
	r.influx.away()
	r.sink.kill()
	r.startIngest() // without Kafka
	r.subscribed()
	up := time.Now()
	r.startSink() // without Kafka and InfluxDB
	r.handed(120_000)
	r.kafka.here(t)
	r.handed(180_000)
	r.kafka.away() // while the journal drains
	r.pass(2 * time.Second)
	r.influx.here(t)
	r.kafka.here(t)
	r.historyDone()
	r.settle()
	r.audit()
	for _, a := range r.sim.Accounts() {
		r.within(r.gaps(a.GCID, schema.GapCrash)[0], down, up)
	}
}
