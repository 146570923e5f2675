package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// ProducerConfig bounds what a Producer sends. The zero value is usable.
type ProducerConfig struct {
	// MaxRequestBytes bounds a batch of one partition; 900 KiB when 0, under the
	// 1 MiB that a broker takes by default.
	MaxRequestBytes int
	// TopicMaxBytes replaces MaxRequestBytes for topics with longer messages. It
	// must stay under the topic's own max.message.bytes.
	TopicMaxBytes map[string]int
	// UnknownTopicTimeout is how long a topic may be unknown to the cluster, as it
	// is just after its creation, before that is fatal; 1 min when 0.
	UnknownTopicTimeout time.Duration
}

// ProducerStats counts what a Producer did. All fields only grow.
type ProducerStats struct {
	Records  atomic.Int64 // acknowledged by all in-sync replicas
	Bytes    atomic.Int64 // of acknowledged batches, as sent
	Requests atomic.Int64 // sent, with those that failed
	Retries  atomic.Int64 // batches sent again, or to be cut shorter
	Rejected atomic.Int64 // records that can never pass
}

// Status says whether the brokers are there.
type Status struct {
	AwaySince time.Time // zero: all well
	LastError string    // empty: all well
}

// Producer writes records to topics. Produce may run once at a time; Stats and
// Status may be read at any time.
type Producer struct {
	Stats ProducerStats

	client  *Client
	cfg     ProducerConfig
	trouble *trouble
	queues  map[place]*queue
	active  []*queue // those with records in this call, by topic and partition
	spread  map[string]int
	learned map[string]int // batch limits that brokers taught us
	senders map[int32]*sender
}

// queue holds one partition's records of the current call, as indexes, in order.
// The first inFlight of them are on their way.
type queue struct {
	at       place
	idx      []int32
	base     []int32 // idx from its start, for the next call
	inFlight int
	cut      int // most records of the next batch, while a bad one is looked for; 0: any
	attempt  int
	due      time.Time // not before
	absent   time.Time // since when the cluster does not know the partition
}

// NewProducer gives a producer on the client's connections.
func (c *Client) NewProducer(cfg ProducerConfig) *Producer {
	cfg.MaxRequestBytes = orDefault(cfg.MaxRequestBytes, 900<<10)
	cfg.UnknownTopicTimeout = orDefault(cfg.UnknownTopicTimeout, time.Minute)
	return &Producer{
		client:  c,
		cfg:     cfg,
		trouble: newTrouble(c.cfg.Log, "produce"),
		queues:  make(map[place]*queue),
		spread:  make(map[string]int),
		learned: make(map[string]int),
		senders: make(map[int32]*sender),
	}
}

// Status says since when, if at all, produce requests fail. It is safe for
// concurrent use.
func (p *Producer) Status() Status {
	since, last := p.trouble.status()
	return Status{AwaySince: since, LastError: last}
}

// Produce returns nil when every record is acknowledged by all in-sync replicas
// of its partition. The records of one partition are stored in the order given:
// one request at a time, a failed one again before anything later, until ctx ends.
// As a request of unknown outcome is sent again too, a record may be stored twice.
//
// Records that can never pass do not stop the others: once those are stored,
// Produce returns a *pipeline.WriteError of class Permanent that names them. What
// needs a person is one of class Fatal, the end of ctx one of class Retryable;
// after either, some of the records may be stored.
func (p *Producer) Produce(ctx context.Context, records []pipeline.Record) error {
	round := &round{p: p, records: records, results: make(chan *sender)}
	defer p.release()
	if err := round.sort(ctx); err != nil {
		return p.outcome(err)
	}
	if err := round.run(ctx); err != nil {
		return p.outcome(err)
	}
	p.client.passed()
	if len(round.rejected) > 0 {
		return rejected(round.rejected)
	}
	return nil
}

func (p *Producer) outcome(err error) error {
	if _, ok := errors.AsType[*pipeline.WriteError](err); ok {
		return err
	}
	return &pipeline.WriteError{Op: "kafka produce", Class: pipeline.Retryable, Err: err}
}

// release forgets the records of the call that ends.
func (p *Producer) release() {
	for _, q := range p.active {
		q.idx = q.base[:0]
		q.inFlight, q.cut, q.attempt = 0, 0, 0
		q.due, q.absent = time.Time{}, time.Time{}
	}
	p.active = p.active[:0]
}

func (p *Producer) limit(topic string) int {
	n := p.cfg.MaxRequestBytes
	if t, ok := p.cfg.TopicMaxBytes[topic]; ok {
		n = t
	}
	return n
}

// round is one call of Produce.
type round struct {
	p        *Producer
	records  []pipeline.Record
	results  chan *sender
	senders  sync.WaitGroup
	flying   int  // requests under way
	ended    bool // by ctx
	rejected []pipeline.Rejection
	fatal    error
}

// sort puts each record into the queue of its partition.
func (r *round) sort(ctx context.Context) error {
	topic, leaders, spread := "", []int32(nil), 0
	for i := range r.records {
		rec := &r.records[i]
		if rec.Topic == "" {
			r.reject(i, ReasonInvalid, "no topic")
			continue
		}
		if rec.Topic != topic {
			state, err := r.awaitTopic(ctx, rec.Topic)
			if err != nil {
				return err
			}
			topic, leaders = rec.Topic, state.leaders
			spread = r.p.spread[topic] % len(leaders)
			r.p.spread[topic] = spread + 1
		}
		partition := spread
		if rec.Key != nil {
			partition = partitionOf(rec.Key, len(leaders))
		}
		r.p.push(place{topic, int32(partition)}, int32(i))
	}
	for _, q := range r.p.active {
		q.base = q.idx
	}
	slices.SortFunc(r.p.active, func(a, b *queue) int {
		if c := strings.Compare(a.at.topic, b.at.topic); c != 0 {
			return c
		}
		return int(a.at.partition - b.at.partition)
	})
	return nil
}

func (p *Producer) push(at place, i int32) {
	q := p.queues[at]
	if q == nil {
		q = &queue{at: at}
		p.queues[at] = q
	}
	if len(q.idx) == 0 {
		p.active = append(p.active, q)
	}
	q.idx = append(q.idx, i)
}

// awaitTopic gives the partitions of a topic, waiting while brokers are away.
func (r *round) awaitTopic(ctx context.Context, topic string) (*topicState, error) {
	at := place{topic: topic, partition: -1}
	var absent time.Time
	for attempt := 0; ; attempt++ {
		state, err := r.p.client.meta.topic(ctx, topic)
		if err == nil && len(state.leaders) == 0 {
			err = kafka.LeaderNotAvailable
		}
		if err == nil {
			r.p.trouble.ok(at)
			return state, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("topic %s: %w", topic, err)
		}
		if err := r.p.hopeless(at, err, &absent); err != nil {
			return nil, err
		}
		r.p.trouble.fail(at, err)
		if err := backoff.Wait(ctx, r.p.client.cfg.Backoff.Delay(attempt)); err != nil {
			return nil, fmt.Errorf("topic %s: %w", topic, err)
		}
	}
}

// hopeless gives the fatal error for a failure that trying again will not mend.
func (p *Producer) hopeless(at place, err error, absent *time.Time) error {
	switch judge(err) {
	case fatal:
		return p.client.fatal("kafka produce to "+at.topic, p.client.refusal(opWrite, at.topic, err))
	case missing:
		if absent.IsZero() {
			*absent = time.Now()
		}
		if time.Since(*absent) > p.cfg.UnknownTopicTimeout {
			return p.client.fatal("kafka produce to "+at.topic, err)
		}
	default:
		*absent = time.Time{}
	}
	return nil
}

func (r *round) reject(i int, reason, text string) {
	r.p.Stats.Rejected.Add(1)
	r.rejected = append(r.rejected, pipeline.Rejection{Index: i, Reason: reason, Text: text})
}
