// Command standalone runs the whole pipeline in one process, with a simulated
// BMW or with the real one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/whole"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from here on a second signal kills at once
	os.Exit(exit.Code(run(ctx)))
}

func run(ctx context.Context) error {
	cfg, err := whole.Parse(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		err = exit.With(exit.Usage, fmt.Errorf("%w\nsee standalone --help", err))
	default:
		err = whole.Run(ctx, cfg, os.Stdout, os.Stderr)
	}
	if exit.Code(err) != exit.Done {
		fmt.Fprintf(os.Stderr, "standalone: %v\n", err)
	}
	return err
}
