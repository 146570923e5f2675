package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// Watch brings the dataset up to date at once and then each CARDATA_EXPORT_EVERY,
// until ctx ends. A run that fails is tried again at the next time; only what
// needs a person or another configuration ends it.
func (e *Export) Watch(ctx context.Context, tables []string) error {
	server, err := ops.Listen(ctx, e.cfg.HTTPAddr, e.registry(), e.checks(), e.log)
	if err != nil {
		return err
	}
	e.log.Info("export watches", "version", ops.Version(), "every", e.cfg.ExportEvery.String(), "http_addr", server.Addr())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Run(ctx) })
	g.Go(func() error { return e.repeat(ctx, Selection{Tables: tables}) }) // ends with ctx
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func (e *Export) repeat(ctx context.Context, sel Selection) error {
	tick := time.NewTicker(e.cfg.ExportEvery)
	defer tick.Stop()
	for {
		sum, err := e.Run(ctx, sel)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			e.log.Info("export is up to date", "days", sum.Steps, "files", sum.Files, "removed", sum.Removed, "rows", sum.Rows)
		case errors.Is(err, parquet.ErrLocked):
			e.log.Warn("another export is at work, trying again at the next time", "err", err)
		case exit.Code(err) == exit.Usage || exit.Code(err) == exit.NeedsPerson:
			return err
		default:
			e.log.Error("export has failed, trying again at the next time", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (e *Export) registry() *prometheus.Registry {
	r := ops.Registry(ops.Version())
	ops.Counters(r, "export", &e.Stats)
	ops.Counters(r, "influx", &e.db.Stats)
	ops.Gauge(r, "export_up_to_date_timestamp_seconds", "Unix time of the last run after which nothing was left to do; 0 before the first.",
		func() float64 { return float64(e.UpToDate.Load()) })
	return r
}

func (e *Export) checks() []ops.Check {
	return []ops.Check{{Name: "export", Test: func(context.Context) error {
		if fault := e.LastFault.Load(); fault != nil {
			return fmt.Errorf("the last run failed: %s", *fault)
		}
		return nil
	}}}
}
