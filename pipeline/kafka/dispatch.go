package kafka

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// maxFrame bounds one request of several partitions' batches. A batch that
// alone is longer still goes.
const maxFrame = 8 << 20

// sender is the one request under way to a broker, and its buffers.
type sender struct {
	node    int32
	call    *call
	encoder encoder
	parts   []part
	busy    bool
	err     error
}

// part is one partition's batch within a request.
type part struct {
	q        *queue
	records  int
	bytes    int
	answered bool
}

// run sends all queues and handles the answers. One goroutine per broker at most
// is under way, and all have ended when it returns.
func (r *round) run(ctx context.Context) error {
	defer r.senders.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var wait time.Duration
		if r.fatal == nil && ctx.Err() == nil {
			wait = r.dispatch(ctx)
		}
		if r.flying == 0 && (r.fatal != nil || ctx.Err() != nil || r.done()) {
			break
		}
		timer.Reset(max(wait, time.Millisecond))
		waiting := timer.C
		if wait <= 0 {
			waiting = nil // only an answer can change anything
		}
		done := ctx.Done()
		if r.flying > 0 {
			done = nil // requests end with ctx themselves
		}
		select {
		case s := <-r.results:
			r.flying--
			r.ended = ctx.Err() != nil
			r.settle(s)
		case <-waiting:
		case <-done:
		}
	}
	if r.fatal != nil {
		return r.fatal
	}
	if !r.done() {
		return ctx.Err()
	}
	return nil
}

func (r *round) done() bool {
	for _, q := range r.p.active {
		if len(q.idx) > 0 {
			return false
		}
	}
	return true
}

// dispatch starts a request to each idle broker that leads something to send, and
// gives the time until the next queue in back-off is due, 0 when none is.
func (r *round) dispatch(ctx context.Context) time.Duration {
	var next time.Duration
	started := make([]*sender, 0, 4)
	now := time.Now()
	for _, q := range r.p.active {
		if len(q.idx) == 0 || q.inFlight > 0 {
			continue
		}
		if wait := q.due.Sub(now); wait > 0 {
			if next == 0 || wait < next {
				next = wait
			}
			continue
		}
		node, err := r.p.client.meta.leader(ctx, q.at)
		if err != nil {
			r.retry(q, err)
			if wait := time.Until(q.due); next == 0 || wait < next {
				next = max(wait, 1)
			}
			continue
		}
		s := r.p.sender(node)
		if s.busy {
			continue // its answer brings us back here
		}
		if len(s.parts) == 0 {
			s.begin(r.p.client)
			started = append(started, s)
		}
		r.add(s, q)
	}
	for _, s := range started {
		if len(s.parts) > 0 {
			r.launch(ctx, s)
		}
	}
	return next
}

func (p *Producer) sender(node int32) *sender {
	s := p.senders[node]
	if s == nil {
		s = &sender{node: node, call: new(call)}
		s.encoder.codec = p.client.codec
		p.senders[node] = s
	}
	return s
}

func (s *sender) begin(c *Client) {
	s.call.begin(protocol.Produce, produceVersion, s.node, c.cfg.ClientID)
	b := appendInt16(s.call.request, -1) // no transaction
	b = appendInt16(b, -1)               // all in-sync replicas
	b = appendInt32(b, int32(c.cfg.RequestTimeout.Milliseconds()))
	s.call.request = appendInt32(b, 0) // topics, counted at launch
}

// add appends the queue's next batch to the request, if there is room.
func (r *round) add(s *sender, q *queue) {
	for len(q.idx) > 0 {
		if len(s.parts) > 0 && len(s.call.request) > maxFrame {
			return
		}
		b := s.call.request
		undo := len(b)
		if len(s.parts) == 0 || s.parts[len(s.parts)-1].q.at.topic != q.at.topic {
			b = appendString(b, q.at.topic)
			b = appendInt32(b, 0) // partitions, counted at launch
		}
		b = appendInt32(b, q.at.partition)
		b = appendInt32(b, 0)
		start := len(b)
		limit := r.p.limit(q.at.topic)
		b, n, err := s.encoder.appendBatch(b, r.records, q.idx, r.p.batchLimit(q.at.topic, limit), limit, q.cut)
		if n == 0 {
			s.call.request = b[:undo]
			r.rejectHead(q, err)
			continue
		}
		binary.BigEndian.PutUint32(b[start-4:], uint32(len(b)-start))
		s.call.request = b
		s.parts = append(s.parts, part{q: q, records: n, bytes: len(b) - start})
		q.inFlight = n
		return
	}
}

func (r *round) rejectHead(q *queue, err error) {
	reason, text := ReasonTooLarge, "longer than the topic takes"
	if err != nil {
		reason, text = ReasonInvalid, err.Error()
	}
	r.reject(int(q.idx[0]), reason, text)
	q.idx = q.idx[1:]
}

func (p *Producer) batchLimit(topic string, limit int) int {
	if n, ok := p.learned[topic]; ok {
		return min(n, limit)
	}
	return limit
}

// launch counts what was appended and sends it. The goroutine ends with the
// request, at the latest at its timeout.
func (r *round) launch(ctx context.Context, s *sender) {
	s.count()
	s.busy, s.err = true, nil
	r.flying++
	r.p.Stats.Requests.Add(1)
	r.senders.Go(func() {
		s.err = r.p.client.do(ctx, s.call, r.p.client.cfg.RequestTimeout)
		r.results <- s
	})
}

// count fills in the array lengths that were not known when begun.
func (s *sender) count() {
	head := 4 + 2 + 2 + 4 // size, key, version, correlation
	head += 2 + int(binary.BigEndian.Uint16(s.call.request[head:]))
	at := head + 2 + 2 + 4
	topics := 0
	countAt := at
	at += 4
	for i := 0; i < len(s.parts); topics++ {
		topic := s.parts[i].q.at.topic
		at += 2 + len(topic)
		partitionsAt := at
		at += 4
		n := 0
		for ; i < len(s.parts) && s.parts[i].q.at.topic == topic; i++ {
			at += 8 + s.parts[i].bytes
			n++
		}
		binary.BigEndian.PutUint32(s.call.request[partitionsAt:], uint32(n))
	}
	binary.BigEndian.PutUint32(s.call.request[countAt:], uint32(topics))
}

// settle takes an answered request apart.
func (r *round) settle(s *sender) {
	err := s.err
	if err == nil {
		err = r.answers(s)
	} else {
		s.call = new(call) // a connection may still use the old one
	}
	for i := range s.parts {
		if pt := &s.parts[i]; !pt.answered {
			if err == nil {
				err = errTruncated
			}
			r.verdict(pt, err)
		}
	}
	clear(s.parts)
	s.parts, s.busy = s.parts[:0], false
}

func (r *round) answers(s *sender) error {
	d := reader{b: s.call.reply}
	next := 0
	for range d.array(6) {
		topic := d.text()
		for range d.array(30) {
			partition := d.int32()
			code := d.int16()
			d.take(24) // base offset, append time, log start
			if d.err != nil {
				return d.err
			}
			pt := s.find(topic, partition, &next)
			if pt == nil {
				continue
			}
			pt.answered = true
			r.verdict(pt, codeError(code))
		}
	}
	return d.err
}

// find gives the part an answer belongs to; answers come in the order sent.
func (s *sender) find(topic []byte, partition int32, next *int) *part {
	for i := range s.parts {
		pt := &s.parts[(*next+i)%len(s.parts)]
		if pt.q.at.partition == partition && pt.q.at.topic == string(topic) && !pt.answered {
			*next += i + 1
			return pt
		}
	}
	return nil
}

// verdict says what becomes of one batch.
func (r *round) verdict(pt *part, err error) {
	q := pt.q
	q.inFlight = 0
	if err == nil {
		q.idx = q.idx[pt.records:]
		q.attempt, q.absent = 0, time.Time{}
		r.p.Stats.Records.Add(int64(pt.records))
		r.p.Stats.Bytes.Add(int64(pt.bytes))
		r.p.trouble.ok(q.at)
		return
	}
	v := judge(err)
	if v != unfit && v != split {
		r.retry(q, err)
		return
	}
	r.p.Stats.Retries.Add(1)
	if pt.records > 1 {
		q.cut = pt.records / 2
		if v == unfit {
			r.p.learned[q.at.topic] = max(pt.bytes/2, 16<<10)
		}
		return
	}
	reason := ReasonInvalid
	if v == unfit {
		reason = ReasonTooLarge
	}
	r.reject(int(q.idx[0]), reason, err.Error())
	q.idx, q.cut = q.idx[1:], 0
}

// retry puts a queue into back-off, or ends the round.
func (r *round) retry(q *queue, err error) {
	if r.ended {
		return // cut off by the caller, no trouble of the broker
	}
	if hopeless := r.p.hopeless(q.at, err, &q.absent); hopeless != nil {
		r.fatal = hopeless
		return
	}
	r.p.client.meta.distrust(q.at.topic)
	r.p.Stats.Retries.Add(1)
	r.p.trouble.fail(q.at, err)
	q.due = time.Now().Add(r.p.client.cfg.Backoff.Delay(q.attempt))
	q.attempt++
}
