package setup

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

func config(t *testing.T) Config {
	t.Helper()
	var cfg Config
	if err := env.Defaults(&cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Timeout = 20 * time.Second
	return cfg
}

func states(r Report) string {
	lines := make([]string, 0, len(r.Steps))
	for _, s := range r.Steps {
		lines = append(lines, s.State)
	}
	return strings.Join(lines, " ")
}

func TestTopicsAreCreatedOnceAndNeverChanged(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(7, "cardata.readings"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg := config(t)
	cfg.KafkaBrokers, cfg.TopicReplication = cluster.ListenAddrs(), 3
	for i, step := range []struct {
		dryRun    bool
		retention time.Duration
		want      string
	}{
		{true, time.Hour, "differs missing missing missing missing missing"},
		{false, time.Hour, "differs created created created created created"},
		{false, time.Hour, "present differs present present present present"},
		{true, 2 * time.Hour, "differs differs present present present differs"},
	} {
		cfg.RawRetention = step.retention
		got, err := Run(t.Context(), cfg, step.dryRun, slog.New(slog.DiscardHandler), nil)
		if err != nil || states(got) != step.want {
			t.Errorf("step %d: %v %s, want %s", i, err, states(got), step.want)
		}
	}
}

// What the pipeline's own login may not do is said, although the operator's may.
func TestThePipelinesOwnLoginIsTried(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		operator := r.Header.Get("Authorization") == "Token admin:secret"
		switch {
		case r.URL.Path == "/ping":
			w.WriteHeader(http.StatusNoContent)
		case !operator:
			http.Error(w, `{"error":"not authorized to write"}`, http.StatusForbidden)
		case strings.Contains(r.FormValue("q"), "SHOW DATABASES"):
			_, _ = io.WriteString(w, `{"results":[{"series":[{"name":"databases","columns":["name"],"values":[["cardata"]]}]}]}`)
		default:
			_, _ = io.WriteString(w, `{"results":[{"series":[{"columns":["name","duration","default"],"values":[["autogen","0s",true]]}]}]}`)
		}
	}))
	t.Cleanup(srv.Close)
	cfg := config(t)
	cfg.InfluxURL, cfg.InfluxOperatorToken, cfg.InfluxToken = srv.URL, "admin:secret", "pipe:other"
	got, err := Run(t.Context(), cfg, false, slog.New(slog.DiscardHandler), nil)
	if exit.Code(err) != exit.NeedsPerson || states(got) != "present present failed" || !strings.Contains(err.Error(), "CARDATA_INFLUX_TOKEN") {
		t.Errorf("%v: %s", err, states(got))
	}
}

func TestNothingToSetUpIsAFault(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "CARDATA_KAFKA_BROKERS, CARDATA_INFLUX_URL or both") {
		t.Errorf("got %v", err)
	}
}
