package simulate_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/simulate"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

func TestJSONIsOneLineAndServesUntilStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- simulate.Run(ctx, simulate.Config{Accounts: 2, Cars: 3, Seed: 1, Speed: 1, JSON: true, Dir: t.TempDir()}, w)
		w.Close()
	}()
	line, err := bufio.NewReader(r).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		OAuthURL string `json:"oauth_url"`
		RESTURL  string `json:"rest_url"`
		MQTTAddr string `json:"mqtt_addr"`
		CAFile   string `json:"ca_file"`
		ClientID string `json:"client_id"`
		Accounts []struct {
			GCID     string   `json:"gcid"`
			ClientID string   `json:"client_id"`
			VINs     []string `json:"vins"`
		} `json:"accounts"`
	}
	if err := json.Unmarshal(line, &d); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	if !strings.HasPrefix(d.OAuthURL, "https://127.0.0.1:") || d.RESTURL == "" || d.MQTTAddr == "" ||
		len(d.Accounts) != 2 || len(d.Accounts[1].VINs) != 3 || d.Accounts[0].ClientID != d.ClientID {
		t.Errorf("description %s; want addresses, 2 accounts of 3 cars, the first one's client id", line)
	}
	if _, err := os.Stat(d.CAFile); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; exit.Code(err) != exit.Done {
		t.Errorf("Run after stop: %v, want a clean end", err)
	}
}

func TestAllBadFlagsAreReportedAtOnceAsUsage(t *testing.T) {
	err := simulate.Run(t.Context(), simulate.Config{Accounts: 0, Cars: -1, Speed: 0.5, History: -1, Garble: 2, TokenLife: 1, Seed: 1 << 40}, io.Discard)
	if exit.Code(err) != exit.Usage {
		t.Fatalf("Run: %v, code %d; want usage", err, exit.Code(err))
	}
	for _, flag := range []string{"--accounts 0", "--cars -1", "--seed", "--speed 0.5", "--history", "--garble 2", "--token-life"} {
		if !strings.Contains(err.Error(), flag) {
			t.Errorf("error %q does not name %s", err, flag)
		}
	}
}
