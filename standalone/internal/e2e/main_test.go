package e2e

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

var (
	binaries string        // folder of ingest, sink, standalone
	store    influx.Config // with no bucket yet
	client   = &http.Client{Timeout: 10 * time.Second}
)

// TestMain builds the processes once and finds one InfluxDB; each test has a
// database, and a broker or topics, of its own.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("end-to-end tests are left out with -short")
		return
	}
	code, err := prepare(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code) //nolint:forbidigo // the end of a TestMain that starts servers
}

func prepare(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "cardata-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binaries = dir
	for _, b := range []struct{ in, pkg string }{{"../../..", "./cmd/ingest"}, {"../../..", "./cmd/sink"}, {"../..", "."}} {
		name := filepath.Base(b.pkg)
		if name == "." {
			name = "standalone"
		}
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), b.pkg)
		build.Dir = b.in
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	log, err := os.Create(filepath.Join(dir, "influxdb.log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	var stop func()
	if store, stop, err = startStore(dir, log); err != nil {
		return 0, err
	}
	defer stop()
	// Most of a test's time is waiting for something to come back.
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() == f.DefValue {
		_ = f.Value.Set("4")
	}
	return m.Run(), nil
}
