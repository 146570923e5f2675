package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
)

// RetryStats counts tries and tells of an outage.
type RetryStats struct {
	Retries atomic.Int64
	Outages atomic.Int64
}

// Retry is a sink that tries again while the one behind it answers Retryable:
// exponential with full jitter, or after the wait the server asked for. It
// gives up when ctx ends or the next try would come after its deadline, and
// passes Permanent and Fatal on. This is the only place of the sink side that
// retries. Safe for concurrent use.
type Retry[T any] struct {
	next   Sink[T]
	policy backoff.Policy
	log    *slog.Logger
	Stats  RetryStats

	mu      sync.Mutex // guards the outage
	since   time.Time  // zero while all is well
	failure string
	failed  int
}

var _ Sink[int] = (*Retry[int])(nil)

// NewRetry wraps next.
func NewRetry[T any](next Sink[T], policy backoff.Policy, log *slog.Logger) *Retry[T] {
	return &Retry[T]{next: next, policy: policy, log: log}
}

// Write returns nil only when the whole batch is durable.
func (r *Retry[T]) Write(ctx context.Context, batch []T) error {
	for attempt := 0; ; attempt++ {
		err := r.next.Write(ctx, batch)
		refusal, classified := errors.AsType[*WriteError](err)
		if err == nil || classified && refusal.Class != Retryable {
			r.recovered()
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.away(err)
		wait := r.policy.Delay(attempt)
		if classified && refusal.After > 0 {
			wait = refusal.After
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return fmt.Errorf("no time left for another try: %w", err)
		}
		r.Stats.Retries.Add(1)
		if err := backoff.Wait(ctx, wait); err != nil {
			return err
		}
	}
}

// away logs an outage when it starts and when its cause changes.
func (r *Retry[T]) away(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	if text := err.Error(); text != r.failure {
		r.failure = text
		r.log.Warn("store does not take writes, trying again", "err", err)
	}
	if r.since.IsZero() {
		r.since = time.Now()
		r.Stats.Outages.Add(1)
	}
}

func (r *Retry[T]) recovered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		return
	}
	r.log.Info("store takes writes again", "attempts", r.failed, "elapsed_ms", time.Since(r.since).Milliseconds())
	r.since, r.failure, r.failed = time.Time{}, "", 0
}

// Away tells since when and why nothing passes; a nil error means all is well.
func (r *Retry[T]) Away() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		return nil
	}
	return fmt.Errorf("no write since %s: %s", r.since.UTC().Format(time.RFC3339), r.failure)
}
