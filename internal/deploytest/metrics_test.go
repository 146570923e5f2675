package deploytest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ingest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/sink"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
)

// TestAlertsAskForMetricsThatExist scrapes ingest and sink as they are without
// Kafka: all their metrics are there from the start.
func TestAlertsAskForMetricsThatExist(t *testing.T) {
	known := scrape(t, startIngest) + scrape(t, startSink)
	// backfill exports this one while it watches.
	known += source(t, root+"/internal/app/backfill/cli/process.go", "backfill_quota_left_calls")
	for _, a := range alerts(t) {
		names := regexp.MustCompile(`\b(cardata|kube)_\w+`).FindAllString(text(a, "expr"), -1)
		if len(names) == 0 {
			t.Errorf("%s asks for no metric", text(a, "alert"))
		}
		for _, name := range names {
			if strings.HasPrefix(name, "cardata_") && !regexp.MustCompile(`(?m)^`+name+`[ {]`).MatchString(known) {
				t.Errorf("%s asks for %s, which no program exports", text(a, "alert"), name)
			}
		}
	}
}

// source gives a metric that stands in a file, as a line of a scrape.
func source(t *testing.T, file, name string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), `"`+name+`"`) {
		t.Fatalf("%s has no %s: %v", file, name, err)
	}
	return "cardata_" + name + " 0\n"
}

// process is what a program shows to a test.
type process interface {
	Run(ctx context.Context) error
	Addr() string
}

func startIngest(t *testing.T, log *slog.Logger) process {
	t.Helper()
	var cfg ingest.Config
	if err := env.Defaults(&cfg); err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.TokenDir = t.TempDir(), filepath.Join(t.TempDir(), "tokens")
	cfg.KafkaBrokers, cfg.HTTPAddr, cfg.DrainTimeout = []string{"127.0.0.1:1"}, "127.0.0.1:0", 1
	in, err := ingest.New(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func startSink(t *testing.T, log *slog.Logger) process {
	t.Helper()
	var cfg sink.Config
	if err := env.Defaults(&cfg); err != nil {
		t.Fatal(err)
	}
	cfg.KafkaBrokers, cfg.InfluxURL, cfg.HTTPAddr = []string{"127.0.0.1:1"}, "http://127.0.0.1:1", "127.0.0.1:0"
	s, err := sink.New(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func scrape(t *testing.T, start func(*testing.T, *slog.Logger) process) string {
	t.Helper()
	p := start(t, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	res, err := http.Get("http://" + p.Addr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
