package ingest

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Why an account is let go.
var (
	errMoved  = errors.New("the account belongs to another replica now")
	errTaken  = errors.New("another replica has claimed the account")
	errLapsed = errors.New("nothing has proved the ownership of the account for too long")
)

// lease is the right to be connected to one account: it lasts for limit after the
// last proof that the account is this process's. What is proved is that at the
// time of the proof nobody else had been given the account; as whoever is given
// it waits for longer than limit before connecting, the two never overlap
// (docs/adr/0004-account-ownership.md). It is safe for concurrent use.
type lease struct {
	epoch int64
	limit time.Duration
	end   context.CancelCauseFunc

	mu    sync.Mutex // guards below
	proof time.Time  // with the monotonic clock's reading
	timer *time.Timer
	over  bool
}

// newLease starts with a proof; end is called once, when the lease is over.
func newLease(limit time.Duration, proof time.Time, end context.CancelCauseFunc) *lease {
	l := &lease{limit: limit, proof: proof, end: end}
	l.mu.Lock() // the timer may be over at once
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(limit-time.Since(proof), l.look)
	return l
}

// prove extends the lease. A proof that comes after the end does not bring it
// back: meanwhile anything may have happened.
func (l *lease) prove(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.lapsedLocked(time.Now()) || !at.After(l.proof) {
		return
	}
	l.proof = at
	l.timer.Reset(max(0, l.limit-time.Since(at)))
}

// look ends the lease when its time is over.
func (l *lease) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over && !l.lapsedLocked(time.Now()) {
		l.timer.Reset(max(time.Millisecond, l.limit-time.Since(l.proof)))
	}
}

// lapsedLocked ends the lease if too long has passed by either clock: the
// monotonic one stands still while the machine sleeps.
func (l *lease) lapsedLocked(now time.Time) bool {
	if now.Sub(l.proof) < l.limit && now.Round(0).Sub(l.proof.Round(0)) < l.limit {
		return false
	}
	l.overLocked(errLapsed)
	return true
}

// revoke ends the lease at once.
func (l *lease) revoke(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.overLocked(why)
}

func (l *lease) overLocked(why error) {
	if !l.over {
		l.over = true
		l.timer.Stop()
		l.end(why)
	}
}

// holds tells whether the lease is still good.
func (l *lease) holds() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && !l.lapsedLocked(time.Now())
}
