package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/audit"
)

const partitions = 4

// rig is the world of one test around ingest and sink.
type rig struct {
	tb     testing.TB
	dir    string
	sim    *simulator.Simulator
	broker broker
	kafka  *gate // in front of the broker
	influx *gate // in front of InfluxDB
	db     *influx.Client
	bucket influx.Config
	prefix string          // of the topics
	topics pipeline.Topics // those that the sink reads
	group  string          // the sink's
	ingest *child
	sink   *child
}

// newRig starts everything but ingest and sink, and logs all accounts in.
func newRig(tb testing.TB, cfg simulator.Config) *rig {
	tb.Helper()
	r := &rig{tb: tb, dir: tb.TempDir()}
	name := "e2e_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	r.prefix, r.group = name+".", name+"-sink"
	r.topics = pipeline.TopicsFor(r.prefix)
	if cfg.Seed == 0 {
		cfg.Seed = 1
	}
	cfg.Dir, cfg.AutoApprove, cfg.PollInterval, cfg.ConnectsPerMinute = filepath.Join(r.dir, "simulator"), true, time.Second, -1
	if cfg.Faults.ReconnectRefusal == 0 {
		cfg.Faults.ReconnectRefusal = -1
	}
	var err error
	if r.sim, err = simulator.Start(tb.Context(), cfg); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.sim.Close)

	r.broker, r.kafka = startBroker(tb, r.dir)
	r.bucket = ownBucket(tb, name)
	if r.db, err = influx.New(r.bucket); err != nil {
		tb.Fatal(err)
	}
	r.influx = proxy(tb, "127.0.0.1:0", strings.TrimPrefix(store.URL, "http://"))
	tb.Cleanup(r.db.Close)
	for _, a := range r.sim.Accounts() {
		r.login(a)
	}
	return r
}

func (r *rig) tokenDir() string { return filepath.Join(r.dir, "tokens") }

func (r *rig) login(a simulator.Account) {
	r.tb.Helper()
	if err := login.Run(r.tb.Context(), login.Config{
		ClientID: a.ClientID, BaseURL: r.sim.OAuthURL(), TokenDir: r.tokenDir(), CAFile: r.sim.CAFile(),
		Log: slog.New(slog.DiscardHandler),
	}, io.Discard); err != nil {
		r.tb.Fatal(err)
	}
}

// startIngest runs ingest on the test's data, with what extra says besides.
func (r *rig) startIngest(extra ...map[string]string) *child {
	r.tb.Helper()
	env := map[string]string{
		"DATA_DIR": filepath.Join(r.dir, "ingest"), "TOKEN_DIR": r.tokenDir(), "OAUTH_URL": r.sim.OAuthURL(),
		"MQTT_ADDR": r.sim.MQTTAddr(), "CA_FILE": r.sim.CAFile(), "KAFKA_BROKERS": r.broker.Addr(),
		"HTTP_ADDR": "127.0.0.1:0", "RECONNECT_GAP": "1s", "CONNECTS_PER_MINUTE": "10", "TOPIC_PARTITIONS": strconv.Itoa(partitions),
		"TOPIC_PREFIX": r.prefix,
	}
	for _, e := range extra {
		maps.Copy(env, e)
	}
	if err := os.MkdirAll(env["DATA_DIR"], 0o700); err != nil {
		r.tb.Fatal(err)
	}
	r.ingest = start(r.tb, "ingest", env).ready()
	return r.ingest
}

func (r *rig) startSink() *child {
	r.tb.Helper()
	r.sink = start(r.tb, "sink", map[string]string{
		"KAFKA_BROKERS": r.broker.Addr(), "KAFKA_GROUP": r.group, "TOPIC_PREFIX": r.prefix,
		"INFLUX_URL": "http://" + r.influx.addr, "INFLUX_BUCKET": r.bucket.Bucket, "INFLUX_ORG": r.bucket.Org, "INFLUX_TOKEN": string(r.bucket.Token),
		"HTTP_ADDR": "127.0.0.1:0", "TOPIC_PARTITIONS": strconv.Itoa(partitions),
	}).ready()
	return r.sink
}

// until waits for something to become true.
func (r *rig) until(what string, limit time.Duration, holds func() bool) {
	r.tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			r.tb.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// handed waits until the simulator has handed over n messages in all.
func (r *rig) handed(n int64) {
	r.tb.Helper()
	r.until(fmt.Sprintf("%d messages handed over, some to each account", n), time.Minute, func() bool {
		for _, p := range r.sim.Progress() {
			if p.Counts.Messages == 0 {
				return false // nothing of this account could be in mid-flow
			}
		}
		return r.sim.Ledger().Total().Messages >= n
	})
}

// more waits for n further messages.
func (r *rig) more(n int64) {
	r.tb.Helper()
	r.handed(r.sim.Ledger().Total().Messages + n)
}

// moreOfEach waits for n further messages of every account: one may be parked
// while another drives.
func (r *rig) moreOfEach(n int64) {
	r.tb.Helper()
	before := r.sim.Progress()
	r.until(fmt.Sprintf("%d further messages of each account", n), time.Minute, func() bool {
		for i, p := range r.sim.Progress() {
			if p.Counts.Messages < before[i].Counts.Messages+n {
				return false
			}
		}
		return true
	})
}

func (r *rig) historyDone() {
	r.tb.Helper()
	select {
	case <-r.sim.HistoryDone():
	case <-time.After(2 * time.Minute):
		r.tb.Fatal("the past is not fed within two minutes")
	}
}

// subscribed waits until every account streams.
func (r *rig) subscribed() {
	r.tb.Helper()
	r.until("all accounts subscribed", time.Minute, func() bool {
		for _, p := range r.sim.Progress() {
			if !p.Subscribed {
				return false
			}
		}
		return true
	})
}

// pass lets time go by while the flow goes on.
func (r *rig) pass(d time.Duration) {
	r.tb.Helper()
	select {
	case <-time.After(d):
	case <-r.tb.Context().Done():
	}
}

// settle holds the feed and waits until all that was handed over has arrived.
func (r *rig) settle() {
	r.tb.Helper()
	r.sim.Pause()
	type state struct{ received, end, behind int64 }
	var last state
	var since time.Time
	empty := false
	r.until("everything settled", 90*time.Second, func() bool {
		now := state{
			received: int64(r.ingest.metric("cardata_intake_messages_received_total")),
			end:      r.broker.End(r.topics.Readings) + r.broker.End(r.topics.Gaps),
			behind:   r.broker.Behind(r.group, r.topics.Readings) + r.broker.Behind(r.group, r.topics.Gaps),
		}
		unsent := r.ingest.metric("cardata_journal_unsent_records")
		if now != last || now.behind > 0 || unsent > 3 { // heartbeats keep the journal moving
			last, since, empty = now, time.Now(), false
		}
		empty = empty || unsent == 0
		return empty && time.Since(since) > 1500*time.Millisecond
	})
}

// audit compares InfluxDB with the ledger: nothing may be lost, wrong or double.
func (r *rig) audit() audit.Account {
	r.tb.Helper()
	var total audit.Account
	for _, a := range r.sim.Accounts() {
		found, err := audit.Check(r.tb.Context(), r.db, r.sim.Ledger(), a)
		if err != nil {
			r.tb.Fatal(err)
		}
		total.Add(found)
	}
	if err := r.sim.Err(); err != nil {
		r.tb.Fatalf("simulator: %v", err)
	}
	if total.Lost+total.Wrong+total.Doubled+total.Unknown > 0 {
		r.tb.Errorf("%d readings lost, %d wrong, %d doubled, %d unknown of %d; such as\n%s", total.Lost, total.Wrong,
			total.Doubled, total.Unknown, total.Sent, strings.Join(total.Examples, "\n"))
	}
	if total.Sent == 0 || total.Points == 0 {
		r.tb.Errorf("%d readings sent, %d points: that proves nothing", total.Sent, total.Points)
	}
	r.tb.Logf("sent %d, points %d, duplicates %d, revised %d, unreadable %d, in gap %d, gaps %d",
		total.Sent, total.Points, total.Duplicates, total.Revised, total.Unreadable, total.InGap, total.Gaps)
	return total
}

// gaps gives an account's gap records; their causes must be as given, in order.
func (r *rig) gaps(gcid schema.GCID, causes ...schema.GapCause) []schema.Gap {
	r.tb.Helper()
	gaps := r.allGaps(gcid)
	same := len(gaps) == len(causes)
	for i := range gaps {
		same = same && gaps[i].Cause == causes[i]
	}
	if !same {
		r.tb.Fatalf("gaps of %s: got %v, want causes %v", gcid.LogValue(), gaps, causes)
	}
	return gaps
}

func (r *rig) allGaps(gcid schema.GCID) []schema.Gap {
	r.tb.Helper()
	gaps, err := audit.Gaps(r.tb.Context(), r.db, gcid)
	if err != nil {
		r.tb.Fatal(err)
	}
	return gaps
}

// within demands that a gap is no longer than the outage it stands for, which
// began at down, plus what is granted.
func (r *rig) within(gap schema.Gap, down, up time.Time) {
	r.tb.Helper()
	const granted = 1500 * time.Millisecond
	if gap.Start.Before(down.Add(-granted)) || gap.Start.After(up) || gap.End.Before(down) || gap.End.After(up.Add(granted)) {
		r.tb.Errorf("gap %v to %v (%s): the outage was %v to %v", gap.Start, gap.End, gap.Cause, down.UTC(), up.UTC())
	}
}

// records reads all of a topic, in order within each partition.
func (r *rig) records(topic string) []pipeline.Record {
	r.tb.Helper()
	want := r.broker.End(topic)
	if want == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.tb.Context(), 30*time.Second)
	defer cancel()
	k, err := kafka.New(kafka.Config{Brokers: []string{r.broker.Addr()}, ClientID: "e2e", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.tb.Fatal(err)
	}
	defer k.Close()
	batches := make(chan []pipeline.Record, 16)
	done := make(chan error, 1)
	go func() { // ends with ctx
		done <- k.Consume(ctx, kafka.ConsumerConfig{Group: "e2e-" + topic, Topics: []string{topic}},
			func(ctx context.Context, _ string, _ int, batch []pipeline.Record) error {
				select {
				case batches <- copyRecords(batch):
				case <-ctx.Done():
				}
				return ctx.Err()
			})
	}()
	var all []pipeline.Record
	for int64(len(all)) < want {
		select {
		case b := <-batches:
			all = append(all, b...)
		case err := <-done:
			r.tb.Fatalf("%s: got %d records, want %d: %v", topic, len(all), want, err)
		}
	}
	cancel()
	<-done
	return all
}

func copyRecords(batch []pipeline.Record) []pipeline.Record {
	kept := make([]pipeline.Record, len(batch))
	for i, b := range batch {
		b.Key, b.Value = []byte(string(b.Key)), []byte(string(b.Value))
		headers := make([]pipeline.Header, len(b.Headers))
		for j, h := range b.Headers {
			headers[j] = pipeline.Header{Key: strings.Clone(h.Key), Value: []byte(string(h.Value))}
		}
		b.Headers = headers
		kept[i] = b
	}
	return kept
}

func header(r *pipeline.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
