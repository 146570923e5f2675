// Package exit holds the one table of exit codes.
package exit

import (
	"context"
	"errors"
)

// The exit codes of every command.
const (
	Done        = 0
	Failed      = 1
	Usage       = 2 // usage or configuration
	NeedsPerson = 3 // such as a login
	Partly      = 4
)

// Error carries the code that a command ends with.
type Error struct {
	Code int
	Err  error
}

// Error gives the cause's text.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// With marks err with an exit code; nil stays nil.
func With(code int, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Err: err}
}

// Code gives the exit code for what a command returned. Being stopped by a
// signal in order is no failure.
func Code(err error) int {
	if err == nil || errors.Is(err, context.Canceled) {
		return Done
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Failed
}
