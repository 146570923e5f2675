package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// batchBytes is how much is encoded before it is written: two TLS records.
const batchBytes = 32 << 10

// feed is an endless run of one car's messages, in order of Due.
type feed interface {
	Next() cars.Emission
}

// lane is one car's feed with the message that comes next.
type lane struct {
	feed  feed
	next  cars.Emission
	order int // breaks ties, so that a restart repeats the order
	last  map[schema.Descriptor]stamp
}

// stamp is what a key said last, at speeds at which stamps can collide.
type stamp struct {
	at    time.Time
	value schema.Value
}

// feeder hands one account's messages to its connection. One goroutine runs
// it; Inject and the state file look in from outside.
//
// Past days wait for a subscriber; then they go out at full pace until they
// have caught up with the real clock. From then on the feed is live: what is
// due while nobody listens is unheard, as with the real service.
type feeder struct {
	s      *Simulator
	a      *account
	page   *ledgerPage
	woken  chan struct{} // capacity 1: a subscription changed
	chance *rand.Rand    // run's goroutine alone

	mu    sync.Mutex // guards all below; held over a write to the socket, because what is booked must go out in that order
	lanes []*lane    // a heap by Due
	cut   bool       // the next garbled message is cut, else its text is broken
	buf   []byte
	msg   []byte

	// state is what others look at; its lock is never held over a write.
	// Order: mu, then state.
	state feedState
}

// feedState is how far a feeder is.
type feedState struct {
	mu    sync.Mutex // guards all below
	clock clock      // changed by the feeder alone, which may read it without the lock
	live  bool       // likewise
	until time.Time  // see position; likewise
	same  int        // likewise
}

func newFeeder(s *Simulator, a *account, number int) *feeder {
	return &feeder{
		s: s, a: a, page: s.ledger.pages[a.GCID],
		woken:  make(chan struct{}, 1),
		chance: rand.New(rand.NewPCG(s.cfg.Seed, uint64(number))),
		state:  feedState{clock: clock{speed: s.cfg.Speed}},
	}
}

// load builds the cars where the last run left them.
func (f *feeder) load(p position, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.clock.lead, f.state.clock.fast = p.Lead, p.Fast
	if f.s.cfg.History == 0 { // else what falls due while starting would count as past and wait
		f.state.goLive(now)
		f.s.caughtUp()
	}
	start := now.Add(p.Lead - f.s.cfg.History)
	if start.Before(p.Until) {
		start, f.state.until, f.state.same = p.Until, p.Until, p.Same
	} // else the rest of the past is out of bounds
	for i, vin := range f.a.VINs {
		l := &lane{order: i, feed: f.s.newFeed(cars.Config{
			Seed: f.s.cfg.Seed, VIN: vin, Model: f.a.Models[vin], Start: start.UTC(), Quirks: *f.s.cfg.Quirks, Busy: f.s.cfg.Busy,
		})}
		if f.s.cfg.Speed != 1 {
			l.last = make(map[schema.Descriptor]stamp)
		}
		l.next = l.feed.Next()
		f.lanes = append(f.lanes, l)
	}
	for i := len(f.lanes)/2 - 1; i >= 0; i-- {
		f.sink(i)
	}
	for fed, skip := f.state.until, f.state.same; len(f.lanes) > 0; {
		due := f.lanes[0].next.Due
		if due.After(fed) || due.Equal(fed) && skip == 0 {
			break
		}
		if due.Equal(fed) {
			skip--
		}
		f.advance()
	}
}

// run feeds until ctx ends.
func (f *feeder) run(ctx context.Context) {
	if len(f.lanes) == 0 {
		if !f.state.live {
			f.state.goLive(time.Now())
			f.s.caughtUp()
		}
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for f.s.gate.enter(ctx) {
		wait := f.step(time.Now())
		f.s.gate.leave()
		if wait == 0 {
			continue
		}
		if wait < 0 {
			wait = time.Hour // until woken
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-f.woken:
		case <-timer.C:
		}
	}
}

// wake makes run look again; it never blocks.
func (f *feeder) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// step hands over what is due, at most one batch. It gives the time until it is
// worth another call; negative means when woken.
func (f *feeder) step(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.state.clock.real(f.lanes[0].next.Due)
	if !f.state.live && next.After(now) {
		f.state.goLive(now)
		f.s.caughtUp()
		next = f.state.clock.real(f.lanes[0].next.Due)
	}
	if next.After(now) {
		return next.Sub(now)
	}
	session, h := f.claim()
	if session == nil && !f.state.live {
		return -1
	}
	f.fill(session, h, time.Now()) // claim may have waited
	f.write(session)
	return 0
}

// claim gives the session to hand over to, busy until write; nil when nobody
// listens.
func (f *feeder) claim() (*session, *hearing) {
	session, h := f.a.listening()
	if session == nil {
		return nil, nil
	}
	session.socket.busy.Lock()
	if f.a.current() != session { // it ended meanwhile
		session.socket.busy.Unlock()
		return nil, nil
	}
	return session, h
}

// fill encodes and books up to one batch of what is due by now.
func (f *feeder) fill(session *session, h *hearing, now time.Time) {
	f.buf = f.buf[:0]
	faults := f.s.faults.get()
	choice := f.a.choice(faults)
	until, same := f.state.until, f.state.same
	for len(f.buf) < batchBytes {
		l := f.lanes[0]
		e := l.next
		if f.state.clock.real(e.Due).After(now) {
			break
		}
		if f.state.clock.stamp(l, &e, &f.s.Stats.Thinned) && choice.streams(&e) {
			if h.hears(e.VIN) {
				f.encode(session, &e, faults.Garble, now)
			} else {
				f.page.unheard()
			}
		}
		if e.Due.Equal(until) {
			same++
		} else {
			until, same = e.Due, 1
		}
		f.advance()
	}
	f.state.fed(until, same)
}

// stamp maps a message's times to the real clock. At a higher speed two values
// of one key can fall into one second of it, which no real car sends: the
// second one is left out.
func (c *clock) stamp(l *lane, e *cars.Emission, thinned *atomic.Int64) bool {
	if c.speed == 1 && c.lead == 0 {
		return true
	}
	e.Measured = c.real(e.Measured).Truncate(time.Second)
	e.Sent = c.real(e.Sent).Truncate(time.Millisecond)
	if l.last == nil {
		return true
	}
	last, known := l.last[e.Descriptor]
	if known && last.at.Equal(e.Measured) {
		if last.value != e.Truth {
			thinned.Add(1)
			return false
		}
		e.Duplicate = true
	}
	l.last[e.Descriptor] = stamp{e.Measured, e.Truth}
	return true
}

// encode appends one message to the batch and books it.
func (f *feeder) encode(session *session, e *cars.Emission, garble float64, now time.Time) {
	f.msg = cars.AppendPayload(f.msg[:0], f.a.GCID, e)
	unreadable := garble > 0 && f.chance.Float64() < garble
	if unreadable {
		f.msg = f.garble(f.msg)
	}
	if !f.pack(session, e.VIN, f.msg) {
		return
	}
	f.page.add(now, session.number, Entry{
		VIN: e.VIN, Descriptor: e.Descriptor, Measured: e.Measured, Truth: e.Truth, Unit: e.TruthUnit,
		Sent: e.Sent, Duplicate: e.Duplicate, Unreadable: unreadable,
	})
}

// garble makes a payload unreadable: cut in the middle, or with a byte in its
// VIN that no UTF-8 text has.
func (f *feeder) garble(msg []byte) []byte {
	f.cut = !f.cut
	if f.cut {
		return msg[:len(msg)/2]
	}
	if i := bytes.IndexByte(msg, ':'); i >= 0 && i+3 < len(msg) {
		msg[i+3] = 0xff
	}
	return msg
}

// pack appends a PUBLISH packet at QoS 0 to the batch.
func (f *feeder) pack(session *session, vin schema.VIN, payload []byte) bool {
	length := 2 + len(f.a.prefix) + len(vin) + len(payload)
	if session.v5 {
		length++ // empty properties
	}
	if limit := session.client.Properties.Props.MaximumPacketSize; limit > 0 && length+5 > int(limit) {
		f.s.Stats.Dropped.Add(1)
		f.s.fail(fmt.Errorf("%w: message of %d bytes is over the client's limit of %d", ErrDropped, length, limit))
		return false
	}
	f.buf = append(f.buf, 0x30)
	for n := length; ; {
		b := byte(n & 0x7f)
		n >>= 7
		if n == 0 {
			f.buf = append(f.buf, b)
			break
		}
		f.buf = append(f.buf, b|0x80)
	}
	topic := len(f.a.prefix) + len(vin)
	f.buf = append(f.buf, byte(topic>>8), byte(topic))
	f.buf = append(f.buf, f.a.prefix...)
	f.buf = append(f.buf, vin...)
	if session.v5 {
		f.buf = append(f.buf, 0)
	}
	f.buf = append(f.buf, payload...)
	return true
}

// write hands the batch to the socket and sets it free. An error means that the connection has
// died; what was booked may or may not have arrived, and a gap covers it.
func (f *feeder) write(session *session) {
	if session == nil {
		return
	}
	var err error
	if len(f.buf) > 0 {
		<-session.acked // nothing before the SUBACK; ends with the session at the latest
		_, err = session.socket.Write(f.buf)
	}
	session.socket.busy.Unlock()
	if err != nil {
		f.s.Stats.WriteErrors.Add(1)
		session.client.Stop(err)
	}
}

// inject hands over foreign bytes at once.
func (f *feeder) inject(vin schema.VIN, payload []byte, entries []Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	session, h := f.claim()
	defer f.write(session)
	f.buf = f.buf[:0]
	if !h.hears(vin) {
		return ErrNotSubscribed
	}
	if !f.pack(session, vin, payload) {
		return ErrDropped
	}
	for i := range entries {
		if entries[i].VIN == "" {
			entries[i].VIN = vin
		}
	}
	f.page.add(time.Now(), session.number, entries...)
	return nil
}

// position gives where a later run has to go on.
func (f *feedState) position(now time.Time) position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return position{Until: f.until, Same: f.same, Lead: f.clock.leadAt(now), Fast: f.clock.spans(now)}
}

// goLive ends the past.
func (f *feedState) goLive(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live, f.clock.anchor = true, now.Round(0) // what is kept has no monotonic reading: never mix them
}

// fed moves on.
func (f *feedState) fed(until time.Time, same int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until, f.same = until, same
}

// advance takes the next message off the heap.
func (f *feeder) advance() {
	f.lanes[0].next = f.lanes[0].feed.Next()
	f.sink(0)
}

// sink restores the heap below i.
func (f *feeder) sink(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(f.lanes); c++ {
			if f.lanes[c].before(f.lanes[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		f.lanes[i], f.lanes[least] = f.lanes[least], f.lanes[i]
		i = least
	}
}

func (l *lane) before(o *lane) bool {
	if l.next.Due.Equal(o.next.Due) {
		return l.order < o.order
	}
	return l.next.Due.Before(o.next.Due)
}

var (
	// ErrDropped reports a message that was due to a subscriber and was not
	// handed over: the run's ledger is not to be trusted.
	ErrDropped = errors.New("message dropped before the socket")
	// ErrNotSubscribed reports bytes for a car that nobody listens to.
	ErrNotSubscribed = errors.New("nobody is subscribed to this car")
)
