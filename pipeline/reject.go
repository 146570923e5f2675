package pipeline

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Rejects is a sink that keeps what the one behind it can never store as dead
// letters: durable in Kafka before Write answers nil. Safe for concurrent use.
type Rejects[T any] struct {
	next    Sink[T]
	letters *DeadLetters
	letter  func(item *T) Letter
	// Items counts the dead letters written.
	Items atomic.Int64
}

var _ Sink[int] = (*Rejects[int])(nil)

// NewRejects wraps next; letter gives key, origin, account, arrival and original
// bytes of an item, the rest is filled in.
func NewRejects[T any](next Sink[T], letters *DeadLetters, letter func(*T) Letter) *Rejects[T] {
	return &Rejects[T]{next: next, letters: letters, letter: letter}
}

// Write returns nil when each item is durable, in the store or as a dead letter.
func (r *Rejects[T]) Write(ctx context.Context, batch []T) error {
	err := r.next.Write(ctx, batch)
	refusal, ok := errors.AsType[*WriteError](err)
	if !ok || refusal.Class != Permanent {
		return err
	}
	letters := make([]Letter, 0, len(refusal.Rejected))
	for _, rejection := range refusal.Rejected {
		l := r.letter(&batch[rejection.Index])
		l.Stage, l.Reason, l.Text = "sink", rejection.Reason, rejection.Text
		if l.FirstSeen.IsZero() {
			l.FirstSeen = time.Now()
		}
		letters = append(letters, l)
	}
	if err := r.letters.Put(ctx, letters); err != nil {
		return err
	}
	r.Items.Add(int64(len(letters)))
	return nil
}
