// Command influxd is the embedded InfluxDB as a process of its own, for tests: see
// package influxproc. It ends with its standard input, or by a signal.
//
//	influxd DIR ADDR
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // a main
	}
}

func run() error {
	if len(os.Args) != 3 {
		return errors.New("usage: influxd DIR ADDR")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := embedded.StartInflux(embedded.InfluxConfig{Dir: os.Args[1], Addr: os.Args[2], Log: os.Stderr})
	if err != nil {
		return err
	}
	fmt.Println(server.Addr())
	go func() { // ends with the parent
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	<-ctx.Done()
	return server.Close()
}
