package influx

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// ReadError says why a read did not give all there is, and what to do now.
type ReadError struct {
	Op    string         // what was tried, such as "influx scan readings"
	Class pipeline.Class // Retryable: the same read may pass later; Fatal: not until a person acts. Never Permanent
	After time.Duration  // wait asked for by the server; 0 leaves it to the caller
	Err   error          // cause, for Unwrap; a *QueryError when the server told it
}

// Error gives operation and cause.
func (e *ReadError) Error() string { return fmt.Sprintf("%s: %v", e.Op, e.Err) }

// Unwrap gives the cause.
func (e *ReadError) Unwrap() error { return e.Err }

var errAnswerForm = errors.New("answer is not as asked for")

// callerError carries what the caller's own function returned past readError.
type callerError struct{ err error }

func (e *callerError) Error() string { return e.err.Error() }

// readError classes err; an error of the caller's function comes out as it was.
func readError(op string, err error) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*callerError](err); ok {
		return own.err
	}
	if told, ok := errors.AsType[*ReadError](err); ok {
		told.Op = op
		return told
	}
	class := pipeline.Retryable // torn, reset, refused
	if qe, ok := errors.AsType[*QueryError](err); ok {
		class = qe.class()
	} else if errors.Is(err, errAnswerForm) {
		class = pipeline.Fatal
	}
	return &ReadError{Op: op, Class: class, Err: err}
}

// class is the one place that says what a told refusal of a query means.
func (e *QueryError) class() pipeline.Class {
	switch {
	case e.Status == http.StatusOK:
		if passes(e.Text) {
			return pipeline.Retryable
		}
		return pipeline.Fatal
	case e.Status == http.StatusTooManyRequests, e.Status == http.StatusRequestTimeout, e.Status >= http.StatusInternalServerError:
		return pipeline.Retryable
	}
	return pipeline.Fatal
}

// passes knows the faults told inside an answer that go away by themselves.
// Others, such as a missing database, a missing right or a limit of the
// operator, stay.
func passes(text string) bool {
	text = strings.ToLower(text)
	for _, word := range [...]string{
		"query interrupted", "query killed", "timeout", "query aborted", "engine is closed", "shutdown",
		"shard is disabled", "max-concurrent-queries", "context canceled", "deadline exceeded",
	} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
