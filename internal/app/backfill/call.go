package backfill

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	// Each try costs a call, so there are few. Network trouble and maintenance
	// pass; a fault of BMW's own seldom does.
	triesTransient = 3
	triesServer    = 2
	// maxRow is how many steps may fail one after the other before an account is
	// left alone: whatever it is, it would eat the day's calls.
	maxRow = 4
)

// errLater ends an account's part of a run in order: what is left is for later.
var errLater = errors.New("the rest is left for a later run")

// call makes one call that is needed, again where that helps, and waits for
// 00:00 UTC when the quota is gone. Its result is a paid answer.
func call[T any](ctx context.Context, w *worker, f func(context.Context) (T, error)) (T, error) {
	w.sum.CallsPlanned++
	return again(ctx, w, f)
}

// again is call without a call of its own in the plan.
func again[T any](ctx context.Context, w *worker, f func(context.Context) (T, error)) (T, error) {
	wait := backoff.Policy{Base: 4 * time.Second, Cap: time.Minute}
	for attempt := 0; ; {
		v, err := f(ctx)
		if err == nil || ctx.Err() != nil {
			return v, err
		}
		if until, gone := quotaGone(err, time.Now()); gone {
			if err := w.awaitQuota(ctx, until, err); err != nil {
				return v, err
			}
			continue
		}
		e, ok := errors.AsType[*rest.Error](err)
		if attempt++; !ok || attempt >= tries(e.Kind) {
			return v, err
		}
		w.log.Warn("call failed, will be tried again", "attempt", attempt, "err", err)
		if err := backoff.Wait(ctx, max(min(e.After, 10*time.Minute), wait.Delay(attempt))); err != nil {
			return v, err
		}
	}
}

func tries(k rest.Kind) int {
	switch k {
	case rest.KindTransient:
		return triesTransient
	case rest.KindServer:
		return triesServer
	default:
		return 1
	}
}

// quotaGone tells whether err means that the day's calls are spent, and until
// when. A call is never a gamble on the next day: a minute's clock difference
// and the account's own delay are added.
func quotaGone(err error, now time.Time) (until time.Time, gone bool) {
	if q, ok := errors.AsType[*rest.QuotaError](err); ok {
		return q.Until, true
	}
	if e, ok := errors.AsType[*rest.Error](err); ok && e.Kind == rest.KindQuota {
		return now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour), true
	}
	return time.Time{}, false
}

func (w *worker) awaitQuota(ctx context.Context, until time.Time, cause error) error {
	if w.ask.NoWait {
		return exit.With(exit.Partly, fmt.Errorf("%w: %w; it goes on after %s with the same command", errLater, cause, until.UTC().Format(time.RFC3339)))
	}
	w.b.Stats.QuotaWaits.Add(1)
	until = until.Add(time.Minute + spread(w.account.GCID, 5*time.Minute))
	w.log.Info("the day's calls are spent, waiting", "until", until.UTC(), "err", cause)
	w.b.tell(Step{Account: w.account.Label, Waiting: until.UTC(), Text: "waiting for 00:00 UTC, the day's calls are spent"})
	<-w.b.slots // others may work meanwhile
	err := backoff.Wait(ctx, time.Until(until))
	w.b.slots <- struct{}{}
	return err
}

// spread gives each account a delay of its own within limit, always the same.
func spread(gcid schema.GCID, limit time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(gcid))
	return time.Duration(h.Sum64() % uint64(limit))
}

// judge decides what a failed step means for the run: nil goes on with the next
// step, the failed one is noted; an error ends the account's part.
func (w *worker) judge(ctx context.Context, err error, s Skip) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e, ok := errors.AsType[*rest.Error](err)
	if !ok || errors.Is(err, errLater) {
		return err
	}
	s.Reason, s.Remedy = e.Error(), e.Remedy
	switch e.Kind {
	case rest.KindAuth, rest.KindScope:
		return exit.With(exit.NeedsPerson, err)
	case rest.KindTransient:
		return exit.With(exit.Partly, fmt.Errorf("%w: %w", errLater, err))
	case rest.KindVehicle:
		w.dropped[s.VIN] = true // every other call on it would fail as well
		s.Kind = ""
	default:
	}
	w.skip(s)
	if w.row++; w.row >= maxRow {
		return exit.With(exit.Partly, fmt.Errorf("%w: %d steps failed one after the other, the last: %w", errLater, w.row, err))
	}
	return nil
}
