package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// sinkFunc is a sink made of a function.
type sinkFunc[T any] func(ctx context.Context, batch []T) error

func (f sinkFunc[T]) Write(ctx context.Context, batch []T) error { return f(ctx, batch) }

// keeper is a producer that keeps the records, after failing as told.
type keeper struct {
	errs    []error // of the next calls
	records []Record
	calls   int
}

func (k *keeper) Produce(ctx context.Context, records []Record) error {
	k.calls++
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	if len(k.errs) > 0 {
		err, k.errs = k.errs[0], k.errs[1:]
	}
	refused := map[int]bool{}
	if e, ok := errors.AsType[*WriteError](err); ok && e.Class == Permanent {
		for _, r := range e.Rejected {
			refused[r.Index] = true
		}
	} else if err != nil {
		return err
	}
	for i, r := range records {
		if !refused[i] {
			k.records = append(k.records, cloneRecord(r))
		}
	}
	return err
}

func cloneRecord(r Record) Record {
	c := Record{Topic: r.Topic, Key: []byte(string(r.Key)), Value: []byte(string(r.Value)), Time: r.Time}
	for _, h := range r.Headers {
		c.Headers = append(c.Headers, Header{h.Key, []byte(string(h.Value))})
	}
	return c
}

func (k *keeper) of(topic string) []Record {
	var list []Record
	for _, r := range k.records {
		if r.Topic == topic {
			list = append(list, r)
		}
	}
	return list
}

func header(r Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestRetryFollowsTheClassOfTheError(t *testing.T) {
	cause := errors.New("cause")
	policy := backoff.Policy{Base: time.Second, Cap: time.Minute}
	for name, c := range map[string]struct {
		errs  []error
		limit time.Duration // of the context; 0 for none
		calls int
		fails bool
		least time.Duration // time that must have passed
	}{
		"success needs one call":                        {calls: 1},
		"unclassified errors are tried again":           {errs: []error{cause, cause}, calls: 3},
		"retryable errors are tried again":              {errs: []error{&WriteError{Class: Retryable, Err: cause}}, calls: 2},
		"the server's wait wins over the back-off":      {errs: []error{&WriteError{Class: Retryable, After: time.Hour, Err: cause}}, calls: 2, least: time.Hour},
		"permanent errors pass":                         {errs: []error{&WriteError{Class: Permanent, Err: cause}}, calls: 1, fails: true},
		"fatal errors pass":                             {errs: []error{&WriteError{Class: Fatal, Err: cause}}, calls: 1, fails: true},
		"no try that would come after the deadline":     {errs: []error{&WriteError{Class: Retryable, After: time.Hour, Err: cause}}, limit: time.Minute, calls: 1, fails: true},
		"an outage of any length is waited for":         {errs: make([]error, 0, 200), calls: 201},
		"the end of the context ends the tries at once": {errs: []error{cause}, limit: time.Nanosecond, calls: 1, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				errs := c.errs
				for len(errs) < cap(errs) {
					errs = append(errs, cause)
				}
				calls := 0
				sink := NewRetry(Sink[int](sinkFunc[int](func(context.Context, []int) error {
					calls++
					if calls <= len(errs) {
						return errs[calls-1]
					}
					return nil
				})), policy, discard())
				ctx := t.Context()
				if c.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.limit)
					defer cancel()
				}
				start := time.Now()
				err := sink.Write(ctx, []int{1})
				if (err != nil) != c.fails || calls != c.calls {
					t.Errorf("got %d calls and %v, want %d calls, failure %t", calls, err, c.calls, c.fails)
				}
				if passed := time.Since(start); passed < c.least {
					t.Errorf("waited %s, want %s at least", passed, c.least)
				}
				if err == nil && sink.Away() != nil {
					t.Errorf("still away: %v", sink.Away())
				}
			})
		})
	}
}

func TestRejectsKeepsWhatCannotBeStored(t *testing.T) {
	produced := &keeper{}
	letters := NewDeadLetters(produced, "letters")
	sink := NewRejects(Sink[schema.Reading](sinkFunc[schema.Reading](func(context.Context, []schema.Reading) error {
		return &WriteError{Class: Permanent, Rejected: []Rejection{{Index: 1, Reason: "influx_rejected", Text: "field type conflict"}}}
	})), letters, ReadingLetter)
	batch := []schema.Reading{*reading("a", at(0), number(1)), *reading("b", at(1), number(2))}
	if err := sink.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if len(produced.records) != 1 {
		t.Fatalf("got %d letters, want 1", len(produced.records))
	}
	letter := produced.records[0]
	if string(letter.Key) != string(testVIN) || header(letter, HeaderReason) != "influx_rejected" || header(letter, HeaderStage) != "sink" ||
		header(letter, HeaderText) != "field type conflict" || header(letter, HeaderAttempts) != "1" {
		t.Errorf("letter %+v", letter)
	}
	var back schema.Reading
	if err := schema.NewDecoder().Reading(&back, letter.Value); err != nil || back.Descriptor != "b" {
		t.Errorf("original bytes give %+v, %v", back, err)
	}
}

func TestDeadLettersAreCutShortForATopicThatTakesLess(t *testing.T) {
	produced := &keeper{errs: []error{&WriteError{Class: Permanent, Rejected: []Rejection{{Index: 1}}}}}
	long := make([]byte, 1<<20)
	letters := []Letter{{Key: "a", Original: []byte("x")}, {Key: "b", Original: long}}
	if err := NewDeadLetters(produced, "letters").Put(t.Context(), letters); err != nil {
		t.Fatal(err)
	}
	if len(produced.records) != 2 || len(produced.records[1].Value) != 64<<10 || header(produced.records[1], HeaderLength) != "1048576" {
		t.Errorf("got %d letters", len(produced.records))
	}
}

func TestRejectsFailsWhenTheLetterIsNotDurable(t *testing.T) {
	produced := &keeper{errs: []error{errors.New("kafka away")}}
	sink := NewRejects(Sink[schema.Reading](sinkFunc[schema.Reading](func(context.Context, []schema.Reading) error {
		return &WriteError{Class: Permanent, Rejected: []Rejection{{Index: 0}}}
	})), NewDeadLetters(produced, "letters"), ReadingLetter)
	if err := sink.Write(t.Context(), []schema.Reading{*reading("a", at(0), number(1))}); err == nil {
		t.Error("the batch counts as durable although its dead letter is not")
	}
}

func TestFreshnessGivesTheLagOfTheFreshestReadingPerMinute(t *testing.T) {
	f := NewFreshness()
	late, fresh := *reading("a", at(0), number(1)), *reading("b", at(7), number(1))
	late.Received, fresh.Received = at(10), at(10)
	f.Observe([]schema.Reading{late, fresh})
	if got := f.Take(at(30), 0); len(got) != 0 {
		t.Errorf("the minute is not over, got %+v", got)
	}
	got := f.Take(at(61), 0)
	if len(got) != 1 || got[0].Lag != 3*time.Second || got[0].Readings != 2 || !got[0].Minute.Equal(at(0)) {
		t.Fatalf("got %+v", got)
	}
	f.Return(got)
	if again := f.Take(at(61), -1); len(again) != 1 || again[0] != got[0] {
		t.Errorf("returned minutes come again as %+v", again)
	}
}
