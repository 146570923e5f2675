package whole

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
	_ "time/tzdata" // local times of charging sessions, where the machine has no zones

	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/dir"
)

// exportEvery is how often the dataset is brought up to date while cars are live.
const exportEvery = time.Hour

// datasetSide is the Parquet files.
type datasetSide struct {
	dir    string
	export *export.Export
	done   chan struct{} // closed when nothing exports any more
}

// datasetFigures is what the ledger tells of the Parquet files.
type datasetFigures struct {
	Dir      string `json:"dir"`
	Files    int    `json:"files"`    // of all runs on this data
	Readings int64  `json:"readings"` // rows of table readings
}

func (w *whole) setUpExport(context.Context) error {
	var cfg export.Config
	if err := env.Defaults(&cfg); err != nil {
		return err
	}
	cfg.InfluxURL = w.influx.URL()
	d := &datasetSide{dir: filepath.Join(w.dir, "parquet"), done: make(chan struct{})}
	target, err := dir.New(d.dir)
	if err != nil {
		return err
	}
	if d.export, err = export.New(cfg, target, w.log, nil); err != nil {
		return err
	}
	w.closers = append(w.closers, func() error { d.export.Close(); return nil })
	w.dataset = d
	return nil
}

// goExport brings the dataset up to date in the flow, first when the past is in
// InfluxDB, then each hour; stop ends it and waits.
func (w *whole) goExport(flow *errgroup.Group, ctx context.Context) (stop func()) { //nolint:revive // the group owns the goroutine, the context is its life
	ctx, cancel := context.WithCancel(ctx)
	flow.Go(func() error {
		defer close(w.dataset.done)
		w.exports(ctx)
		return nil
	})
	return func() {
		cancel()
		<-w.dataset.done
	}
}

func (w *whole) exports(ctx context.Context) {
	w.pastIsStored(ctx)
	tick := time.NewTicker(exportEvery)
	defer tick.Stop()
	for first := true; ctx.Err() == nil; first = false {
		sum, err := w.dataset.export.Run(ctx, export.Selection{})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.report.say("Parquet: %v", err)
		case first:
			w.report.say("Parquet: %d files with %d rows are in %s", sum.Files+sum.Same, sum.Rows, w.dataset.dir)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// pastIsStored waits until the simulator has fed the past, backfill has fetched
// and all of it has come through. With the real service there is no past to wait for.
func (w *whole) pastIsStored(ctx context.Context) {
	if w.sim == nil {
		return
	}
	for _, done := range []<-chan struct{}{w.sim.HistoryDone(), w.rest.done} {
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for quiet := 0; quiet < 5; quiet++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if w.ingest.Behind() > 5 || w.sink.Behind() > 0 {
			quiet = 0
		}
	}
}

// lastExport brings what came since into the dataset, and counts it.
func (w *whole) lastExport(ctx context.Context) (datasetFigures, error) {
	f := datasetFigures{Dir: w.dataset.dir}
	if _, err := w.dataset.export.Run(ctx, export.Selection{}); err != nil {
		return f, fmt.Errorf("export to parquet: %w", err)
	}
	held, err := w.dataset.export.Held(ctx)
	if err != nil {
		return f, fmt.Errorf("count what parquet holds: %w", err)
	}
	f.Files, f.Readings = held.Files, held.Rows["readings"]
	return f, nil
}
