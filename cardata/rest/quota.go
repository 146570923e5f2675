package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// QuotaConfig tunes a Quota.
type QuotaConfig struct {
	Limit   int          // calls a day, 1 or more; 0 is 50 (CarData API, section 3.2)
	Reserve int          // of them for UseOwner alone; 0 is a fifth of Limit, so 10, negative is none
	Log     *slog.Logger // nil is silent
	Stats   *QuotaStats  // may be shared; nil for an own one
}

// QuotaStats counts what Quotas of this process did.
type QuotaStats struct {
	QuotaCalls    atomic.Int64 // booked, cardata_quota_calls_total
	QuotaRefusals atomic.Int64 // bookings refused, cardata_quota_refusals_total
	QuotaLatches  atomic.Int64 // days ended by CU-429, cardata_quota_latches_total
	QuotaFaults   atomic.Int64 // quota files that could not be read or written, cardata_quota_faults_total
}

// QuotaDay is what is known of one UTC day.
type QuotaDay struct {
	Day     string `json:"day"`     // YYYY-MM-DD
	Spent   int    `json:"spent"`   // booked by this project's processes
	Foreign int    `json:"foreign"` // spent by others on the account, as far as known
}

// QuotaStatus is a Quota at one moment.
type QuotaStatus struct {
	Day          string     `json:"day"`                    // YYYY-MM-DD, UTC by BMW's clock
	Limit        int        `json:"limit"`                  // calls a day
	Reserve      int        `json:"reserve"`                // of them for UseOwner alone
	Spent        int        `json:"spent"`                  // booked today by this project's processes
	Foreign      int        `json:"foreign"`                // spent today by others, known once BMW said CU-429
	Expected     int        `json:"expected"`               // by others: the most of the last 7 days
	Left         int        `json:"left"`                   // what UseOwner may still book today
	Scheduled    int        `json:"scheduled"`              // what UseScheduled may still book today
	LatchedUntil time.Time  `json:"latched_until,omitzero"` // zero when open
	Resets       time.Time  `json:"resets"`                 // next 00:00 UTC, by our clock
	History      []QuotaDay `json:"history"`                // earlier days, newest first, at most 30
}

// QuotaError says that calls must not go out.
type QuotaError struct {
	Spent, Limit, Reserve int
	Use                   Use
	Until                 time.Time // when calls are free again
	Latched               bool      // BMW itself said so
}

// Error says what is spent and until when.
func (e *QuotaError) Error() string {
	until := e.Until.UTC().Format("2006-01-02 15:04 UTC")
	if e.Latched {
		return fmt.Sprintf("BMW refuses calls until %s (%d of %d are ours)", until, e.Spent, e.Limit)
	}
	return fmt.Sprintf("%d of %d calls are spent, the rest is reserved or others' until %s", e.Spent, e.Limit, until)
}

func (e *QuotaError) remedy() string {
	switch {
	case e.Latched:
		return remedyQuota
	case e.Use == UseScheduled && e.Spent < e.Limit:
		return "wait for 00:00 UTC; the rest is kept for commands such as doctor"
	default:
		return "wait for 00:00 UTC"
	}
}

const (
	defaultLimit = 50 // CarData API, section 3.2
	expectDays   = 7  // how long others' spending is remembered for planning
	historyDays  = 30
	lowMargin    = 5 // above the reserve
	// leastScheduled stays open to a timetable however much others spent on
	// another day: one bad day must not silence seven, and a refused call costs
	// nothing but itself.
	leastScheduled = 5
	// lateAnswer is how long after 00:00 UTC a refusal may still be about a call
	// of the day before.
	lateAnswer = 2 * time.Minute
)

// Quota is the count of one account's calls in a file that all its processes
// share under a lock. It is safe for concurrent use and holds nothing open.
//
// Its day is UTC by BMW's clock, as far as a Client has seen that. A day that is
// behind the file's own means that a clock went back: the calls of both then
// count together, so that no clock gives calls away.
type Quota struct {
	path  string
	cfg   QuotaConfig
	stats *QuotaStats
}

var (
	_ Budget      = (*Quota)(nil)
	_ clockBudget = (*Quota)(nil)
)

// QuotaPath gives the quota file of an account beside its token file.
func QuotaPath(tokenDir string, gcid schema.GCID) string {
	return filepath.Join(tokenDir, string(gcid)+".quota.json")
}

// OpenQuota names a quota file; it opens nothing yet. The file, its lock and its
// directory are made by the first booking.
func OpenQuota(path string, cfg QuotaConfig) *Quota {
	if cfg.Limit <= 0 {
		cfg.Limit = defaultLimit
	}
	switch {
	case cfg.Reserve < 0:
		cfg.Reserve = 0
	case cfg.Reserve == 0:
		cfg.Reserve = cfg.Limit / 5
	default:
		cfg.Reserve = min(cfg.Reserve, cfg.Limit)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Stats == nil {
		cfg.Stats = new(QuotaStats)
	}
	return &Quota{path: path, cfg: cfg, stats: cfg.Stats}
}

// Stats gives the counters, which QuotaConfig.Stats may have named.
func (q *Quota) Stats() *QuotaStats { return q.stats }

// Book counts calls against the day before they go out, all or none. The error is
// a *QuotaError, or says why the count cannot be kept; then nothing may go out
// either, since an uncounted call could be the one too many.
func (q *Quota) Book(ctx context.Context, calls int, use Use) error {
	if calls < 0 {
		return fmt.Errorf("book %d calls: the number must not be negative", calls)
	}
	return q.change(ctx, func(d *ledger) (changed bool, err error) {
		s := q.status(d)
		free := s.Scheduled
		if use == UseOwner {
			free = s.Left
		}
		if calls > free || calls == 0 && !s.LatchedUntil.IsZero() {
			q.stats.QuotaRefusals.Add(1)
			return false, &QuotaError{
				Spent: s.Spent, Limit: s.Limit, Reserve: s.Reserve, Use: use,
				Until: s.Resets, Latched: !s.LatchedUntil.IsZero(),
			}
		}
		d.Spent += calls
		q.stats.QuotaCalls.Add(int64(calls))
		q.warnLow(d, s.Left-calls, s.Resets)
		return calls > 0, nil
	})
}

func (q *Quota) warnLow(d *ledger, left int, resets time.Time) {
	if d.Low || left > q.cfg.Reserve+lowMargin {
		return
	}
	d.Low = true
	q.cfg.Log.Warn("rest quota runs low", "spent", d.Spent, "limit", q.cfg.Limit, "reserve", q.cfg.Reserve, "left", left, "resets", resets)
}

// Exhausted latches the quota until 00:00 UTC. When fewer calls than the limit are
// ours, others on the account must have spent the rest: that is noted, and later
// days plan with it.
func (q *Quota) Exhausted(ctx context.Context) error {
	return q.change(ctx, func(d *ledger) (changed bool, err error) {
		at := d.now()
		if d.Latched || d.Spent == 0 && len(d.History) > 0 && at.Sub(at.Truncate(24*time.Hour)) < lateAnswer {
			return false, nil
		}
		d.Latched = true
		d.Foreign = max(d.Foreign, q.cfg.Limit-d.Spent)
		q.stats.QuotaLatches.Add(1)
		q.cfg.Log.Warn("rest quota is used up", "spent", d.Spent, "spent_by_others", d.Foreign, "limit", q.cfg.Limit, "until", q.status(d).Resets)
		return true, nil
	})
}

// SetSkew tells how far BMW's clock is ahead of ours; its clock rules the day.
// More than a day is no skew but a wrong answer, and ignored.
func (q *Quota) SetSkew(ctx context.Context, skew time.Duration) {
	if skew.Abs() > maxSkewKept {
		return
	}
	err := q.change(ctx, func(d *ledger) (changed bool, err error) {
		before := time.Duration(d.SkewMS) * time.Millisecond
		if (before - skew).Abs() < skewStep {
			return false, nil
		}
		d.SkewMS = skew.Milliseconds()
		d.roll(d.now())
		return true, nil
	})
	if err != nil {
		q.cfg.Log.Warn("clock difference cannot be kept with the quota", "err", err)
	}
}

// Status gives the present count without changing it, and without the lock.
func (q *Quota) Status(_ context.Context) (QuotaStatus, error) {
	d, err := q.load()
	if err != nil && !errors.Is(err, errQuotaBroken) {
		return QuotaStatus{}, err
	}
	d.roll(d.now())
	return q.status(&d), nil
}

// status reckons what may still be booked.
func (q *Quota) status(d *ledger) QuotaStatus {
	at := d.now()
	s := QuotaStatus{
		Day: d.Day, Limit: q.cfg.Limit, Reserve: q.cfg.Reserve, Spent: d.Spent, Foreign: d.Foreign,
		Expected: d.expected(at), Resets: nextMidnight(at).Add(-time.Duration(d.SkewMS) * time.Millisecond),
		History: d.History,
	}
	if d.Latched {
		s.LatchedUntil = s.Resets
		return s
	}
	s.Left = max(s.Limit-s.Spent-s.Foreign, 0)
	open := s.Limit - s.Reserve
	s.Scheduled = max(min(max(open-s.Expected, min(leastScheduled, open))-s.Spent, s.Left), 0)
	return s
}
