package object

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// Locks are objects that are only ever created where there is none. The first is
// "_lock". A writer that dies leaves its lock behind; who takes over creates the
// successor, "_lock." and the dead lock's id, which again one alone can do. So the
// lock in force is the end of that chain, and nobody deletes what another may hold.
// Unlocking deletes the chain from its beginning: a writer that followed the chain
// meanwhile finds itself cut off from "_lock", and gives way.
//
// A lock is expired when its holder has not renewed it for the lease. The holder
// stops itself by its own clock; who takes over must find the lease past by the
// store's clock, the one that dates both objects. So clocks of writers need not agree.
const firstLock = "_lock"

func isLock(path string) bool { return path == firstLock || strings.HasPrefix(path, firstLock+".") }

// content is a lock's text.
type content struct {
	ID           string    `json:"id"`
	Owner        string    `json:"owner"`
	Since        time.Time `json:"since"`
	LeaseSeconds float64   `json:"lease_seconds"`
}

// link is a lock as found in the bucket.
type link struct {
	content
	key   string
	stamp time.Time // by the store's clock, whole seconds on S3
}

func (l *link) lease() time.Duration { return time.Duration(l.LeaseSeconds * float64(time.Second)) }

// Lock takes the dataset for one writer; see parquet.Locker.
func (t *Target) Lock(ctx context.Context) (unlock func() error, lost <-chan struct{}, err error) {
	mine := content{ID: rand.Text(), Owner: t.cfg.Owner, Since: time.Now().UTC().Truncate(time.Second), LeaseSeconds: t.cfg.Lease.Seconds()}
	chain, err := t.chain(ctx)
	if err != nil {
		return nil, nil, err
	}
	key := firstLock
	if n := len(chain); n > 0 {
		last := &chain[n-1]
		if time.Since(last.stamp) <= last.lease()+time.Second {
			return nil, nil, t.locked(last)
		}
		key = firstLock + "." + last.ID
	}
	began := time.Now()
	if err := t.putLock(ctx, key, mine, true); err != nil {
		if gcerrors.Code(err) != gcerrors.FailedPrecondition {
			return nil, nil, err
		}
		if chain, err := t.chain(ctx); err == nil && len(chain) > 0 {
			return nil, nil, t.locked(&chain[len(chain)-1])
		}
		return nil, nil, fmt.Errorf("lock %s: %w: it has just begun", t.place, parquet.ErrLocked)
	}
	h := &holder{t: t, key: key, mine: mine, renewed: began, lost: make(chan struct{}), stop: make(chan struct{})}
	if err := h.confirm(ctx); err != nil {
		return nil, nil, errors.Join(err, h.abandon(context.WithoutCancel(ctx)))
	}
	h.running.Go(h.renew) // ends with unlock, or when the lock is lost
	return sync.OnceValue(h.unlock), h.lost, nil
}

func (t *Target) locked(l *link) error {
	return fmt.Errorf("lock %s: %w: %s, since %s; if it is gone, the lock ends by itself within %v",
		t.place, parquet.ErrLocked, l.Owner, l.Since.Format(time.RFC3339), l.lease()+time.Second)
}

// chain gives the locks from the first to the one in force; none when free.
func (t *Target) chain(ctx context.Context) ([]link, error) {
	var chain []link
	for key := firstLock; ; key = firstLock + "." + chain[len(chain)-1].ID {
		l, err := t.readLock(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			return chain, nil
		}
		if err != nil {
			return nil, err
		}
		chain = append(chain, l)
	}
}

func (t *Target) readLock(ctx context.Context, key string) (link, error) {
	r, err := t.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return link{}, t.fault("read", key, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return link{}, t.fault("read", key, err)
	}
	l := link{key: key, stamp: r.ModTime()}
	if err := json.Unmarshal(text, &l.content); err != nil || l.ID == "" || l.LeaseSeconds <= 0 {
		return link{}, fmt.Errorf("read %s/%s: not a lock that this version knows; delete it when no export runs", t.place, key)
	}
	return l, nil
}

func (t *Target) putLock(ctx context.Context, key string, c content, first bool) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("lock %s: %w", t.place, err)
	}
	return t.put(ctx, key, strings.NewReader(string(text)), &blob.WriterOptions{ContentType: "application/json", IfNotExist: first})
}
