package pipeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/journal"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// batch is what goes to Kafka in one step, and what it settles. Its memory is
// reused from batch to batch.
type batch struct {
	records []Record
	arena   []byte   // keys, values and header values of records
	headers []Header // of records
	entries int      // journal records in it
	bytes   int
	last    uint64 // number of the last journal record in it
	owed    []debt
}

// debt is what the ledger counts once Kafka has the batch.
type debt struct {
	counts            *Counts
	produced, letters int64
}

func (b *batch) reset() {
	clear(b.records)
	clear(b.headers)
	b.records, b.arena, b.headers, b.owed = b.records[:0], b.arena[:0], b.headers[:0], b.owed[:0]
	b.entries, b.bytes, b.last = 0, 0, 0
}

func (b *batch) owe(c *Counts, produced, letters int64) {
	if n := len(b.owed); n > 0 && b.owed[n-1].counts == c {
		b.owed[n-1].produced += produced
		b.owed[n-1].letters += letters
		return
	}
	b.owed = append(b.owed, debt{c, produced, letters})
}

func (b *batch) settle() {
	for _, d := range b.owed {
		d.counts.ReadingsProduced.Add(d.produced)
		d.counts.DeadLetters.Add(d.letters)
	}
}

// keep copies p into the arena. Growing leaves earlier slices valid in the old
// memory, so nothing has to be moved.
func (b *batch) keep(p []byte) []byte {
	start := len(b.arena)
	b.arena = append(b.arena, p...)
	return b.arena[start:len(b.arena):len(b.arena)]
}

func (b *batch) push(r Record) {
	b.bytes += len(r.Key) + len(r.Value) + 64
	b.records = append(b.records, r)
}

// builder turns journal records into Kafka records. One goroutine owns it.
type builder struct {
	normalizer *schema.Normalizer
	result     schema.Result
	dedupe     *Dedupe
	ledger     *Ledger
	cfg        RelayConfig
	stats      *RelayStats
	accounts   map[string]*account
	version    []Header
}

// account is what the builder keeps of an account met before.
type account struct {
	gcid   schema.GCID
	counts *Counts
	vins   map[string]schema.VIN // by the name in the topic
}

// maxVINs bounds the cars remembered of one account; a fleet has thousands.
const maxVINs = 100_000

// vin gives the vehicle of a topic's name, without an allocation for a known one.
func (a *account) vin(name []byte) (schema.VIN, error) {
	if vin, known := a.vins[string(name)]; known {
		return vin, nil
	}
	vin, err := schema.ParseVIN(string(name))
	if err == nil && len(a.vins) < maxVINs {
		a.vins[string(vin)] = vin
	}
	return vin, err
}

func newBuilder(c *schema.Catalogue, l *Ledger, cfg RelayConfig, stats *RelayStats) *builder {
	return &builder{
		normalizer: schema.NewNormalizer(c), dedupe: NewDedupe(cfg.DedupeLimit), ledger: l,
		cfg: cfg, stats: stats, accounts: make(map[string]*account),
		version: []Header{text(HeaderVersion, SchemaVersion)},
	}
}

func (u *builder) account(gcid []byte) *account {
	a := u.accounts[string(gcid)]
	if a == nil {
		a = &account{gcid: schema.GCID(gcid), vins: make(map[string]schema.VIN)}
		a.counts = u.ledger.Account(a.gcid)
		u.accounts[string(gcid)] = a
	}
	return a
}

// add brings one journal record into the batch.
func (u *builder) add(b *batch, r *journal.Record) {
	b.entries++
	b.last = r.Number
	e, err := decodeEntry(r.Data)
	if err != nil {
		u.stats.EntriesBroken.Add(1)
		u.letter(b, &Letter{Stage: "journal", Reason: "invalid_entry", Text: err.Error(), FirstSeen: r.At, Original: r.Data})
		return
	}
	switch e.kind {
	case entryMessage:
		u.message(b, &e, r.At)
	case entryGap:
		u.gap(b, &e, r.At)
	case entryConnect, entryLost, entryHeartbeat: // the gaps that follow from them are records of their own
	}
}

func (u *builder) message(b *batch, e *entry, received time.Time) {
	a := u.account(e.gcid)
	a.counts.MessagesJournaled.Add(1)
	name := topicVIN(e.topic)
	if u.cfg.Raw {
		u.raw(b, e, name, received)
	}
	vin, err := a.vin(name)
	u.result.Reset()
	if err != nil {
		u.result.Faults = append(u.result.Faults, schema.Fault{Reason: "invalid_topic", Text: err.Error()})
	} else {
		u.normalizer.Stream(&u.result, schema.Input{
			GCID: a.gcid, VIN: vin, Received: received, Source: schema.SourceStream, Payload: e.payload,
		})
	}
	u.readings(b, a)
	u.count(a)
	if len(u.result.Faults) > 0 {
		u.fault(b, a, e, name, received)
	}
}

// readings encodes what is not a duplicate.
func (u *builder) readings(b *batch, a *account) {
	var produced int64
	for i := range u.result.Readings {
		r := &u.result.Readings[i]
		switch u.dedupe.Observe(r) {
		case Duplicate:
			a.counts.ReadingsDuplicate.Add(1)
			continue
		case Revision:
			a.counts.ReadingsRevised.Add(1)
		case Fresh:
		}
		start := len(b.arena)
		b.arena = append(b.arena, r.VIN...)
		mid := len(b.arena)
		b.arena = schema.AppendReading(b.arena, r)
		b.push(Record{
			Topic: u.cfg.Topics.Readings, Key: b.arena[start:mid:mid], Value: b.arena[mid:len(b.arena):len(b.arena)],
			Headers: u.version, Time: r.Received,
		})
		produced++
	}
	b.owe(a.counts, produced, 0)
}

func (u *builder) count(a *account) {
	skipped := int64(len(u.result.Skipped))
	a.counts.Readings.Add(int64(len(u.result.Readings)) + skipped)
	a.counts.ReadingsSkipped.Add(skipped)
	a.counts.ReadingsMisfit.Add(int64(u.result.Misfits))
	if len(u.result.Faults) > 0 {
		a.counts.MessagesDeadLettered.Add(1)
	} else {
		a.counts.MessagesNormalised.Add(1)
	}
}

// fault keeps the whole message as one dead letter, whatever number of its
// points could not be used; the points that could be are readings already.
func (u *builder) fault(b *batch, a *account, e *entry, name []byte, received time.Time) {
	first := u.result.Faults[0]
	words := first.Text
	if first.Descriptor != "" {
		words = string(first.Descriptor) + ": " + words
	}
	if more := len(u.result.Faults) - 1; more > 0 {
		words += " (and " + strconv.Itoa(more) + " more)"
	}
	key := string(name)
	if key == "" {
		key = string(a.gcid)
	}
	u.letter(b, &Letter{
		Key: key, Stage: "normalise", Reason: string(first.Reason), Text: words, Origin: string(e.topic),
		GCID: string(a.gcid), FirstSeen: received, Original: e.payload,
	})
	b.owe(a.counts, 0, 1)
}

func (u *builder) letter(b *batch, l *Letter) { b.push(l.Record(u.cfg.Topics.DeadLetters)) }

// raw keeps the untouched payload with its facts in headers.
func (u *builder) raw(b *batch, e *entry, name []byte, received time.Time) {
	payload, cut := cutPayload(e.payload)
	start := len(b.headers)
	stamp := len(b.arena)
	b.arena = received.UTC().AppendFormat(b.arena, time.RFC3339Nano)
	at := b.arena[stamp:len(b.arena):len(b.arena)]
	b.headers = append(b.headers,
		Header{Key: HeaderGCID, Value: b.keep(e.gcid)},
		Header{Key: HeaderTopic, Value: b.keep(e.topic)},
		Header{Key: HeaderReceived, Value: at})
	b.headers = append(b.headers, cut...)
	key := name
	if len(key) == 0 {
		key = e.gcid
	}
	b.push(Record{
		Topic: u.cfg.Topics.Raw, Key: b.keep(key), Value: b.keep(payload),
		Headers: b.headers[start:len(b.headers):len(b.headers)], Time: received,
	})
}

func (u *builder) gap(b *batch, e *entry, at time.Time) {
	b.push(Record{
		Topic: u.cfg.Topics.Gaps, Key: b.keep(e.gcid), Value: b.keep(e.payload), Headers: u.version, Time: at,
	})
}

// topicVIN gives what stands after the slash of "GCID/VIN".
func topicVIN(topic []byte) []byte {
	_, name, _ := bytes.Cut(topic, []byte{'/'})
	return name
}

// shorten cuts a dead letter to what any broker takes; false when it is that
// short already.
func shorten(r Record) (Record, bool) {
	const limit = 64 << 10
	if len(r.Value) <= limit {
		return r, false
	}
	sum := sha256.Sum256(r.Value)
	headers := make([]Header, 0, len(r.Headers)+2)
	headers = append(headers, r.Headers...)
	if !hasHeader(headers, HeaderSHA256) {
		headers = append(headers, text(HeaderSHA256, hex.EncodeToString(sum[:])), text(HeaderLength, strconv.Itoa(len(r.Value))))
	}
	r.Headers, r.Value = headers, r.Value[:limit]
	return r, true
}

func hasHeader(headers []Header, key string) bool {
	for _, h := range headers {
		if h.Key == key {
			return true
		}
	}
	return false
}
