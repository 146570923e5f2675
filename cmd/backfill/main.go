// Command backfill: backfill fetches from CarData's REST side what the stream
// does not bring.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/backfill/cli"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from here on a second signal kills at once
	os.Exit(exit.Code(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)))
}
