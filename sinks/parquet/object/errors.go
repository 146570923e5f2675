package object

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"gocloud.dev/gcerrors"
)

// fault says what was tried on which object, and what a person can do about it.
// A missing object becomes fs.ErrNotExist; a missing bucket never does.
func (t *Target) fault(op, path string, err error) error {
	if err == nil {
		return nil
	}
	place := t.place
	if path != "" {
		place += "/" + path
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s %s: %w", op, place, err)
	}
	remedy := ""
	switch reason := reason(err); {
	case reason == "NoSuchBucket", reason == "PermanentRedirect":
		remedy = "there is no such bucket there: check its name, the region and the endpoint, or make it"
	case reason == "SignatureDoesNotMatch":
		remedy = "the secret key is wrong (or the clock of this machine is)"
	case reason == "InvalidAccessKeyId", reason == "XAdminUserNotFound", reason == "InvalidToken", reason == "ExpiredToken":
		remedy = "the store does not know these credentials: check the access key, or renew the session"
	case reason == "RequestTimeTooSkewed":
		remedy = "set the clock of this machine"
	case gcerrors.Code(err) == gcerrors.PermissionDenied:
		remedy = "access denied: the credentials need leave to list the bucket and to read, write and delete its objects"
	case path == "" && gcerrors.Code(err) == gcerrors.NotFound:
		remedy = "there is no such bucket there: check its name, the region and the endpoint, or make it"
	case gcerrors.Code(err) == gcerrors.NotFound:
		return fmt.Errorf("%s %s: %w", op, place, &missingError{err})
	}
	if remedy != "" {
		return fmt.Errorf("%s %s: %s: %w", op, place, remedy, err)
	}
	return fmt.Errorf("%s %s: %w", op, place, err)
}

// reason gives the store's own word for a refusal, where its driver has one.
func reason(err error) string {
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return ""
}

// missingError is fs.ErrNotExist with the store's own words.
type missingError struct{ err error }

func (e *missingError) Error() string   { return fs.ErrNotExist.Error() }
func (e *missingError) Unwrap() []error { return []error{fs.ErrNotExist, e.err} }
