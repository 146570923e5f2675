package whole

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded/influxproc"
)

// small is a run of a few seconds on free ports. Its past is a whole day: at night cars
// park, and a few hours would be nearly empty.
func small(t *testing.T) Config {
	t.Helper()
	c, err := Parse([]string{
		"--cars", "2", "--history", "24h", "--for", "3s", "--speed", "60", "--data", filepath.Join(t.TempDir(), "data"), "--json",
		"--kafka-addr", "127.0.0.1:0", "--influx-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	c.influx = besideUs
	return c
}

// influxd is the program of the InfluxDB beside the process under test.
var influxd string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "cardata-whole-")
	if err == nil {
		influxd, err = influxproc.Build(dir)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code) //nolint:forbidigo // the end of a TestMain
}

func besideUs(dir, addr string, log *os.File) (influxServer, error) {
	return influxproc.Start(influxd, dir, addr, log)
}

// screen is a terminal that several goroutines write to.
type screen struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

type report struct {
	Accounts []map[string]any `json:"accounts"`
	Total    map[string]any   `json:"total"`
	Sessions map[string]int   `json:"charging_sessions"`
	Calls    map[string]int   `json:"rest_calls"`
	Parquet  struct {
		Dir      string
		Files    int
		Readings float64
	} `json:"parquet"`
}

func runJSON(t *testing.T, cfg Config) (report, string) {
	t.Helper()
	var stdout, stderr screen
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := Run(ctx, cfg, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if n := strings.Count(stdout.String(), "\n"); n != 1 {
		t.Errorf("%d lines on stdout, want one:\n%s", n, stdout.String())
	}
	var r report
	if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	return r, stderr.String()
}

func (r *report) figure(t *testing.T, name string) float64 {
	t.Helper()
	n, ok := r.Total[name].(float64)
	if !ok {
		t.Fatalf("total has no figure %s: %v", name, r.Total)
	}
	return n
}

func TestRunAndRestart(t *testing.T) {
	cfg := small(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg.KafkaAddr = taken.Addr().String()

	first, said := runJSON(t, cfg)
	fields := []string{"sent", "in_gap", "received", "duplicates", "revised", "dead_letters", "stored", "points", "lost"}
	for _, f := range fields {
		if len(first.Accounts) != 1 || first.Accounts[0][f] != first.Total[f] || first.Total[f] == nil {
			t.Errorf("%s: accounts %v, total %v", f, first.Accounts, first.Total[f])
		}
	}
	if first.figure(t, "lost") != 0 || first.figure(t, "wrong") != 0 || first.figure(t, "sent") < 500 {
		t.Errorf("ledger %v", first.Total)
	}
	// Within one life the figures add up: each message is one reading here.
	if got, want := first.figure(t, "received"), first.figure(t, "sent"); got != want {
		t.Errorf("%v received, %v sent", got, want)
	}
	if got, want := first.figure(t, "stored")+first.figure(t, "duplicates"), first.figure(t, "sent"); got != want {
		t.Errorf("stored and duplicates are %v, sent were %v", got, want)
	}
	// REST brings points of keys that never stream, and no others.
	if got, want := first.figure(t, "points"), first.figure(t, "stored")-first.figure(t, "revised"); got < want || got > want+200 {
		t.Errorf("%v points, want stored less revised, %v, and some of REST", got, want)
	}
	if got, want := first.Parquet.Readings, first.figure(t, "points"); got != want || first.Parquet.Files == 0 {
		t.Errorf("parquet %+v, want the %v points of InfluxDB", first.Parquet, want)
	}
	for _, want := range []string{cfg.Data, "is taken, using 127.0.0.1:", "nothing is lost", "the past is fed", "cardata.readings"} {
		if !strings.Contains(said, want) {
			t.Errorf("the terminal lacks %q:\n%s", want, said)
		}
	}
	for _, foreign := range []string{"[httpd]", "level=", "lvl=", "INFO", "ERROR"} {
		if strings.Contains(said, foreign) {
			t.Errorf("the terminal shows %q:\n%s", foreign, said)
		}
	}

	second, _ := runJSON(t, cfg)
	if second.figure(t, "lost") != 0 || second.figure(t, "wrong") != 0 {
		t.Errorf("ledger of the second run %v", second.Total)
	}
	if sent := second.figure(t, "sent"); sent > first.figure(t, "sent")/2 {
		t.Errorf("the second run sent %v again: it does not go on where the first was", sent)
	}
	grown := second.figure(t, "points") - first.figure(t, "points")
	if grown < 0 || grown > second.figure(t, "sent") {
		t.Errorf("%v points more after %v readings sent", grown, second.figure(t, "sent"))
	}
	if got, want := second.Parquet.Readings, second.figure(t, "points"); got != want {
		t.Errorf("parquet of the second run %+v, want the %v points of InfluxDB", second.Parquet, want)
	}
	if gaps := second.figure(t, "gaps"); gaps != 1 {
		t.Errorf("%v gaps, want the time between the runs", gaps)
	}
}

// A demonstration that was left for a month starts all the same: its refresh
// tokens have died meanwhile.
func TestOldLoginIsMadeAnew(t *testing.T) {
	cfg := small(t)
	runJSON(t, cfg)
	files, err := filepath.Glob(filepath.Join(cfg.Data, "tokens", "????????-*-????????????.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v, want one account file", files, err)
	}
	old := time.Now().Add(-30 * 24 * time.Hour)
	if err := errors.Join(os.WriteFile(files[0], []byte("{}"), 0o600), os.Chtimes(files[0], old, old)); err != nil {
		t.Fatal(err)
	}
	if second, _ := runJSON(t, cfg); second.figure(t, "gaps") != 1 { // which the new stream has ended
		t.Errorf("nothing streams: %v", second.Total)
	}
}

func TestRunPrintsATableToPeople(t *testing.T) {
	cfg := small(t)
	cfg.JSON, cfg.Accounts, cfg.History, cfg.For = false, 2, time.Hour, time.Second
	var stdout, stderr screen
	if err := Run(t.Context(), cfg, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var rows [][]string
	for line := range strings.Lines(stdout.String()) {
		if f := strings.Fields(line); len(f) > 0 {
			rows = append(rows, f)
		}
	}
	if len(rows) != 6 || !slices.Contains(rows[0], "lost") || rows[3][0] != "total" || rows[4][0] != "charging" || rows[5][0] != "Parquet:" {
		t.Errorf("want a head, two accounts, a total, the charging sessions and the dataset:\n%s", stdout.String())
	}
}

func TestCtrlCWhileThePastIsFed(t *testing.T) {
	cfg := small(t)
	cfg.History, cfg.Cars, cfg.For = 2160*time.Hour, 20, 0
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var stdout screen
	stderr := &watched{want: "feeding the past", seen: interrupt}
	if err := Run(ctx, cfg, &stdout, stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var r report
	if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if r.figure(t, "lost") != 0 || r.figure(t, "sent") == 0 || r.figure(t, "stored") == 0 {
		t.Errorf("ledger %v", r.Total)
	}
}

// watched calls seen when it shows want.
type watched struct {
	screen
	want string
	seen func()
}

func (w *watched) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.want) {
		w.seen()
	}
	return w.screen.Write(p)
}

func TestRefusalsNameTheRemedy(t *testing.T) {
	refused := func(t *testing.T, cfg Config) error {
		t.Helper()
		var stdout, stderr screen
		err := Run(t.Context(), cfg, &stdout, &stderr)
		if err == nil || stdout.String() != "" {
			t.Fatalf("got %v and %q, want a refusal", err, stdout.String())
		}
		return err
	}
	t.Run("data of the other kind", func(t *testing.T) {
		cfg := small(t)
		if _, err := embedded.OpenDataDir(cfg.Data, "real"); err != nil {
			t.Fatal(err)
		}
		if err := refused(t, cfg); !errors.Is(err, embedded.ErrOtherData) || exit.Code(err) != exit.Usage {
			t.Errorf("%v", err)
		}
	})
	t.Run("data of a running one", func(t *testing.T) {
		cfg := small(t)
		if _, err := embedded.OpenDataDir(cfg.Data, "simulated"); err != nil {
			t.Fatal(err)
		}
		release, err := embedded.LockDataDir(cfg.Data)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = release() }()
		if err := refused(t, cfg); !errors.Is(err, embedded.ErrInUse) {
			t.Errorf("%v", err)
		}
	})
	t.Run("no account", func(t *testing.T) {
		cfg := small(t)
		cfg.Real, cfg.TokenDir = true, t.TempDir()
		err := refused(t, cfg)
		if exit.Code(err) != exit.NeedsPerson || !strings.Contains(err.Error(), "cardata login") || !strings.Contains(err.Error(), cfg.TokenDir) {
			t.Errorf("code %d: %v", exit.Code(err), err)
		}
	})
	t.Run("a folder that others may read", func(t *testing.T) {
		cfg := small(t)
		cfg.Real, cfg.TokenDir = true, t.TempDir()
		if err := os.Chmod(cfg.TokenDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := refused(t, cfg); exit.Code(err) != exit.NeedsPerson {
			t.Errorf("code %d: %v", exit.Code(err), err)
		}
	})
	t.Run("an address that cannot be", func(t *testing.T) {
		cfg := small(t)
		cfg.InfluxAddr = "192.0.2.1:8086"
		if err := refused(t, cfg); !strings.Contains(err.Error(), "InfluxDB address") {
			t.Errorf("%v", err)
		}
	})
}
