// Command export: export brings what InfluxDB holds into a Parquet dataset.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // local times of charging sessions, where the machine has no zones

	_ "gocloud.dev/blob/s3blob" // the one kind of bucket that is tested

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export/cli"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from here on a second signal kills at once
	os.Exit(exit.Code(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)))
}
