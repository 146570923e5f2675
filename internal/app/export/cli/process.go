package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/dir"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/object"
)

// process is what one command works with.
type process struct {
	export  *export.Export
	tables  []string
	closing func()
}

// load reads the environment and opens what the command needs. Logs go to
// stderr, so that stdout is the command's own.
func load(cmd *cobra.Command, flags *common, shown export.Progress) (*process, error) {
	var cfg export.Config
	if err := env.Load(&cfg); err != nil {
		return nil, exit.With(exit.Usage, fmt.Errorf("configuration:\n%w", err))
	}
	flags.apply(&cfg)
	if err := cfg.Validate(); err != nil { // a flag may be wrong as well
		return nil, exit.With(exit.Usage, err)
	}
	level := cfg.LogLevel
	if cmd.Name() != "watch" && level == "info" {
		level = "warn" // progress and summary tell the rest
	}
	log, err := ops.Logger(cmd.ErrOrStderr(), level)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	target, closeTarget, err := open(cmd.Context(), cfg.ExportTarget)
	if err != nil {
		return nil, err
	}
	p := &process{closing: closeTarget}
	if p.export, err = export.New(cfg, target, log, shown); err != nil {
		closeTarget()
		return nil, err
	}
	p.tables, _ = export.ParseTables(cfg.ExportTables) // Validate has read them
	return p, nil
}

func (p *process) close() {
	p.export.Close()
	p.closing()
}

// open tells a bucket from a folder by its address.
func open(ctx context.Context, target string) (parquet.Target, func(), error) {
	if !strings.Contains(target, "://") {
		folder, err := dir.New(target)
		return folder, func() {}, err
	}
	bucket, err := object.Open(ctx, target, object.Config{})
	if err != nil {
		return nil, nil, err
	}
	return bucket, func() { _ = bucket.Close() }, nil
}
