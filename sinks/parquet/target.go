package parquet

import (
	"context"
	"errors"
	"io"
)

// ErrLocked means that another writer is at work on the dataset.
var ErrLocked = errors.New("another export writes this dataset")

// Target is where a dataset lies: a folder or a bucket. Paths are relative, with
// slashes, such as "readings/date=2026-11-24/part-0.parquet". Its methods are safe
// for concurrent use, but for one path at a time.
type Target interface {
	Files
	Lister
	Locker
}

// Files are the objects of a dataset.
type Files interface {
	// Publish makes a copy of the local file the object at path. A reader sees the
	// old object or the new one, whole; after a nil return the new one survives a
	// power cut.
	Publish(ctx context.Context, path, local string) error
	// Open reads the object at path; the error wraps fs.ErrNotExist when there is none.
	Open(ctx context.Context, path string) (io.ReadCloser, error)
	// Remove deletes the object at path and, where there are folders, those it
	// leaves empty. It is nil when there is none.
	Remove(ctx context.Context, path string) error
}

// Lister lists a dataset.
type Lister interface {
	// List calls file for each object below the folder prefix, in any order, those
	// an interrupted writer left behind included; prefix "" is everything.
	List(ctx context.Context, prefix string, file func(path string, sizeBytes int64) error) error
}

// Locker keeps a second writer out.
type Locker interface {
	// Lock waits for nobody: the error wraps ErrLocked when another writer holds
	// the dataset, and says who and since when where that is known. unlock may be
	// called twice. lost is closed when the lock can no longer be held (a lease
	// that could not be renewed): the holder must then publish nothing more.
	Lock(ctx context.Context) (unlock func() error, lost <-chan struct{}, err error)
}
