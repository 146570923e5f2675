package probe_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/probe"
)

const metrics = `# HELP cardata_store_readings_total Count.
# TYPE cardata_store_readings_total counter
cardata_store_readings_total{kind="a b"} 3
cardata_store_readings_total{kind="c"} 4
cardata_store_readings_total_more 9
cardata_store_gaps_total 0
`

func TestRunTellsGoodFromBadAnswers(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, `{"checks":{"kafka":"connection refused"}}`)
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, metrics) })
	server := httptest.NewServer(mux)
	defer server.Close()

	for name, test := range map[string]struct{ path, metric, want string }{
		"status 200 is healthy":                {"/healthz", "", ""},
		"another status comes with the reason": {"/readyz", "", "status 503: " + `{"checks":{"kafka":"connection refused"}}`},
		"a metric's labels are added up":       {"/metrics", "cardata_store_readings_total", ""},
		"a metric at zero is not enough":       {"/metrics", "cardata_store_gaps_total", "is 0, want above 0"},
		"a metric's name is matched whole":     {"/metrics", "cardata_store_readings", "no metric cardata_store_readings there"},
	} {
		t.Run(name, func(t *testing.T) {
			err := probe.Run(t.Context(), probe.Config{URL: server.URL + test.path, Metric: test.metric})
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestRunTriesUntilItIsGood(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	if err := probe.Run(t.Context(), probe.Config{URL: server.URL, Wait: time.Minute}); err != nil {
		t.Error(err)
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times, want 2", asked.Load())
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := probe.Run(ctx, probe.Config{URL: "http://127.0.0.1:1/healthz", Wait: time.Hour}); err == nil {
		t.Error("no error")
	}
}

func TestURLOfAsksTheLoopbackForAllAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		":8080":          "http://127.0.0.1:8080/healthz",
		"0.0.0.0:9":      "http://127.0.0.1:9/healthz",
		"[::]:9":         "http://127.0.0.1:9/healthz",
		"10.1.2.3:80":    "http://10.1.2.3:80/healthz",
		"localhost:8081": "http://localhost:8081/healthz",
	} {
		if got := probe.URLOf(addr, "/healthz"); got != want {
			t.Errorf("URLOf(%q) = %s, want %s", addr, got, want)
		}
	}
}
