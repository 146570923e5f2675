package object

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// renewals is how often a lock is renewed within its lease.
const renewals = 4

// errNotOurs means that the lock in force is another's.
var errNotOurs = errors.New("the lock is no longer ours")

// holder keeps one lock alive. Its renew goroutine owns renewed once it runs.
type holder struct {
	t       *Target
	key     string
	mine    content
	renewed time.Time // when the last renewal that worked was begun
	lost    chan struct{}
	stop    chan struct{}
	running sync.WaitGroup
}

// confirm looks whether the lock just made is the one in force, and whether the
// lock it succeeds is expired by the store's clock too.
func (h *holder) confirm(ctx context.Context) error {
	chain, err := h.t.chain(ctx)
	if err != nil {
		return err
	}
	for i := range chain {
		if chain[i].ID != h.mine.ID {
			continue
		}
		if i > 0 {
			if before := &chain[i-1]; chain[i].stamp.Sub(before.stamp) <= before.lease()+time.Second { // stamps are whole seconds
				return h.t.locked(before)
			}
		}
		return nil
	}
	if len(chain) > 0 {
		return h.t.locked(&chain[len(chain)-1])
	}
	return fmt.Errorf("lock %s: %w: it has just ended", h.t.place, parquet.ErrLocked)
}

// renew writes the lock again and again until unlock. When it cannot for the whole
// lease, or finds that the lock is another's, the lock is lost.
func (h *holder) renew() {
	tick := time.NewTicker(h.t.cfg.Lease / renewals)
	defer tick.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-tick.C:
		}
		if err := h.again(); errors.Is(err, errNotOurs) || h.expired(time.Now()) {
			close(h.lost)
			return
		}
	}
}

// again renews once. It ends with the lease: a renewal that came later could meet
// a successor.
func (h *holder) again() error {
	began := time.Now()
	ctx, cancel := context.WithDeadline(context.Background(), h.renewed.Add(h.t.cfg.Lease))
	defer cancel()
	go func() { // ends with again
		select {
		case <-h.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	found, err := h.t.readLock(ctx, h.key)
	if errors.Is(err, fs.ErrNotExist) || err == nil && found.ID != h.mine.ID || h.expired(time.Now()) {
		return errNotOurs
	}
	if err != nil {
		return err
	}
	if err := h.t.putLock(ctx, h.key, h.mine, false); err != nil {
		return err
	}
	h.renewed = began
	return nil
}

// expired tells whether the lease is past, by the wall clock too: the other one
// stands still while a machine sleeps.
func (h *holder) expired(now time.Time) bool {
	return max(now.Sub(h.renewed), now.Round(0).Sub(h.renewed.Round(0))) >= h.t.cfg.Lease
}

// unlock ends the renewals and, while the lock is still ours, deletes the chain.
func (h *holder) unlock() error {
	close(h.stop)
	h.running.Wait()
	select {
	case <-h.lost:
		return nil
	default:
	}
	if h.expired(time.Now()) {
		return nil // another may have taken over
	}
	ctx, cancel := context.WithDeadline(context.Background(), h.renewed.Add(h.t.cfg.Lease))
	defer cancel()
	chain, err := h.t.chain(ctx)
	if err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	upTo := slices.IndexFunc(chain, func(l link) bool { return l.ID == h.mine.ID })
	for _, l := range chain[:upTo+1] { // in this order: see firstLock
		if err := h.t.fault("unlock", l.key, h.t.bucket.Delete(ctx, l.key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// abandon removes a lock that was made but is not in force.
func (h *holder) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.t.cfg.Lease)
	defer cancel()
	if found, err := h.t.readLock(ctx, h.key); err != nil || found.ID != h.mine.ID {
		return nil
	}
	if err := h.t.fault("unlock", h.key, h.t.bucket.Delete(ctx, h.key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
