package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	lookEvery = time.Minute
	// repairGap is the shortest gap worth a call, and repairRecent how shortly
	// before it the car must have been heard: a car that sleeps missed nothing.
	repairGap    = 15 * time.Minute
	repairRecent = time.Hour
	// repairOld is how long after its end a gap is still repaired.
	repairOld = 24 * time.Hour
	// repairQuiet lets one bad hour's gaps become one repair; repairPause is the
	// least time between two of one car (CarData API, section "Quota").
	repairQuiet = 2 * time.Minute
	repairPause = time.Hour
)

// Watch keeps the accounts up to date until ctx ends: once a day sessions, keys
// that never stream and facts about the cars; and after a gap of the stream of
// more than 15 minutes, in whose hour before a car was heard, the latest values
// of that car by one call. Gaps that follow each other are one repair. At most
// ten repairs a day and account are made, all within the scheduled part of the
// quota. A quota that is gone is not waited for: the next day brings the rest.
//
// Each account has its own time of day, so that many do not call at once. What
// goes wrong with one account is logged and tried again the next day.
//
// A repair that is put down is on disk before the gap's offset is committed.
func (b *Backfill) Watch(ctx context.Context) error {
	d := newDesk(b)
	if err := d.load(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, a := range b.accounts {
		g.Go(func() error { // ends with ctx
			d.keep(ctx, a)
			return nil
		})
	}
	if b.cfg.Feed != nil {
		g.Go(func() error { return b.cfg.Feed.Run(ctx, d.handle) })
		g.Go(func() error { // ends with ctx
			d.saveNowAndThen(ctx)
			return nil
		})
	}
	err := g.Wait()
	if saved := d.save(); saved != nil {
		b.log.Error("save", "err", saved)
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// keep does the account's daily run and its repairs.
func (d *desk) keep(ctx context.Context, a permit.Account) {
	log := d.b.log.With("gcid", a.GCID)
	for ctx.Err() == nil {
		if err := d.look(ctx, a, time.Now()); err != nil && ctx.Err() == nil {
			log.Warn("account could not be brought up to date", "err", err)
		}
		_ = backoff.Wait(ctx, lookEvery) // the loop asks ctx itself
	}
}

// look does what is due.
func (d *desk) look(ctx context.Context, a permit.Account, now time.Time) error {
	st, err := peekState(d.b.cfg.DataDir, a.GCID)
	if err != nil {
		return err
	}
	if dailyDue(a.GCID, st.Daily, now) {
		return d.daily(ctx, a)
	}
	if cars := d.repairable(a.GCID, now); len(cars) > 0 {
		return d.repairAll(ctx, a, cars)
	}
	return nil
}

// dailyDue tells whether the account's time of day has come since the last
// daily run. The times leave out the first half hour of the UTC day: the quota of
// a service whose clock is behind may not be back yet.
func dailyDue(gcid schema.GCID, last, now time.Time) bool {
	const lead = 30 * time.Minute
	at := now.UTC().Truncate(24 * time.Hour).Add(lead + spread(gcid, 24*time.Hour-lead))
	if at.After(now) {
		at = at.Add(-24 * time.Hour)
	}
	return last.Before(at)
}

// daily is the daily run. It is booked before it begins, so that a fault, or a
// process that is started again and again, costs one attempt a day.
func (d *desk) daily(ctx context.Context, a permit.Account) error {
	now := time.Now().UTC()
	switch err := d.b.change(a.GCID, func(st *state) { st.Daily = now }); {
	case errors.Is(err, errBusy):
		return nil // a person's run is at work: soon again
	case err != nil:
		return err
	}
	sum, err := d.b.runAccount(ctx, a, Range{
		From: now.Add(-DefaultHistory), NoWait: true, containers: []string{ContainerREST}, resident: true,
	})
	d.b.log.Info("daily run", "gcid", a.GCID, "calls", sum.CallsSpent, "sessions", sum.Sessions, "readings", sum.Readings, "left", sum.Left)
	if err != nil {
		return fmt.Errorf("daily run, the next is tomorrow: %w", err)
	}
	return nil
}

// repairAll asks for the latest values of cars after a gap.
func (d *desk) repairAll(ctx context.Context, a permit.Account, cars []schema.VIN) error {
	select {
	case d.b.slots <- struct{}{}:
		defer func() { <-d.b.slots }()
	case <-ctx.Done():
		return nil
	}
	w, err := d.b.openWorker(ctx, a)
	if errors.Is(err, errBusy) {
		return nil // a person's run is at work, it may wait for its quota for hours
	}
	if err != nil {
		return err
	}
	defer w.disk.close()
	w.ask, w.horizon = Range{NoWait: true}, horizon{started: time.Now(), now: time.Now()}
	for _, vin := range cars {
		now := time.Now()
		if m := w.st.car(vin).Mapping; m != "" && m != primary {
			d.done(a.GCID, vin, now)
			continue
		}
		if !w.st.mayRepair(now) {
			return nil // the rest waits for the next UTC day
		}
		w.st.repaired(now)
		if err := w.disk.saveState(w.st); err != nil {
			return err
		}
		d.b.Stats.Repairs.Add(1)
		if err := w.telematics(ctx, vin, ContainerLatest); err != nil {
			d.putOff(vin, now.Add(repairPause))
			if err := w.judge(ctx, err, Skip{VIN: vin, Kind: KindTelematics}); err != nil {
				return fmt.Errorf("repair after a gap: %w", err)
			}
			continue
		}
		d.done(a.GCID, vin, now)
		w.log.Info("latest values fetched after a gap", "vin", vin, "readings", w.sum.Readings)
	}
	return nil
}

// change edits an account's state between runs.
func (b *Backfill) change(gcid schema.GCID, edit func(*state)) error {
	disk, err := openFolder(b.cfg.DataDir, gcid)
	if err != nil {
		return err
	}
	defer disk.close()
	st, err := disk.loadState()
	if err != nil {
		return err
	}
	edit(st)
	return disk.saveState(st)
}
