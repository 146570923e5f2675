package kafka

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// place is what can fail alone. The zero place stands for the cluster.
type place struct {
	topic     string
	partition int32
}

// trouble turns a stream of equal failures into few log lines: one when it
// starts, one for each new cause, one when the last failing place works again.
// It is safe for concurrent use.
type trouble struct {
	log *slog.Logger
	op  string // what is tried

	some atomic.Bool // any place failing; lets ok pass without the lock

	mu       sync.Mutex // guards all below
	failing  map[place]struct{}
	causes   map[string]struct{}
	since    time.Time
	last     string
	failures int
}

// maxCauses bounds the causes remembered, and so logged, in one episode.
const maxCauses = 16

func newTrouble(log *slog.Logger, op string) *trouble {
	return &trouble{log: log, op: op, failing: make(map[place]struct{}), causes: make(map[string]struct{})}
}

// fail notes one failure at a place.
func (t *trouble) fail(at place, err error) {
	cause := innermost(err)
	t.mu.Lock()
	if len(t.failing) == 0 {
		t.since = time.Now()
	}
	t.failing[at] = struct{}{}
	t.failures++
	t.last = err.Error()
	t.some.Store(true)
	_, known := t.causes[cause]
	if known = known || len(t.causes) >= maxCauses; !known {
		t.causes[cause] = struct{}{}
	}
	t.mu.Unlock()
	if !known {
		t.log.Warn("kafka fails", slog.String("op", t.op),
			slog.String("topic", at.topic), slog.Int("partition", int(at.partition)), slog.Any("err", err))
	}
}

// ok notes that a place works.
func (t *trouble) ok(at place) {
	if !t.some.Load() {
		return
	}
	t.mu.Lock()
	delete(t.failing, at)
	if len(t.failing) > 0 {
		t.mu.Unlock()
		return
	}
	failures, since := t.failures, t.since
	t.reset()
	t.mu.Unlock()
	if failures > 0 {
		t.log.Info("kafka works again", slog.String("op", t.op),
			slog.Int("failures", failures), slog.Int64("elapsed_ms", time.Since(since).Milliseconds()))
	}
}

// shift puts what fails down to another place, as when the partitions go to
// someone else: the trouble lasts until that place works.
func (t *trouble) shift(to place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failing) > 0 {
		clear(t.failing)
		t.failing[to] = struct{}{}
	}
}

// forget drops all that is failing.
func (t *trouble) forget() {
	t.mu.Lock()
	t.reset()
	t.mu.Unlock()
}

func (t *trouble) reset() {
	clear(t.failing)
	clear(t.causes)
	t.failures, t.last, t.since = 0, "", time.Time{}
	t.some.Store(false)
}

// status gives when the trouble started and its last error; zero when none.
func (t *trouble) status() (since time.Time, last string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since, t.last
}

// innermost gives the text of the root cause: unlike the whole error it names no
// ports, so that equal causes are equal.
func innermost(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
