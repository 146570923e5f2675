package sinktest_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/sinktest"
)

// memory is the smallest sink that keeps the contract: a map by key.
type memory struct {
	mu   sync.Mutex // guards the fields below
	held map[int]int
	gone bool
	hung chan struct{}
}

func (m *memory) Write(ctx context.Context, batch []int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return &pipeline.WriteError{Op: "memory write", Err: ctx.Err()}
	case m.gone:
		return errors.New("away")
	case m.hung != nil:
		<-ctx.Done()
		return ctx.Err()
	}
	var bad []pipeline.Rejection
	for i, v := range batch {
		if v < 0 {
			bad = append(bad, pipeline.Rejection{Index: i, Reason: "negative", Text: "below zero"})
			continue
		}
		m.held[v] = v
	}
	if bad != nil {
		return &pipeline.WriteError{Op: "memory write", Class: pipeline.Permanent, Rejected: bad, Err: errors.New("negative")}
	}
	return nil
}

func (m *memory) set(gone bool, hung chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone, m.hung = gone, hung
}

func TestSuitePassesASinkThatKeepsTheContract(t *testing.T) {
	sinktest.Run(t, sinktest.Suite[int]{
		New: func(*testing.T) sinktest.Subject[int] {
			m := &memory{held: map[int]int{}}
			return sinktest.Subject[int]{
				Sink: m,
				Missing: func(_ *testing.T, items []int) (missing []int) {
					for i, v := range items {
						if _, ok := m.held[v]; !ok {
							missing = append(missing, i)
						}
					}
					return missing
				},
				Count: func(*testing.T) int { return len(m.held) },
				Away:  func() func() { m.set(true, nil); return func() { m.set(false, nil) } },
				Hang:  func() func() { m.set(false, make(chan struct{})); return func() { m.set(false, nil) } },
				Close: func() error { return nil },
			}
		},
		Batch: func(n int) []int {
			b := make([]int, n)
			for i := range b {
				b[i] = i + 1
			}
			return b
		},
		Bad: func() int { return -1 },
	})
}
