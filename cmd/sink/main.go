// Command sink: sink writes the readings and gaps of Kafka to InfluxDB.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/run"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/sink"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from here on a second signal kills at once
	process := run.Process[sink.Config]{
		Name:  "sink",
		About: "sink writes the readings and gaps of Kafka to InfluxDB.",
		Level: func(c *sink.Config) string { return c.LogLevel },
		Run:   sink.Run,
	}
	os.Exit(exit.Code(process.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)))
}
