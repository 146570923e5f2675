// Package sinktest is the one suite that every sink of the pipeline passes:
// durable on nil, idempotent, keeps no reference, classifies, honours its
// context, closes twice. It knows no store; a sink's test brings a Subject.
package sinktest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// Suite says how to test the sinks of items of type T.
type Suite[T any] struct {
	// New gives a sink over an empty store.
	New func(t *testing.T) Subject[T]
	// Batch gives n items with different keys that the store takes; equal n,
	// equal items, in memory of their own.
	Batch func(n int) []T
	// Bad gives an item that the store can never take, with a key of its own.
	// Nil when there is none.
	Bad func() T
}

// Subject is one sink and the hands that reach its store past it.
type Subject[T any] struct {
	Sink pipeline.Sink[T]
	// Missing gives the indexes of the items that the store does not hold with
	// exactly these values.
	Missing func(t *testing.T, items []T) []int
	// Count gives the number of items in the store.
	Count func(t *testing.T) int
	// Away makes the store unreachable until back is called. Nil when the test cannot.
	Away func() (back func())
	// Hang makes the store take requests and never answer until back is called. Nil when the test cannot.
	Hang func() (back func())
	// Close closes the sink. Nil when it has nothing to close.
	Close func() error
}

// Run runs the whole suite.
func Run[T any](t *testing.T, s Suite[T]) {
	t.Helper()
	t.Run("empty batch is stored", s.emptyBatch)
	t.Run("nil means durable", s.durable)
	t.Run("a repeated batch counts once", s.idempotent)
	t.Run("a partly stored batch may come again", s.overlap)
	t.Run("batch memory is the caller's again after Write", s.keepsNoReference)
	t.Run("concurrent writes all arrive", s.concurrent)
	t.Run("bad items alone are rejected", s.rejectsAlone)
	t.Run("an absent store is retryable and nothing is lost", s.away)
	t.Run("a cancelled context ends the write", s.cancelled)
	t.Run("a deadline ends the wait for a hanging store", s.deadline)
	t.Run("close may be called twice", s.closesTwice)
}

func (s Suite[T]) emptyBatch(t *testing.T) {
	sub := s.New(t)
	if err := sub.Sink.Write(t.Context(), nil); err != nil {
		t.Fatalf("Write(nil) = %v, want nil", err)
	}
	sub.wantCount(t, 0)
}

func (s Suite[T]) durable(t *testing.T) {
	sub := s.New(t)
	for _, n := range []int{1, 2, 100} {
		sub.write(t, s.Batch(n))
		sub.wantAll(t, s.Batch(n))
	}
}

func (s Suite[T]) idempotent(t *testing.T) {
	sub := s.New(t)
	for range 3 {
		sub.write(t, s.Batch(50))
	}
	sub.wantAll(t, s.Batch(50))
	sub.wantCount(t, 50)
}

func (s Suite[T]) overlap(t *testing.T) {
	sub := s.New(t)
	sub.write(t, s.Batch(60)[:40])
	sub.write(t, s.Batch(60)[20:])
	sub.wantAll(t, s.Batch(60))
	sub.wantCount(t, 60)
}

func (s Suite[T]) keepsNoReference(t *testing.T) {
	sub := s.New(t)
	batch := s.Batch(30)
	sub.write(t, batch)
	clear(batch)
	sub.write(t, s.Batch(40)[30:]) // gives a late reader of the old batch its chance
	sub.wantAll(t, s.Batch(40))
	sub.wantCount(t, 40)
}

func (s Suite[T]) concurrent(t *testing.T) {
	sub := s.New(t)
	const writers, each = 8, 25
	all := s.Batch(writers * each)
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() { errs[w] = sub.Sink.Write(t.Context(), slices.Clone(all[w*each:(w+1)*each])) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("concurrent Write: %v", err)
	}
	sub.wantAll(t, all)
	sub.wantCount(t, writers*each)
}

func (s Suite[T]) rejectsAlone(t *testing.T) {
	if s.Bad == nil {
		t.Skip("no item is bad for this store")
	}
	for name, at := range map[string]int{"first": 0, "in the middle": 17, "last": 40} {
		t.Run(name, func(t *testing.T) {
			sub := s.New(t)
			batch := slices.Insert(s.Batch(40), at, s.Bad())
			err := sub.Sink.Write(t.Context(), batch)
			we, ok := errors.AsType[*pipeline.WriteError](err)
			if !ok || we.Class != pipeline.Permanent {
				t.Fatalf("Write with a bad item = %v, want a permanent *pipeline.WriteError", err)
			}
			if len(we.Rejected) != 1 || we.Rejected[0].Index != at {
				t.Fatalf("Rejected = %+v, want index %d alone", we.Rejected, at)
			}
			if we.Rejected[0].Reason == "" || we.Rejected[0].Text == "" {
				t.Errorf("Rejected = %+v, want reason and text", we.Rejected[0])
			}
			sub.wantAll(t, s.Batch(40))
			sub.wantCount(t, 40)
		})
	}
}

func (s Suite[T]) away(t *testing.T) {
	sub := s.New(t)
	if sub.Away == nil {
		t.Skip("the store cannot be taken away here")
	}
	sub.write(t, s.Batch(10))
	back := sub.Away()
	err := sub.Sink.Write(t.Context(), s.Batch(20))
	back()
	wantRetryable(t, err)
	sub.wantAll(t, s.Batch(10))
	sub.write(t, s.Batch(20))
	sub.wantAll(t, s.Batch(20))
	sub.wantCount(t, 20)
}

func (s Suite[T]) cancelled(t *testing.T) {
	sub := s.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := sub.Sink.Write(ctx, s.Batch(5))
	wantRetryable(t, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Write under a cancelled context = %v, want it to wrap context.Canceled", err)
	}
}

func (s Suite[T]) deadline(t *testing.T) {
	sub := s.New(t)
	if sub.Hang == nil {
		t.Skip("the store cannot be made to hang here")
	}
	back := sub.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := sub.Sink.Write(ctx, s.Batch(5))
	back()
	wantRetryable(t, err)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Write past its deadline = %v, want it to wrap context.DeadlineExceeded", err)
	}
	sub.write(t, s.Batch(5))
	sub.wantAll(t, s.Batch(5))
	sub.wantCount(t, 5)
}

func (s Suite[T]) closesTwice(t *testing.T) {
	sub := s.New(t)
	if sub.Close == nil {
		t.Skip("nothing to close")
	}
	sub.write(t, s.Batch(3))
	for range 2 {
		if err := sub.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	sub.wantAll(t, s.Batch(3))
}

func (sub Subject[T]) write(t *testing.T, batch []T) {
	t.Helper()
	if err := sub.Sink.Write(t.Context(), batch); err != nil {
		t.Fatalf("Write of %d items: %v", len(batch), err)
	}
}

func (sub Subject[T]) wantAll(t *testing.T, items []T) {
	t.Helper()
	if missing := sub.Missing(t, items); len(missing) > 0 {
		t.Errorf("store lacks %d of %d items, first at index %d", len(missing), len(items), missing[0])
	}
}

func (sub Subject[T]) wantCount(t *testing.T, want int) {
	t.Helper()
	if got := sub.Count(t); got != want {
		t.Errorf("store holds %d items, want %d", got, want)
	}
}

func wantRetryable(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("Write = nil, want an error")
	}
	we, ok := errors.AsType[*pipeline.WriteError](err)
	if ok && we.Class != pipeline.Retryable {
		t.Errorf("class = %v of %v, want retryable", we.Class, err)
	}
}
