package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/journal"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func payload(descriptor, measured, value string) []byte {
	return fmt.Appendf(nil, `{"vin":%q,"entityId":%q,"topic":%q,"timestamp":"2026-03-14T07:00:03.418Z","data":{%q:{"timestamp":%q,"value":%s}}}`,
		testVIN, testGCID, testVIN, descriptor, measured, value)
}

const mileage = "vehicle.vehicle.travelledDistance"

type relayRig struct {
	journal  *journal.Journal
	intake   *Intake
	relay    *Relay
	ledger   *Ledger
	producer *keeper
	names    Topics
}

func newRelayRig(tb testing.TB, dir string, producer *keeper) *relayRig {
	tb.Helper()
	j, err := journal.Open(dir, journal.Config{SyncInterval: time.Millisecond})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = j.Close() })
	r := &relayRig{journal: j, ledger: NewLedger(), producer: producer, names: TopicsFor("t.")}
	r.intake = NewIntake(j, Coverage{}, discard())
	r.relay = NewRelay(j, producer, schema.Default(), r.ledger, RelayConfig{
		Topics: r.names, MaxRecords: 100, MaxBytes: 1 << 20, DedupeLimit: 1000, Raw: true, Log: discard(),
	})
	return r
}

// carry runs the relay until Kafka has all that is in the journal.
func (r *relayRig) carry(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.relay.Run(ctx) }()
	if err := r.journal.Flush(ctx); err != nil {
		tb.Fatal(err)
	}
	if err := r.relay.WaitFor(ctx, r.journal.Tail()); err != nil {
		tb.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		tb.Fatal(err)
	}
}

func (r *relayRig) message(p []byte) { r.intake.Message(testGCID, testTopic(), p, at(5)) }

func (r *relayRig) readings(tb testing.TB) []schema.Reading {
	tb.Helper()
	var list []schema.Reading
	decoder := schema.NewDecoder()
	for _, rec := range r.producer.of(r.names.Readings) {
		var reading schema.Reading
		if err := decoder.Reading(&reading, rec.Value); err != nil {
			tb.Fatal(err)
		}
		if string(rec.Key) != string(reading.VIN) || !rec.Time.Equal(reading.Received) || header(rec, HeaderVersion) != SchemaVersion {
			tb.Errorf("record key %q, time %s, headers %v", rec.Key, rec.Time, rec.Headers)
		}
		list = append(list, reading)
	}
	return list
}

func TestRelayCarriesEachMessageOnce(t *testing.T) {
	r := newRelayRig(t, t.TempDir(), &keeper{})
	r.intake.Subscribed(testGCID, at(0))
	first := payload(mileage, "2026-03-14T07:00:02Z", "100")
	r.message(first)
	r.message(first)                                             // duplicate
	r.message(payload(mileage, "2026-03-14T07:00:02Z", "101"))   // revision
	r.message(payload(mileage, "2026-03-14T07:00:03Z", "null"))  // nothing reported
	r.message([]byte(`{"vin":"` + strings.Repeat("x", 9) + `"`)) // broken
	r.intake.Lost(testGCID, at(10), at(9), schema.GapConnection)
	r.intake.Subscribed(testGCID, at(20))
	r.carry(t)

	got := r.readings(t)
	if len(got) != 3 || got[0].Value.Number != 100 || got[1].Value.Number != 101 || got[2].Value.Kind != schema.KindNull {
		t.Errorf("readings %+v", got)
	}
	raw := r.producer.of(r.names.Raw)
	if len(raw) != 5 || !bytes.Equal(raw[0].Value, first) || header(raw[0], HeaderTopic) != testTopic() || string(raw[0].Key) != string(testVIN) {
		t.Errorf("raw records: %d, first %+v", len(raw), raw[0])
	}
	letters := r.producer.of(r.names.DeadLetters)
	if len(letters) != 1 || header(letters[0], HeaderReason) != "invalid_json" || !bytes.HasPrefix(letters[0].Value, []byte(`{"vin":"x`)) {
		t.Errorf("letters %+v", letters)
	}
	gaps := r.producer.of(r.names.Gaps)
	if len(gaps) != 1 || string(gaps[0].Key) != string(testGCID) {
		t.Errorf("gaps %+v", gaps)
	}
	c := r.ledger.Account(testGCID)
	for name, pair := range map[string][2]int64{
		"journaled = normalised + dead-lettered": {c.MessagesJournaled.Load(), c.MessagesNormalised.Load() + c.MessagesDeadLettered.Load()},
		"journaled":                              {c.MessagesJournaled.Load(), 5},
		"readings = produced + duplicates + skipped + minimised": {c.Readings.Load(), c.ReadingsProduced.Load() + c.ReadingsDuplicate.Load() + c.ReadingsSkipped.Load() + c.ReadingsMinimised.Load()},
		"duplicates":   {c.ReadingsDuplicate.Load(), 1},
		"revised":      {c.ReadingsRevised.Load(), 1},
		"dead letters": {c.DeadLetters.Load(), 1},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %d, want %d", name, pair[0], pair[1])
		}
	}
}

func TestRelayKeepsGoodPointsOfAMessageWithABadOne(t *testing.T) {
	r := newRelayRig(t, t.TempDir(), &keeper{})
	var data []string
	for i := range 40 {
		data = append(data, fmt.Sprintf(`"vehicle.unknown.key%d":{"timestamp":"2026-03-14T07:00:02Z","value":%d}`, i, i))
	}
	data[7] = `"vehicle.unknown.key7":{"timestamp":"1970-01-01T00:00:00Z","value":7}`
	r.message(fmt.Appendf(nil, `{"vin":%q,"entityId":%q,"data":{%s}}`, testVIN, testGCID, strings.Join(data, ",")))
	r.carry(t)
	if got := r.readings(t); len(got) != 39 {
		t.Errorf("got %d readings, want 39", len(got))
	}
	letters := r.producer.of(r.names.DeadLetters)
	if len(letters) != 1 || header(letters[0], HeaderReason) != "time_out_of_range" || !strings.Contains(header(letters[0], HeaderText), "key7") {
		t.Errorf("letters %+v", letters)
	}
}

func TestRelayMakesDeadLettersOfBadTopicsAndHugePayloads(t *testing.T) {
	r := newRelayRig(t, t.TempDir(), &keeper{})
	r.intake.Message(testGCID, string(testGCID)+"/short", []byte("{}"), at(5))
	r.intake.Message(testGCID, "no-slash", []byte("{}"), at(5))
	huge := append([]byte(`"`), bytes.Repeat([]byte("a"), 5<<20)...)
	r.message(huge)
	r.carry(t)
	letters := r.producer.of(r.names.DeadLetters)
	if len(letters) != 3 || header(letters[0], HeaderReason) != "invalid_topic" || string(letters[1].Key) != string(testGCID) {
		t.Fatalf("got %d letters", len(letters))
	}
	sum := sha256.Sum256(huge)
	if l := letters[2]; len(l.Value) != MaxPayloadBytes || header(l, HeaderSHA256) != hex.EncodeToString(sum[:]) || header(l, HeaderLength) != strconv.Itoa(len(huge)) {
		t.Errorf("huge letter: %d bytes, headers %v", len(l.Value), l.Headers)
	}
}

func TestRelayGoesOnWhereKafkaAcknowledged(t *testing.T) {
	dir := t.TempDir()
	produced := &keeper{}
	r := newRelayRig(t, dir, produced)
	r.message(payload(mileage, "2026-03-14T07:00:02Z", "100"))
	r.carry(t)
	r.message(payload(mileage, "2026-03-14T07:00:03Z", "101"))
	if err := r.journal.Close(); err != nil { // stopped before the second was sent
		t.Fatal(err)
	}
	r = newRelayRig(t, dir, produced)
	r.carry(t)
	got := r.readings(t)
	if len(got) != 2 || got[1].Value.Number != 101 {
		t.Errorf("readings over both lives: %+v", got)
	}
}

func TestRelayTriesABatchAgainUntilKafkaHasIt(t *testing.T) {
	produced := &keeper{errs: []error{&WriteError{Class: Fatal, Err: errors.New("not authorized")}}}
	r := newRelayRig(t, t.TempDir(), produced)
	r.message(payload(mileage, "2026-03-14T07:00:02Z", "100"))
	r.carry(t) // waits about a second for the second try
	if got := r.readings(t); len(got) != 1 || r.relay.Stats.BatchRetries.Load() != 1 {
		t.Errorf("got %d readings after %d retries", len(got), r.relay.Stats.BatchRetries.Load())
	}
}

func TestRelayMakesDeadLettersOfWhatKafkaNeverTakes(t *testing.T) {
	// Record 0 is the raw one, record 1 its reading.
	produced := &keeper{errs: []error{&WriteError{Class: Permanent, Rejected: []Rejection{{Index: 0, Reason: "message_too_large", Text: "too large"}}}}}
	r := newRelayRig(t, t.TempDir(), produced)
	p := payload(mileage, "2026-03-14T07:00:02Z", "100")
	r.message(p)
	r.carry(t)
	letters := produced.of(r.names.DeadLetters)
	if len(letters) != 1 || header(letters[0], HeaderReason) != "message_too_large" || header(letters[0], HeaderStage) != "kafka" || !bytes.Equal(letters[0].Value, p) {
		t.Errorf("letters %+v", letters)
	}
	if len(r.readings(t)) != 1 || len(produced.of(r.names.Raw)) != 0 {
		t.Error("the rest of the batch must be there once")
	}
}

func TestRelayRecordsAGapForWhatADamagedJournalLost(t *testing.T) {
	dir := t.TempDir()
	produced := &keeper{}
	r := newRelayRig(t, dir, produced)
	for i := range 3 {
		r.intake.Message(testGCID, testTopic(), payload(mileage, at(float64(i)).Format(time.RFC3339), strconv.Itoa(100+i)), at(float64(10*i)))
	}
	if err := r.journal.Close(); err != nil {
		t.Fatal(err)
	}
	flipByte(t, dir, `"value":101`)
	r = newRelayRig(t, dir, produced)
	r.intake.Message(testGCID, testTopic(), payload(mileage, at(4).Format(time.RFC3339), "104"), at(40))
	var start, end time.Time
	r.relay.cfg.Damaged = func(s, e time.Time) { start, end = s, e }
	r.carry(t)
	var got []float64
	for _, reading := range r.readings(t) {
		got = append(got, reading.Value.Number)
	}
	if !slices.Equal(got, []float64{100, 102, 104}) {
		t.Errorf("readings %v, want all but the damaged one", got)
	}
	if !start.Equal(at(0)) || !end.Equal(at(20)) {
		t.Errorf("gap %s to %s, want from the record before to the one after", start, end)
	}
	r.intake.Damaged(start, end)
	r.carry(t)
	if gaps := produced.of(r.names.Gaps); len(gaps) != 1 || !bytes.Contains(gaps[0].Value, []byte(schema.GapJournalLost)) {
		t.Errorf("gaps %+v", gaps)
	}
}

// flipByte damages the first place of text in the journal's files.
func flipByte(t *testing.T, dir, text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if at := bytes.Index(data, []byte(text)); err == nil && at >= 0 {
			data[at] ^= 1
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no file holds %s", text)
}

// sampleJournal fills a journal with n messages of distinct times.
func sampleJournal(b *testing.B, r *relayRig, n int) {
	b.Helper()
	for i := range n {
		stamp := at(float64(i)).Format(time.RFC3339)
		r.message(payload(mileage, stamp, strconv.Itoa(20000+i)))
	}
	if err := r.journal.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRelayBuild measures journal record in, Kafka records out: decode,
// normalise, dedupe, encode, raw copy.
func BenchmarkRelayBuild(b *testing.B) {
	r := newRelayRig(b, b.TempDir(), &keeper{})
	const n = 10_000
	sampleJournal(b, r, n)
	var records []journal.Record
	if err := r.journal.Scan(1, func(rec journal.Record) error {
		rec.Data = bytes.Clone(rec.Data)
		records = append(records, rec)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	var batch batch
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == len(records) {
			i = 0
			batch.reset()
		}
		r.relay.build.add(&batch, &records[i])
		i++
	}
}
