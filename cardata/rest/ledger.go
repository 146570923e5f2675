package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	quotaVersion = 1
	fileMode     = 0o600
	dirMode      = 0o700
	lockPoll     = 20 * time.Millisecond
	maxSpent     = 100_000_000    // no account has such a day; keeps sums in range
	maxSkewKept  = 24 * time.Hour // more is a wrong answer rather than a clock
	remedyFile   = "the directory of the tokens has to be writable for every process that uses them"
)

var errQuotaBroken = errors.New("the quota file cannot be understood")

// ledger is the content of a quota file.
type ledger struct {
	Version int        `json:"version"`
	Day     string     `json:"day"`
	Spent   int        `json:"spent"`
	Foreign int        `json:"foreign"`
	Latched bool       `json:"latched"`           // for Day
	Low     bool       `json:"low"`               // logged for Day
	SkewMS  int64      `json:"skew_ms,omitempty"` // BMW's clock minus ours
	History []QuotaDay `json:"history,omitempty"` // newest first
}

// now is the time by BMW's clock.
func (d *ledger) now() time.Time {
	return time.Now().UTC().Add(time.Duration(d.SkewMS) * time.Millisecond)
}

// roll makes at's day the present one. Days are compared as text.
func (d *ledger) roll(at time.Time) {
	today := at.Format(time.DateOnly)
	switch {
	case d.Day == today:
		return
	case d.Day == "":
		d.Day = today
		return
	case d.Day < today:
		d.History = append([]QuotaDay{{Day: d.Day, Spent: d.Spent, Foreign: d.Foreign}}, d.History...)
		d.Day, d.Spent, d.Foreign, d.Latched, d.Low = today, 0, 0, false, false
	default: // the clock went back
		d.Day = today
	}
	kept := d.History[:0:0]
	oldest := at.AddDate(0, 0, -historyDays).Format(time.DateOnly)
	for _, h := range d.History {
		switch {
		case h.Day >= today:
			d.Spent += h.Spent
			d.Foreign = max(d.Foreign, h.Foreign)
		case h.Day >= oldest:
			kept = append(kept, h)
		}
	}
	d.History = kept
}

// expected is the most that others spent on one of the last days.
func (d *ledger) expected(at time.Time) int {
	oldest := at.AddDate(0, 0, -expectDays).Format(time.DateOnly)
	most := 0
	for _, h := range d.History {
		if h.Day >= oldest {
			most = max(most, h.Foreign)
		}
	}
	return most
}

// change runs f on the present ledger under the lock between processes and saves
// what it made of it.
func (q *Quota) change(ctx context.Context, f func(d *ledger) (changed bool, err error)) error {
	if err := os.MkdirAll(filepath.Dir(q.path), dirMode); err != nil {
		return q.fault("make the directory of the quota", err)
	}
	// Every call opens the file anew, so that the lock also holds between the
	// Quotas and goroutines of one process.
	lock := flock.New(strings.TrimSuffix(q.path, ".json")+".lock", flock.SetPermissions(fileMode))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the quota: %w", ctx.Err())
		}
		return q.fault("lock the quota", err)
	}
	defer func() { _ = lock.Close() }()
	d, err := q.load()
	if errors.Is(err, errQuotaBroken) {
		err = q.setAside(&d, err)
	}
	if err != nil {
		return err
	}
	d.roll(d.now())
	changed, err := f(&d)
	if err != nil || !changed {
		return err
	}
	if err := q.save(&d); err != nil {
		return q.fault("save the quota", err)
	}
	return nil
}

func (q *Quota) fault(op string, err error) error {
	q.stats.QuotaFaults.Add(1)
	return fmt.Errorf("%s: %w; %s", op, err, remedyFile)
}

// load reads the file; a missing one is an account without calls. With
// errQuotaBroken comes a ledger in which a timetable has nothing left today and a
// person has the reserve, since how much was spent is unknown.
func (q *Quota) load() (ledger, error) {
	b, err := os.ReadFile(q.path)
	if errors.Is(err, fs.ErrNotExist) {
		return ledger{Version: quotaVersion}, nil
	}
	if err != nil {
		return ledger{}, q.fault("read the quota", err)
	}
	var d ledger
	err = json.Unmarshal(b, &d)
	if err == nil {
		err = d.check()
	}
	if err == nil {
		return d, nil
	}
	fresh := ledger{Version: quotaVersion, Spent: q.cfg.Limit - q.cfg.Reserve}
	fresh.roll(fresh.now())
	return fresh, fmt.Errorf("%w: %w", errQuotaBroken, err)
}

func (d *ledger) check() error {
	if d.Version != quotaVersion {
		return fmt.Errorf("version %d is not %d", d.Version, quotaVersion)
	}
	for _, day := range append([]QuotaDay{{Day: d.Day, Spent: d.Spent, Foreign: d.Foreign}}, d.History...) {
		if _, err := time.Parse(time.DateOnly, day.Day); err != nil {
			return errors.New("one of its days is none")
		}
		if day.Spent < 0 || day.Spent > maxSpent || day.Foreign < 0 || day.Foreign > maxSpent {
			return errors.New("one of its numbers is out of range")
		}
	}
	if time.Duration(d.SkewMS).Abs() > maxSkewKept/time.Millisecond {
		return errors.New("its clock difference is out of range")
	}
	return nil
}

// setAside keeps a broken file for a person to look at and puts d in its place.
func (q *Quota) setAside(d *ledger, cause error) error {
	q.stats.QuotaFaults.Add(1)
	q.cfg.Log.Error("quota file cannot be understood, counting today as spent but for the reserve", "err", cause)
	if err := os.Rename(q.path, q.path+".broken"); err != nil {
		return fmt.Errorf("set the broken quota aside: %w; %s", err, remedyFile)
	}
	if err := q.save(d); err != nil {
		return q.fault("save the quota", err)
	}
	return nil
}

// save replaces the file: written beside it, synced, renamed over it.
func (q *Quota) save(d *ledger) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	tmp := q.path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	err = f.Chmod(fileMode) // a left-over file keeps its mode when opened
	if err == nil {
		_, err = f.Write(append(b, '\n'))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, q.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(q.path))
}

// syncDir makes a rename durable. Windows cannot sync a directory and does not need to.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
