package dataset

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
)

var (
	store     *embedded.Influx
	binary    string // of export
	databases atomic.Int64
)

// TestMain starts one InfluxDB; each test has a database of its own.
func TestMain(m *testing.M) {
	code, err := prepare(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code) //nolint:forbidigo // the end of a TestMain that starts a server
}

func prepare(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "cardata-dataset-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "export")
	build := exec.Command("go", "build", "-o", binary, "./cmd/export")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build export: %w\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "influxdb.log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	if store, err = embedded.StartInflux(embedded.InfluxConfig{Dir: filepath.Join(dir, "influxdb"), Addr: "127.0.0.1:0", Log: log}); err != nil {
		return 0, err
	}
	defer store.Close()
	return m.Run(), nil
}

// newDatabase gives a client of an empty database.
func newDatabase(t *testing.T) (*influx.Client, string) {
	t.Helper()
	name := fmt.Sprint("dataset_", databases.Add(1))
	c, err := influx.New(influx.Config{URL: store.URL(), Bucket: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.EnsureDatabase(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, name
}
