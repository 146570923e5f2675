package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded/influxproc"
)

var (
	store     influx.Config // of the server, without a bucket
	binary    string        // of export
	databases atomic.Int64
)

// TestMain finds one InfluxDB: the one that CARDATA_TEST_INFLUX1 or
// CARDATA_TEST_INFLUX2 names, else the embedded one. Each test has a database of
// its own.
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
	stop, err := findStore(dir)
	if err != nil {
		return 0, err
	}
	defer stop()
	return m.Run(), nil
}

func findStore(dir string) (stop func(), err error) {
	if address, token, _ := strings.Cut(os.Getenv("CARDATA_TEST_INFLUX1"), ","); address != "" {
		store = influx.Config{URL: address, Token: pipeline.Secret(token)}
		return func() {}, nil
	}
	if address, token, _ := strings.Cut(os.Getenv("CARDATA_TEST_INFLUX2"), ","); address != "" {
		store = influx.Config{URL: address, Token: pipeline.Secret(token), Org: os.Getenv("CARDATA_TEST_INFLUX2_ORG")}
		return func() {}, nil
	}
	log, err := os.Create(filepath.Join(dir, "influxdb.log"))
	if err != nil {
		return nil, err
	}
	program, err := influxproc.Build(dir)
	if err != nil {
		return nil, err
	}
	server, err := influxproc.Start(program, filepath.Join(dir, "influxdb"), "127.0.0.1:0", log)
	if err != nil {
		return nil, err
	}
	store = influx.Config{URL: server.URL()}
	return func() { _ = errors.Join(server.Close(), log.Close()) }, nil
}

// newDatabase gives a client of an empty database, or of an empty bucket with a
// mapping for InfluxQL.
func newDatabase(tb testing.TB) (*influx.Client, string) {
	tb.Helper()
	cfg := store
	cfg.Bucket = fmt.Sprintf("dataset_%d_%d", os.Getpid(), databases.Add(1))
	if cfg.Org != "" {
		makeBucket(tb, cfg.Bucket)
	}
	c, err := influx.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	if err := c.EnsureDatabase(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return c, cfg.Bucket
}

// makeBucket makes a bucket on 2.x.
func makeBucket(tb testing.TB, name string) {
	tb.Helper()
	var orgs struct{ Orgs []struct{ ID string } }
	call2(tb, http.MethodGet, "/api/v2/orgs?org="+url.QueryEscape(store.Org), "", &orgs)
	var made struct{ ID string }
	call2(tb, http.MethodPost, "/api/v2/buckets", fmt.Sprintf(`{"orgID":%q,"name":%q}`, orgs.Orgs[0].ID, name), &made)
	var mapped map[string]any
	call2(tb, http.MethodPost, "/api/v2/dbrps", fmt.Sprintf(`{"orgID":%q,"bucketID":%q,"database":%q,"retention_policy":"autogen","default":true}`,
		orgs.Orgs[0].ID, made.ID, name), &mapped)
}

// call2 asks the interface of 2.x.
func call2(tb testing.TB, method, path, body string, into any) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, store.URL+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+string(store.Token))
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		tb.Fatalf("%s %s: %s: %s, %v", method, path, resp.Status, answer, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer, into); err != nil {
		tb.Fatal(err)
	}
}

// environment gives the variables that lead a process to a database.
func environment(bucket string) []string {
	return []string{
		"CARDATA_INFLUX_URL=" + store.URL, "CARDATA_INFLUX_TOKEN=" + string(store.Token), "CARDATA_INFLUX_ORG=" + store.Org,
		"CARDATA_INFLUX_BUCKET=" + bucket,
	}
}
