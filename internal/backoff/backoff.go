// Package backoff gives the wait before another try: exponential, with full
// jitter, capped.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Policy is a back-off rule. The zero Policy waits nothing.
type Policy struct {
	Base time.Duration // upper bound of the first wait
	Cap  time.Duration // upper bound of every wait
}

// Delay gives the wait before try number attempt+1, attempt counted from 0:
// evenly spread over (0, min(Cap, Base·2^attempt)].
func (p Policy) Delay(attempt int) time.Duration {
	limit := p.Cap
	if attempt < 32 && p.Base<<attempt < p.Cap && p.Base<<attempt > 0 {
		limit = p.Base << attempt
	}
	if limit <= 0 {
		return 0
	}
	return rand.N(limit) + 1
}

// Wait sleeps for d or until ctx ends, and then gives ctx's error.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
