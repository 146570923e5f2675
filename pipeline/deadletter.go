package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"sync"
	"time"
)

// MaxPayloadBytes bounds the original bytes that a raw record or dead letter
// carries: 4 MiB less room for headers. Larger ones are cut, with their
// length and SHA-256 in headers.
const MaxPayloadBytes = 4<<20 - 16<<10

// Letter is a dead letter: original bytes that could not be used, and why.
type Letter struct {
	Key       string // VIN or GCID
	Stage     string // who gave up: normalise, kafka, sink
	Reason    string // code of a fixed set
	Text      string // details for a person
	Origin    string // MQTT topic, or Kafka topic/partition/offset
	GCID      string
	FirstSeen time.Time
	Attempts  int
	Original  []byte
}

// Record gives the Kafka record of the letter. The record holds no reference to l.
func (l *Letter) Record(topic string) Record {
	value, cut := cutPayload(l.Original)
	headers := append([]Header{
		text(HeaderStage, l.Stage), text(HeaderReason, l.Reason), text(HeaderText, limitText(l.Text)),
		text(HeaderTopic, l.Origin), text(HeaderGCID, l.GCID),
		text(HeaderFirstSeen, l.FirstSeen.UTC().Format(time.RFC3339Nano)),
		text(HeaderAttempts, strconv.Itoa(max(l.Attempts, 1))),
	}, cut...)
	return Record{
		Topic: topic, Key: []byte(l.Key), Value: append([]byte(nil), value...),
		Headers: headers, Time: l.FirstSeen,
	}
}

func text(key, value string) Header { return Header{Key: key, Value: []byte(value)} }

// limitText bounds what a person reads; foreign text may be endless.
func limitText(s string) string {
	const limit = 1000
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}

// cutPayload bounds a payload; the headers it returns tell of the cut.
func cutPayload(p []byte) ([]byte, []Header) {
	if len(p) <= MaxPayloadBytes {
		return p, nil
	}
	sum := sha256.Sum256(p)
	return p[:MaxPayloadBytes], []Header{
		text(HeaderSHA256, hex.EncodeToString(sum[:])), text(HeaderLength, strconv.Itoa(len(p))),
	}
}

// Producer makes records durable in Kafka: nil means that each is acknowledged
// by all in-sync replicas. It retries what may pass later until ctx ends. When
// some can never pass it makes all others durable and gives a *WriteError of
// class Permanent with their indexes. One call at a time.
type Producer interface {
	Produce(ctx context.Context, records []Record) error
}

// DeadLetters keeps letters durable in Kafka. Safe for concurrent use.
type DeadLetters struct {
	mu       sync.Mutex // guards producer, which takes one call at a time
	producer Producer
	topic    string
}

// NewDeadLetters writes to the given topic.
func NewDeadLetters(p Producer, topic string) *DeadLetters {
	return &DeadLetters{producer: p, topic: topic}
}

// Put returns nil when all letters are durable.
func (d *DeadLetters) Put(ctx context.Context, letters []Letter) error {
	if len(letters) == 0 {
		return nil
	}
	records := make([]Record, len(letters))
	for i := range letters {
		records[i] = letters[i].Record(d.topic)
	}
	d.mu.Lock() // held over I/O: the producer is what it guards, and letters are rare
	defer d.mu.Unlock()
	err := d.producer.Produce(ctx, records)
	refusal, ok := errors.AsType[*WriteError](err)
	if !ok || refusal.Class != Permanent {
		return err
	}
	// A topic made by others may take less: cut short rather than stop.
	cut := make([]Record, 0, len(refusal.Rejected))
	for _, rejection := range refusal.Rejected {
		short, ok := shorten(records[rejection.Index])
		if !ok {
			return err
		}
		cut = append(cut, short)
	}
	return d.producer.Produce(ctx, cut)
}
