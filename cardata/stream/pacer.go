package stream

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
)

// Pacer spreads the connection attempts of all accounts that share a source
// address, because the service counts them per address and minute (CarData
// API, section "Connection rules"). It is safe for concurrent use.
//
// Attempts are booked, not merely admitted: a planned token change books its
// connect one reconnect gap ahead while still connected, so that standing in
// line costs no coverage.
type Pacer struct {
	limit  int
	window time.Duration

	mu    sync.Mutex  // guards slots
	slots []time.Time // booked attempts, sorted, those older than window dropped
}

// NewPacer allows at most limit attempts in any span of window. The service's
// own number is unknown; 6 a minute is used where limit or window is not
// positive.
func NewPacer(limit int, window time.Duration) *Pacer {
	if limit <= 0 {
		limit = 6
	}
	if window <= 0 {
		window = time.Minute
	}
	return &Pacer{limit: limit, window: window}
}

// wait books the first free attempt that is at least ahead away, and returns
// ahead before it. Bookings are served in the order of the calls. When ctx
// ends first, the booking is given back.
func (p *Pacer) wait(ctx context.Context, ahead time.Duration) error {
	now := time.Now()
	slot := p.book(now, now.Add(ahead))
	if err := backoff.Wait(ctx, slot.Add(-ahead).Sub(now)); err != nil {
		p.cancel(slot)
		return err
	}
	return nil
}

func (p *Pacer) book(now, earliest time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := 0
	for old < len(p.slots) && now.Sub(p.slots[old]) > p.window {
		old++
	}
	p.slots = slices.Delete(p.slots, 0, old)

	slot := earliest
	for {
		at, _ := slices.BinarySearchFunc(p.slots, slot, time.Time.Compare)
		for at < len(p.slots) && p.slots[at].Equal(slot) {
			at++ // after its equals, so that equals keep their order
		}
		full, clash := p.clash(slot, at)
		if !clash {
			p.slots = slices.Insert(p.slots, at, slot)
			return slot
		}
		slot = full
	}
}

// clash looks at each run of limit booked attempts that slot, put in at
// position at, would join. If one of the runs gets too dense, it gives the
// earliest later time that this run allows.
func (p *Pacer) clash(slot time.Time, at int) (time.Time, bool) {
	for first := max(0, at-p.limit); first <= at && first+p.limit <= len(p.slots); first++ {
		from, to := p.slots[first], p.slots[first+p.limit-1]
		begin, end := from, to
		if slot.Before(begin) {
			begin = slot
		}
		if slot.After(end) {
			end = slot
		}
		if end.Sub(begin) < p.window {
			return from.Add(p.window), true
		}
	}
	return time.Time{}, false
}

func (p *Pacer) cancel(slot time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := slices.BinarySearchFunc(p.slots, slot, time.Time.Compare); ok {
		p.slots = slices.Delete(p.slots, i, i+1)
	}
}
