// Package export wires the export process: what InfluxDB holds becomes a Parquet
// dataset, day by day.
package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// Stats counts what exports did in this life of the process.
type Stats struct {
	Runs       atomic.Int64
	RunsFailed atomic.Int64
	Steps      atomic.Int64 // days of a source that were made
	StepsAgain atomic.Int64 // tries of a day after InfluxDB failed
	Files      atomic.Int64 // published
	Removed    atomic.Int64 // files of days that have no rows any more
	Rows       atomic.Int64 // in published files
	Bytes      atomic.Int64
}

// Progress is told how many of all steps are done, and the one at work.
type Progress func(done, all int, text string)

// Export brings a dataset up to date with InfluxDB. It is for one goroutine.
type Export struct {
	cfg       Config
	log       *slog.Logger
	db        *influx.Client
	target    parquet.Target
	dataset   parquet.Config
	retry     backoff.Policy
	attempts  int
	progress  Progress
	Stats     Stats
	UpToDate  atomic.Int64 // unix seconds of the last run that left nothing to do; 0 before
	LastFault atomic.Pointer[string]
}

// New sets an export up; it asks nothing of InfluxDB or target yet. progress may
// be nil.
func New(cfg Config, target parquet.Target, log *slog.Logger, progress Progress) (*Export, error) {
	if progress == nil {
		progress = func(int, int, string) {}
	}
	e := &Export{
		cfg: cfg, log: log, target: target, progress: progress,
		retry: backoff.Policy{Base: time.Second, Cap: 30 * time.Second}, attempts: 6,
	}
	profile, err := cfg.profile()
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	catalogue, err := loadCatalogue(cfg.Catalogue)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	e.dataset = parquet.Config{Profile: profile, VINLevel: cfg.ExportVINLevel, Catalogue: catalogue, TempDir: cfg.ExportScratchDir}
	if e.db, err = influx.New(influx.Config{
		URL: cfg.InfluxURL, Token: cfg.InfluxToken, Org: cfg.InfluxOrg, Bucket: cfg.InfluxBucket, Log: log,
		User: cfg.InfluxUser, Password: cfg.InfluxPassword, CAFile: cfg.InfluxCAFile, CertFile: cfg.InfluxCertFile, KeyFile: cfg.InfluxKeyFile,
	}); err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	return e, nil
}

// SetRetry says how often a step is tried while InfluxDB is away, and how long the
// first wait is; later ones double. It must be called before Run.
func (e *Export) SetRetry(attempts int, base time.Duration) {
	e.attempts, e.retry.Base = attempts, base
}

// Close releases connections.
func (e *Export) Close() { e.db.Close() }

// Summary says what a run did.
type Summary struct {
	Steps   int   `json:"steps"`   // days of a source that had changed
	Files   int   `json:"files"`   // written
	Same    int   `json:"same"`    // made again and equal, byte for byte
	Removed int   `json:"removed"` // of days that have no rows any more
	Rows    int64 `json:"rows"`    // in files written or equal
	Bytes   int64 `json:"bytes"`
	Planned []Day `json:"planned,omitempty"` // of a dry run
}

// Day is one step of a plan.
type Day struct {
	Day      string   `json:"day"`
	Tables   []string `json:"tables"`
	Vehicles int      `json:"vehicles"`
}

// Run makes the files of the days that sel asks for and that changed since they
// were made. Killed or failed, the same call goes on with the days that are left.
// An error with exit.Partly says that the days before it are done.
func (e *Export) Run(ctx context.Context, sel Selection) (Summary, error) {
	e.Stats.Runs.Add(1)
	sum, err := e.run(ctx, sel)
	if err != nil && ctx.Err() == nil {
		e.Stats.RunsFailed.Add(1)
		e.LastFault.Store(new(err.Error()))
		return sum, err
	}
	if err == nil && !sel.DryRun {
		e.LastFault.Store(nil)
		e.UpToDate.Store(time.Now().Unix())
	}
	return sum, err
}

func (e *Export) run(ctx context.Context, sel Selection) (sum Summary, err error) {
	if err := sel.check(time.Now(), e.cfg.ExportVINLevel, e.dataset.Profile.Name); err != nil {
		return sum, exit.With(exit.Usage, err)
	}
	ds, err := parquet.Open(ctx, e.target, e.of(sel.VINs))
	if err != nil {
		return sum, openFault(err)
	}
	defer func() { err = errors.Join(err, ds.Close(context.WithoutCancel(ctx))) }()

	var steps []work
	if err := e.again(ctx, "plan", func() (err error) {
		steps, err = e.plan(ctx, ds, sel)
		return err
	}); err != nil {
		if _, unknown := errors.AsType[*UnknownVehicleError](err); unknown {
			return sum, exit.With(exit.Usage, err)
		}
		return sum, err
	}
	sum.Steps = len(steps)
	if sel.DryRun {
		sum.Planned = planned(steps)
		return sum, nil
	}
	for i := range steps {
		e.progress(i, len(steps), steps[i].text())
		if err := e.again(ctx, steps[i].text(), func() error { return e.make(ctx, ds, &steps[i], &sum) }); err != nil {
			if i > 0 && ctx.Err() == nil {
				err = exit.With(exit.Partly, fmt.Errorf("%w (%d of %d days are done; the same command goes on)", err, i, len(steps)))
			}
			return sum, err
		}
		e.Stats.Steps.Add(1)
	}
	if wanted(sel, parquet.TableCatalogue) {
		done, err := ds.WriteCatalogue(ctx)
		if err != nil {
			return sum, err
		}
		e.add(&sum, &done)
	}
	e.progress(len(steps), len(steps), "done")
	return sum, nil
}

// of gives the dataset's settings. Without the level vin a file holds every vehicle
// of its day, so that a choice of vehicles is a dataset of its own.
func (e *Export) of(vins []schema.VIN) parquet.Config {
	cfg := e.dataset
	if !cfg.VINLevel {
		cfg.Vehicles = vins
	}
	return cfg
}

// add counts what one step brought.
func (e *Export) add(sum *Summary, done *parquet.Committed) {
	sum.Files += done.Files
	sum.Same += done.Same
	sum.Removed += done.Removed
	sum.Rows += done.Rows
	sum.Bytes += done.Bytes
	e.Stats.Files.Add(int64(done.Files))
	e.Stats.Removed.Add(int64(done.Removed))
	e.Stats.Rows.Add(done.Rows)
	e.Stats.Bytes.Add(done.Bytes)
}

// again tries do until it succeeds, its error is not InfluxDB's being away, or
// the attempts are used up.
func (e *Export) again(ctx context.Context, what string, do func() error) error {
	for attempt := 0; ; attempt++ {
		err := do()
		if err == nil || ctx.Err() != nil || !retryable(err) || attempt+1 >= e.attempts {
			return err
		}
		e.Stats.StepsAgain.Add(1)
		e.log.Warn("influxdb does not answer, trying again", "what", what, "attempt", attempt+1, "err", err)
		if err := backoff.Wait(ctx, e.retry.Delay(attempt)); err != nil {
			return err
		}
	}
}

// retryable says whether InfluxDB may answer later.
func retryable(err error) bool {
	read, ok := errors.AsType[*influx.ReadError](err)
	return ok && read.Class == pipeline.Retryable
}

// openFault gives an error of Open the code and the remedy it needs.
func openFault(err error) error {
	switch {
	case errors.Is(err, parquet.ErrManifest):
		return exit.With(exit.NeedsPerson, err)
	case errors.Is(err, parquet.ErrSettings):
		return exit.With(exit.Usage, err)
	case errors.Is(err, parquet.ErrNewer):
		return exit.With(exit.NeedsPerson, err)
	}
	return err
}

func wanted(sel Selection, table string) bool { return slices.Contains(tablesOf(sel.Tables), table) }

func planned(steps []work) []Day {
	days := make([]Day, len(steps))
	for i := range steps {
		days[i] = Day{steps[i].day.Format(time.DateOnly), steps[i].tables, len(steps[i].vehicles)}
	}
	return days
}

func loadCatalogue(file string) (*schema.Catalogue, error) {
	if file == "" {
		return schema.Default(), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("CARDATA_CATALOGUE: %w", err)
	}
	defer f.Close()
	return schema.LoadCatalogue(f, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
}
