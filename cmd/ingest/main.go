// Command ingest: ingest keeps the CarData streams of all accounts connected, journals what they send, and carries it as typed readings to Kafka.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ingest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/run"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from here on a second signal kills at once
	process := run.Process[ingest.Config]{
		Name:  "ingest",
		About: "ingest keeps the CarData streams of all accounts connected, journals what they send, and carries it as typed readings to Kafka.",
		Level: func(c *ingest.Config) string { return c.LogLevel },
		Run:   ingest.Run,
	}
	os.Exit(exit.Code(process.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)))
}
