package whole

import (
	"encoding/json"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
)

// The way of an owner: a service elsewhere, a login, --real.
func TestRealMode(t *testing.T) {
	sim, err := simulator.Start(t.Context(), simulator.Config{
		Seed: 1, Accounts: 1, Cars: 2, History: 6 * time.Hour, AutoApprove: true, PollInterval: time.Second, Dir: filepath.Join(t.TempDir(), "bmw"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	cfg := small(t)
	cfg.Real, cfg.TokenDir, cfg.For = true, filepath.Join(t.TempDir(), "tokens"), 4*time.Second
	cfg.service = service{sim.OAuthURL(), sim.MQTTAddr(), sim.CAFile()}
	if err := login.Run(t.Context(), login.Config{
		ClientID: sim.ClientID(), BaseURL: sim.OAuthURL(), TokenDir: cfg.TokenDir, CAFile: sim.CAFile(), Log: slog.New(slog.DiscardHandler),
	}, io.Discard); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr screen
	if err := Run(t.Context(), cfg, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var r report
	if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	sent := float64(sim.Ledger().Total().Messages)
	if sent == 0 || r.figure(t, "received") != sent || r.figure(t, "points") != r.figure(t, "stored")-r.figure(t, "revised") {
		t.Errorf("%v messages sent; ledger %v", sent, r.Total)
	}
	if strings.Contains(stderr.String(), "simulator") || strings.Contains(stderr.String(), "nothing is lost") {
		t.Errorf("the terminal speaks of the simulator, or claims what it cannot know:\n%s", stderr.String())
	}
}
