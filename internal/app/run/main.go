// Package run starts a process: arguments, environment, logger, and the error a
// person sees when it ends.
package run

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

// Process is a program that is configured by environment variables alone.
type Process[C any] struct {
	Name  string
	About string // one paragraph for the help text
	Level func(*C) string
	Run   func(ctx context.Context, cfg C, log *slog.Logger) error
}

// Main answers -help and -version, reads the configuration and runs. It prints
// what went wrong to stderr; the error it returns carries the exit code.
func (p Process[C]) Main(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	err := p.main(ctx, args, stdout)
	if exit.Code(err) != exit.Done {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
	}
	return err
}

func (p Process[C]) main(ctx context.Context, args []string, stdout io.Writer) error {
	var cfg C
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	version := flags.Bool("version", false, "print the version")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stdout, "%s\n\nUsage: %s [-help] [-version]\n\nEverything else is set by environment variables:\n\n", p.About, p.Name)
		return env.Help(stdout, &cfg)
	case err != nil:
		return exit.With(exit.Usage, fmt.Errorf("%w; see %s -help", err, p.Name))
	case flags.NArg() > 0:
		return exit.With(exit.Usage, fmt.Errorf("unexpected argument %q; see %s -help", flags.Arg(0), p.Name))
	case *version:
		fmt.Fprintln(stdout, p.Name, ops.Version())
		return nil
	}
	if err := env.Load(&cfg); err != nil {
		return exit.With(exit.Usage, fmt.Errorf("configuration:\n%w", err))
	}
	log, err := ops.Logger(stdout, p.Level(&cfg))
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	return p.Run(ctx, cfg, log)
}
