package stream

import (
	"context"
	"errors"
	"sync"
	"time"
)

// change prepares the planned token change of one connection. It looks for a
// quiet moment inside the window, has the new token fetched and the connect
// booked while the old connection goes on, and only then reports. It belongs
// to the goroutine of Run but for the one task it starts.
type change struct {
	c      *Connection
	s      *session
	tick   *time.Timer
	result chan prepared // capacity 1, so that the task never blocks

	busy   bool
	wg     sync.WaitGroup
	cancel context.CancelFunc
}

type prepared struct {
	pw    *password
	fault error
}

func newChange(c *Connection, s *session) *change {
	ch := &change{c: c, s: s, result: make(chan prepared, 1), cancel: func() {}}
	ch.tick = time.NewTimer(max(0, ch.from().Sub(c.wall())))
	return ch
}

func (ch *change) from() time.Time { return ch.s.pw.issued.Add(ch.s.pw.scaled(ch.c.cfg.ChangeFrom)) }

func (ch *change) until() time.Time { return ch.s.pw.issued.Add(ch.s.pw.scaled(ch.c.cfg.ChangeUntil)) }

// look starts the preparation when the moment is quiet enough.
func (ch *change) look(ctx context.Context) {
	if ch.busy {
		return
	}
	now := ch.c.wall()
	if now.Before(ch.from()) || !ch.quiet(now) {
		ch.tick.Reset(max(ch.s.pw.scaled(changeStep), 10*time.Millisecond))
		return
	}
	ch.busy = true
	ctx, ch.cancel = context.WithCancel(ctx)
	ch.wg.Go(func() { ch.result <- ch.prepare(ctx) })
}

// quiet tells whether the silence so far will do: 20 s when the window opens,
// less and less towards its end, and at its end any moment.
func (ch *change) quiet(now time.Time) bool {
	left := ch.until().Sub(now)
	if left <= 0 {
		return true
	}
	share := float64(left) / float64(ch.until().Sub(ch.from()))
	need := time.Duration(share * float64(ch.s.pw.scaled(quietAtTop)))
	last := fromNanos(ch.c.lastMessage.Load())
	return now.Sub(last) >= need
}

// prepare fetches the token and stands in line for the connect. It ends with
// its context.
func (ch *change) prepare(ctx context.Context) prepared {
	old := ch.s.pw
	// Anything that is not clearly younger than the token in use would only
	// bring the next change nearer.
	pw, f := ch.c.password(ctx, old.life()*5/6)
	if f != nil {
		return prepared{fault: f}
	}
	if pw.text == old.text || !pw.expires.After(old.expires) {
		return prepared{fault: errors.New("there is no newer id token yet")}
	}
	if err := ch.c.pacer.wait(ctx, ch.c.cfg.ReconnectGap); err != nil {
		return prepared{fault: err}
	}
	return prepared{pw: pw}
}

// rest waits before the next look, after a preparation that failed.
func (ch *change) rest() {
	ch.busy = false
	ch.cancel()
	ch.tick.Reset(max(ch.s.pw.scaled(changeRest), 50*time.Millisecond))
}

// stop ends all that was started.
func (ch *change) stop() {
	ch.tick.Stop()
	ch.cancel()
	ch.wg.Wait()
}
