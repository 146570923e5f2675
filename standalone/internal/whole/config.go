// Package whole runs all of the pipeline in one process: simulator (or BMW's
// service), ingest, broker, sink and InfluxDB.
package whole

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
)

// Config is set by flags.
type Config struct {
	Accounts   int
	Cars       int
	History    time.Duration
	Speed      float64
	Seed       uint64
	For        time.Duration
	Data       string
	KafkaAddr  string
	InfluxAddr string
	HTTPAddr   string
	Real       bool
	TokenDir   string
	JSON       bool

	service service      // with Real; the zero value is BMW's
	influx  startsInflux // for tests; nil embeds it
}

// startsInflux starts an InfluxDB on a folder and an address.
type startsInflux func(dir, addr string, log *os.File) (influxServer, error)

// influxServer is a running InfluxDB.
type influxServer interface {
	URL() string
	Close() error
}

func embedInflux(dir, addr string, log *os.File) (influxServer, error) {
	return embedded.StartInflux(embedded.InfluxConfig{Dir: dir, Addr: addr, Log: log})
}

// service says where OAuth and stream are, for tests of --real.
type service struct{ oauthURL, mqttAddr, caFile string }

const about = `standalone runs the whole pipeline in one process: a simulated BMW with cars that
drive and charge, ingest, a broker that speaks Kafka's protocol, the sink, and an InfluxDB 1.8.
At the end (--for, or Ctrl-C) it compares what the simulator sent with what is in InfluxDB.

With --real it uses BMW's service and the accounts of 'cardata login' in place of the simulator.

Usage: standalone [flags]
`

// Parse reads the flags; all faults are reported at once. flag.ErrHelp means
// that the help text was asked for and printed to out.
func Parse(args []string, out io.Writer) (Config, error) {
	var c Config
	f := flag.NewFlagSet("standalone", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.IntVar(&c.Accounts, "accounts", 1, "simulated accounts, 1 to 1000")
	f.IntVar(&c.Cars, "cars", 5, "cars per account, 1 to 100")
	f.DurationVar(&c.History, "history", 168*time.Hour, "past that is fed first, 0s to 2160h")
	f.Float64Var(&c.Speed, "speed", 1, "speed of the cars once live, 1 to 10000")
	f.Uint64Var(&c.Seed, "seed", 1, "seed of cars and days: the same seed gives the same ones")
	f.DurationVar(&c.For, "for", 0, "stop after this time; 0s runs until Ctrl-C")
	f.StringVar(&c.Data, "data", "", "folder of all data (default: in the user's cache folder)")
	f.StringVar(&c.KafkaAddr, "kafka-addr", "127.0.0.1:9092", "address of the broker on 127.0.0.1; a busy port is replaced by a free one")
	f.StringVar(&c.InfluxAddr, "influx-addr", "127.0.0.1:8086", "address of InfluxDB, database cardata; likewise")
	f.StringVar(&c.HTTPAddr, "http-addr", "127.0.0.1:8080", "address of metrics and health; likewise")
	f.BoolVar(&c.Real, "real", false, "use BMW's service and logged-in accounts instead of the simulator")
	f.StringVar(&c.TokenDir, "token-dir", "", "folder of the logged-in accounts, for --real (default: where 'cardata login' puts them)")
	f.BoolVar(&c.JSON, "json", false, "print the ledger as one JSON object on stdout")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(out, about+"\nFlags:\n")
			f.SetOutput(out)
			f.PrintDefaults()
		}
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return c, c.validate()
}

func (c *Config) validate() error {
	var faults []error
	bad := func(name string, value any, allowed string) {
		faults = append(faults, fmt.Errorf("--%s=%v: must be %s", name, value, allowed))
	}
	if c.Accounts < 1 || c.Accounts > 1000 {
		bad("accounts", c.Accounts, "1 to 1000")
	}
	if c.Cars < 1 || c.Cars > 100 {
		bad("cars", c.Cars, "1 to 100")
	}
	if c.History < 0 || c.History > 2160*time.Hour {
		bad("history", c.History, "0s to 2160h")
	}
	if !(c.Speed >= 1 && c.Speed <= 10000) { // also refuses NaN
		bad("speed", c.Speed, "1 to 10000")
	}
	if c.For < 0 {
		bad("for", c.For, "0s or more")
	}
	for _, flag := range []struct{ name, addr string }{
		{"kafka-addr", c.KafkaAddr}, {"influx-addr", c.InfluxAddr}, {"http-addr", c.HTTPAddr},
	} {
		name, addr := flag.name, flag.addr
		host, _, err := net.SplitHostPort(addr)
		switch {
		case err != nil:
			bad(name, addr, "host:port")
		case name == "kafka-addr" && host != "127.0.0.1" && host != "localhost":
			bad(name, addr, "on 127.0.0.1: the embedded broker has no passwords")
		}
	}
	if c.TokenDir != "" {
		if _, err := os.Stat(c.TokenDir); err != nil {
			bad("token-dir", c.TokenDir, "a folder: "+err.Error())
		}
	}
	return errors.Join(faults...)
}
