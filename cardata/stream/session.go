package stream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	wallCheck  = 10 * time.Second // how often the wall clock is looked at
	sleepJump  = 30 * time.Second // the wall clock ran ahead of the monotonic one: the machine slept
	quietAtTop = 20 * time.Second // silence that counts as a quiet moment when the window opens
	changeStep = time.Second      // how often a quiet moment is looked for
	changeRest = 20 * time.Second // before asking again for a token that could not be had
)

// message is paho's ordered handler: one goroutine per client, so that nothing
// here needs a lock once the subscription stands.
func (s *session) message(_ mqtt.Client, m mqtt.Message) {
	if !s.open && !s.early.closed(s, m) {
		return
	}
	s.open = true
	if s.over.Load() { // only after an orderly disconnect that ran out of time
		return
	}
	s.deliver(m.Topic(), m.Payload(), s.c.lastInbound.Load())
}

func (s *session) deliver(topic string, payload []byte, read int64) {
	s.c.lastMessage.Store(read)
	st := s.c.cfg.Stats
	st.ReceivedMessages.Add(1)
	st.ReceivedPayloadBytes.Add(int64(len(payload)))
	s.c.handler.Message(s.c.gcid, topic, payload, time.Unix(0, read).UTC())
}

// held keeps what the service sends ahead of its SUBACK, as MQTT allows, so
// that the Handler hears Subscribed first. Waiting in paho's handler instead
// would keep the SUBACK from being read.
type held struct {
	mu       sync.Mutex // guards all below
	messages []heldMessage
	dropped  int64 // when the last message was read for which there was no room
	granted  bool  // coverage has begun: room or not, nothing is dropped
	passed   bool  // messages are handed over directly from now on
	over     bool  // nothing is handed over any more
}

type heldMessage struct {
	topic   string
	payload []byte
	read    int64
}

const maxHeld = 256

// closed tells whether m may be handed over now; if not, it was kept.
func (h *held) closed(s *session, m mqtt.Message) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.passed:
		return true
	case h.over:
	case len(h.messages) >= maxHeld && !h.granted: // the gap record speaks for it
		h.dropped = s.c.lastInbound.Load()
		s.c.cfg.Stats.DroppedEarlyMessages.Add(1)
	default:
		h.messages = append(h.messages, heldMessage{m.Topic(), m.Payload(), s.c.lastInbound.Load()})
	}
	return false
}

// begin gives the moment from which nothing is dropped, not before suback, Unix
// nanoseconds.
func (h *held) begin(suback int64) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.granted = true
	if h.dropped == 0 {
		return suback
	}
	return max(suback, h.dropped+1)
}

// next gives what is held; when there is nothing, it opens the direct way.
func (h *held) next() []heldMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	batch := h.messages
	h.messages = nil
	h.passed = len(batch) == 0
	return batch
}

func (h *held) discard() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages, h.over = nil, true
}

// live announces the subscription, lives through the connection and announces
// its end.
func (c *Connection) live(ctx context.Context, s *session) loss {
	s.subscribed = fromNanos(s.early.begin(s.conn.Load().subackAt.Load()))
	c.cfg.Stats.Connects.Add(1)
	c.ladders.refused, c.ladders.subscribe = 0, 0
	c.show(StateSubscribed)
	c.recovered()
	c.handler.Subscribed(c.gcid, s.subscribed)
	for batch := s.early.next(); len(batch) > 0; batch = s.early.next() {
		for _, m := range batch {
			s.deliver(m.topic, m.payload, m.read)
		}
	}

	l := c.watch(ctx, s)
	s.finish()
	s.over.Store(true)
	at := time.Now().Round(0).UTC()
	// From the subscription on, coverage is at least a moment.
	last := fromNanos(max(s.conn.Load().covered.Load(), s.subscribed.UnixNano()))
	if last.After(at) { // the clock was set back
		at = last
	}
	c.cfg.Stats.lossCounter(l.cause).Add(1)
	if l.cause == schema.GapTokenChange {
		c.cfg.Stats.TokenChanges.Add(1)
	}
	c.handler.Lost(c.gcid, at, last, l.cause)
	c.log.Debug("stream coverage ended", slog.String("cause", string(l.cause)))
	return l
}

// watch waits for the end of a subscribed connection: the peer's, the token's,
// the machine's, or ours.
func (c *Connection) watch(ctx context.Context, s *session) loss {
	ch := newChange(c, s)
	defer ch.stop()
	wall := time.NewTicker(wallCheck)
	defer wall.Stop()
	jump := newJumpMeter(c.wall)
	for {
		select {
		case <-ctx.Done():
			return loss{cause: schema.GapShutdown}
		case err := <-s.lost:
			s.drained = true
			return c.endedAlone(s, err)
		case <-wall.C:
			if jump.ran() > sleepJump {
				return loss{cause: schema.GapConnection, err: errors.New("the machine slept")}
			}
			if !c.wall().Before(s.pw.expires) {
				return loss{cause: schema.GapTokenExpired, err: errors.New("the id token expired")}
			}
		case <-ch.tick.C:
			ch.look(ctx)
		case r := <-ch.result:
			if r.fault == nil {
				return loss{cause: schema.GapTokenChange, next: r.pw, booked: true}
			}
			if ctx.Err() != nil {
				continue
			}
			c.cfg.Stats.TokenFaults.Add(1)
			c.troubled(r.fault)
			ch.rest()
		}
	}
}

func (c *Connection) endedAlone(s *session, err error) loss {
	g := s.conn.Load()
	if end := g.endErr(); end != nil {
		err = end
	}
	cause := lossCause(ended{
		at: c.wall(), subscribed: s.subscribed, expires: s.pw.expires, closedByPeer: g.closedByPeer(),
		previous: c.peerClosed, previousLast: c.peerClosedIt,
	})
	return loss{cause: cause, err: &faultError{op: "connection lost", err: err}}
}

// jumpMeter measures how far the wall clock ran ahead of the monotonic one.
type jumpMeter struct {
	wall     func() time.Time
	lastWall time.Time
	lastMono time.Time
}

func newJumpMeter(wall func() time.Time) *jumpMeter {
	return &jumpMeter{wall: wall, lastWall: wall(), lastMono: time.Now()}
}

// ran gives the jump since the last call.
func (j *jumpMeter) ran() time.Duration {
	w, m := j.wall(), time.Now()
	jump := w.Sub(j.lastWall) - m.Sub(j.lastMono)
	j.lastWall, j.lastMono = w, m
	return jump
}
