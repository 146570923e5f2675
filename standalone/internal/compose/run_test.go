package compose

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded/influxproc"
)

// build builds every command as the image has them.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/...")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// newEngine gives an engine around a broker and an InfluxDB: embedded, or those
// of CARDATA_TEST_KAFKA (host:port) and CARDATA_TEST_INFLUX2 (URL,token; its
// CARDATA_TEST_INFLUX2_ORG).
func newEngine(t *testing.T, binaries string, profiles ...string) (*engine, influx.Config) {
	t.Helper()
	e := &engine{
		t: t, project: project(t, profiles...), binaries: binaries, volumes: t.TempDir(),
		settings: map[string]string{}, running: map[string]*process{},
	}
	simulator, stream := e.free(), e.free()
	e.instead = map[string]string{
		"kafka:9092": startKafka(t, e), "http://influxdb:8086": "",
		"simulator:8443": simulator, "localhost:8443": simulator, "--http-addr=:8443": "--http-addr=" + simulator,
		"simulator:9000": stream, "--mqtt-addr=:9000": "--mqtt-addr=" + stream, "--host=simulator": "--host=127.0.0.1",
	}
	cfg := startInflux(t, e)
	e.instead["http://influxdb:8086"] = cfg.URL
	return e, cfg
}

func startKafka(t *testing.T, e *engine) string {
	t.Helper()
	if addr := os.Getenv("CARDATA_TEST_KAFKA"); addr != "" {
		e.settings["CARDATA_TOPIC_PREFIX"] = "compose" + strconv.FormatInt(time.Now().UnixNano(), 36) + "."
		return addr
	}
	b, err := embedded.StartBroker(embedded.BrokerConfig{Dir: filepath.Join(e.volumes, "kafka")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Addr()
}

func startInflux(t *testing.T, e *engine) influx.Config {
	t.Helper()
	if url, token, _ := strings.Cut(os.Getenv("CARDATA_TEST_INFLUX2"), ","); url != "" && there("internal/app/setup") { // which makes the bucket
		org, bucket := os.Getenv("CARDATA_TEST_INFLUX2_ORG"), "compose_"+strconv.FormatInt(time.Now().UnixNano(), 36)
		e.settings["CARDATA_INFLUX_TOKEN"], e.settings["CARDATA_INFLUX_ORG"], e.settings["CARDATA_INFLUX_BUCKET"] = token, org, bucket
		return influx.Config{URL: url, Token: pipeline.Secret(token), Org: org, Bucket: bucket}
	}
	log, err := os.Create(filepath.Join(e.volumes, "influxdb.log"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := influxproc.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server, err := influxproc.Start(program, filepath.Join(e.volumes, "influxdb"), "127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(); _ = log.Close() })
	return influx.Config{URL: server.URL(), Bucket: "cardata"}
}

// TestProfilesRun runs both ways of the file's head.
func TestProfilesRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs every process")
	}
	binaries := build(t)
	t.Run("demo", func(t *testing.T) { demo(t, binaries) })
	t.Run("real, before any login", func(t *testing.T) { beforeLogin(t, binaries) })
}

// demo: simulated cars arrive in InfluxDB, with the past, live values and charging
// sessions, and everything that lasts is healthy and ends well.
func demo(t *testing.T, binaries string) {
	t.Helper()
	e, cfg := newEngine(t, binaries, "demo")
	e.up()
	for _, name := range []string{"simulator", "demo-ingest", "demo-backfill", "sink", "export"} {
		if e.running[name] != nil {
			e.healthy(name)
		}
	}
	e.ended("demo-history", 0, 4) // 4: more sessions than a day's calls
	db, err := influx.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	from := time.Now().UnixMilli()
	for what, query := range map[string]string{
		"5 cars, a week of readings": `SELECT count("number") FROM "reading" WHERE "descriptor" = 'vehicle.vehicle.travelledDistance' GROUP BY "vin"`,
		"live readings":              fmt.Sprintf(`SELECT count("number") FROM "reading" WHERE time > %dms GROUP BY "vin"`, from-60_000),
		"charging sessions":          `SELECT count("running") FROM "charging_session" GROUP BY "vin"`,
	} {
		want := 1
		if strings.HasPrefix(what, "5") {
			want = 5
		}
		e.arrives(db, what, query, want)
	}
	e.down()
}

// arrives waits until a query gives at least so many rows.
func (e *engine) arrives(db *influx.Client, what, query string, want int) {
	e.t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(3 * time.Minute)
	for {
		rows := 0
		err := db.Query(e.t.Context(), query, func(influx.Row) error { rows++; return nil })
		if err == nil && rows >= want {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			e.t.Fatalf("%s: %d rows, %v; want %d", what, rows, err, want)
		}
	}
}

// beforeLogin: without an account all processes stand and wait for one.
func beforeLogin(t *testing.T, binaries string) {
	t.Helper()
	e, _ := newEngine(t, binaries)
	e.up()
	for _, name := range []string{"ingest", "backfill", "sink"} {
		e.healthy(name)
	}
	if e.running["export"] != nil {
		e.healthy("export")
	}
	e.down()
}

// TestDemoLogsInAsTheSimulatorsAccount holds the client id of the file to the
// simulator's seed and number of accounts, which the file's command has too.
func TestDemoLogsInAsTheSimulatorsAccount(t *testing.T) {
	p := project(t, "demo")
	if words := p.Services["simulator"].Command; !slices.Contains(words, "--seed=1") || !slices.Contains(words, "--auto-approve") {
		t.Errorf("simulator runs as %v; demo-login needs --seed=1 and --auto-approve", words)
	}
}
