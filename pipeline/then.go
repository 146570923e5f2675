package pipeline

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// Then is a sink that hands on to a second one what the first has stored: an
// item that can never be stored goes no further. Both keep the contract of a
// sink for themselves, so a batch that comes again goes through both. Safe for
// concurrent use.
type Then[T any] struct{ first, second Sink[T] }

var _ Sink[int] = (*Then[int])(nil)

// NewThen joins two sinks.
func NewThen[T any](first, second Sink[T]) *Then[T] { return &Then[T]{first, second} }

// Write returns nil only when the batch is durable in both. On Permanent it
// names the items that either of them can never store.
func (t *Then[T]) Write(ctx context.Context, batch []T) error {
	err := t.first.Write(ctx, batch)
	if err == nil {
		return t.second.Write(ctx, batch)
	}
	refusal, ok := errors.AsType[*WriteError](err)
	if !ok || refusal.Class != Permanent {
		return err
	}
	rest, indexes := without(batch, refusal.Rejected)
	if len(rest) == 0 {
		return err
	}
	later := t.second.Write(ctx, rest)
	if later == nil {
		return err
	}
	second, ok := errors.AsType[*WriteError](later)
	if !ok || second.Class != Permanent {
		return later
	}
	both := &WriteError{Op: refusal.Op, Class: Permanent, Rejected: slices.Clone(refusal.Rejected), Err: errors.Join(err, later)}
	for _, r := range second.Rejected {
		r.Index = indexes[r.Index]
		both.Rejected = append(both.Rejected, r)
	}
	slices.SortFunc(both.Rejected, func(a, b Rejection) int { return cmp.Compare(a.Index, b.Index) })
	return both
}

// without gives the items that were not rejected, and where they are in batch.
func without[T any](batch []T, rejected []Rejection) (rest []T, indexes []int) {
	gone := make(map[int]bool, len(rejected))
	for _, r := range rejected {
		gone[r.Index] = true
	}
	for i := range batch {
		if !gone[i] {
			rest, indexes = append(rest, batch[i]), append(indexes, i)
		}
	}
	return rest, indexes
}
