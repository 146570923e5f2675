package ops_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func TestServerShowsMetricsHealthAndWhatFails(t *testing.T) {
	var stats struct {
		MessagesReceived atomic.Int64
		HTTPErrors       atomic.Int64
		NotACounter      string
	}
	stats.MessagesReceived.Store(7)
	ledger := pipeline.NewLedger()
	ledger.Account("a").ReadingsProduced.Add(2)
	ledger.Account("b").ReadingsProduced.Add(3)
	r := ops.Registry("v1")
	ops.Counters(r, "intake", &stats)
	ops.Ledger(r, ledger)
	ops.Gauge(r, "journal_size_bytes", "Bytes.", func() float64 { return 42 })
	ops.Info(r, "catalogue", "version", "2026-07")

	var trouble error
	log, err := ops.Logger(io.Discard, "info")
	if err != nil {
		t.Fatal(err)
	}
	server, err := ops.Listen(t.Context(), "127.0.0.1:0", r, []ops.Check{
		{Name: "journal", Test: func(context.Context) error { return nil }},
		{Name: "kafka", Test: func(context.Context) error { return trouble }},
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()

	_, metrics := get(t, "http://"+server.Addr()+"/metrics")
	for _, want := range []string{
		"cardata_intake_messages_received_total 7", "cardata_intake_http_errors_total 0", "cardata_ledger_readings_produced_total 5",
		"cardata_journal_size_bytes 42", `cardata_build_info{version="v1"} 1`, `cardata_catalogue_info{version="2026-07"} 1`, "go_goroutines",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if status, body := get(t, "http://"+server.Addr()+"/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz: %d %q", status, body)
	}
	if status, body := get(t, "http://"+server.Addr()+"/readyz"); status != http.StatusOK || !strings.Contains(body, `"ready":true`) {
		t.Errorf("readyz: %d %q", status, body)
	}
	trouble = errors.New("connection refused")
	status, body := get(t, "http://"+server.Addr()+"/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, `"kafka":"connection refused"`) || !strings.Contains(body, `"journal":"ok"`) {
		t.Errorf("readyz: %d %q", status, body)
	}
	if _, err := ops.Listen(t.Context(), server.Addr(), r, nil, log); err == nil || !strings.Contains(err.Error(), server.Addr()) {
		t.Errorf("busy address: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestLogsRedactPersonalDataAndSecrets(t *testing.T) {
	var out bytes.Buffer
	log, err := ops.Logger(&out, "INFO")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("thing", "vin", schema.VIN("WBY00000000000001"), "gcid", schema.GCID("00000000-0000-4000-8000-000000000001"), "token", pipeline.Secret("abc"))
	log.Debug("not shown")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["vin"] != "WBY…001" || line["gcid"] != "000…001" || line["token"] != "redacted" {
		t.Errorf("logged %s", out.String())
	}
	if _, err := ops.Logger(&out, "loud"); err == nil {
		t.Error("unknown level is taken")
	}
}
