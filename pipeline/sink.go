package pipeline

import (
	"context"
	"fmt"
	"time"
)

// Sink is where items become durable.
//
// Write returns nil only when the whole batch is durable. It may be called
// again with the same batch and must then not count it twice, and it keeps no
// reference to batch after it returns. Errors are *WriteError; any other error
// counts as Retryable. Write may be called from several goroutines at once.
type Sink[T any] interface {
	Write(ctx context.Context, batch []T) error
}

// Class says what the pipeline must do about a failed write.
type Class int

// The classes. The zero Class is Retryable, so that an unclassified error never
// loses data.
const (
	Retryable Class = iota // the same bytes may pass later: network, timeout, 429, 5xx
	Permanent              // the same bytes never pass: dead letter with the reason
	Fatal                  // nothing passes until a person acts: stop, exit non-zero
)

// String names the class as metrics and logs do.
func (c Class) String() string {
	switch c {
	case Retryable:
		return "retryable"
	case Permanent:
		return "permanent"
	case Fatal:
		return "fatal"
	}
	return fmt.Sprintf("class(%d)", int(c))
}

// Rejection is one item of a batch that can never be stored.
type Rejection struct {
	Index  int    // of the batch as given to Write
	Reason string // reason code of a fixed set, such as "influx_rejected"
	Text   string // the store's own words
}

// WriteError says what a sink could not do and what to do now.
type WriteError struct {
	Op       string        // what was tried, such as "influx write"
	Class    Class         // what to do now
	After    time.Duration // wait asked for by the server; 0 leaves it to the backoff
	Rejected []Rejection   // with Permanent: these items alone; all the others are durable
	Err      error         // cause, for Unwrap
}

// Error gives operation, class and cause.
func (e *WriteError) Error() string {
	return fmt.Sprintf("%s: %s: %v", e.Op, e.Class, e.Err)
}

// Unwrap gives the cause.
func (e *WriteError) Unwrap() error { return e.Err }
