package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/influxdata/influxdb/cmd/influxd/run"
	"github.com/influxdata/influxdb/services/httpd"
)

// Influx is an InfluxDB 1.8 in this process.
type Influx struct {
	server *run.Server
	addr   string
}

// InfluxConfig says where InfluxDB lives.
type InfluxConfig struct {
	Dir  string
	Addr string   // host:port; a port of 0 takes a free one
	Log  *os.File // its own log
}

// StartInflux opens the folder and serves.
func StartInflux(cfg InfluxConfig) (*Influx, error) {
	c := run.NewConfig()
	c.ReportingDisabled = true // it would phone home
	c.BindAddress = "127.0.0.1:0"
	c.Meta.Dir = filepath.Join(cfg.Dir, "meta")
	c.Data.Dir = filepath.Join(cfg.Dir, "data")
	c.Data.WALDir = filepath.Join(cfg.Dir, "wal")
	c.Data.Index = "tsi1"
	c.Data.QueryLogEnabled = false
	c.HTTPD.BindAddress = cfg.Addr
	c.HTTPD.LogEnabled = false
	c.HTTPD.FluxEnabled = false // costs 5 to 10 s at each start
	c.Monitor.StoreEnabled = false
	c.Subscriber.Enabled = false
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("embedded influxdb: %w", err)
	}
	server, err := run.NewServer(c, &run.BuildInfo{Version: "1.8.10", Branch: "embedded"})
	if err != nil {
		return nil, fmt.Errorf("embedded influxdb: %w", err)
	}
	server.SetLogOutput(cfg.Log)
	if err := openQuietly(server, cfg.Log); err != nil {
		return nil, fmt.Errorf("embedded influxdb: %w", errors.Join(err, server.Close()))
	}
	i := &Influx{server: server}
	for _, s := range server.Services {
		if h, ok := s.(*httpd.Service); ok {
			i.addr = h.Addr().String()
		}
	}
	return i, nil
}

// Addr is the address of its HTTP API.
func (i *Influx) Addr() string { return i.addr }

// URL is the address of its HTTP API as clients take it.
func (i *Influx) URL() string { return "http://" + i.addr }

// Close stops InfluxDB; its clients should have gone before.
func (i *Influx) Close() error { return i.server.Close() }

// openQuietly opens the server with the process's stderr set aside: its
// connection multiplexer takes os.Stderr as it stands then, and would complain
// there about its own orderly end.
func openQuietly(server *run.Server, log *os.File) error {
	stderr := os.Stderr
	os.Stderr = log
	defer func() { os.Stderr = stderr }()
	return server.Open()
}
