package login

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

func simulate(t *testing.T, cfg simulator.Config) *simulator.Simulator {
	t.Helper()
	cfg.Seed, cfg.Accounts, cfg.Cars, cfg.PollInterval = 1, 1, 1, time.Second
	sim, err := simulator.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	return sim
}

func configFor(t *testing.T, sim *simulator.Simulator) Config {
	t.Helper()
	return Config{ClientID: sim.ClientID(), BaseURL: sim.OAuthURL(), TokenDir: t.TempDir(), CAFile: sim.CAFile()}
}

// approver types the code that is shown.
type approver struct {
	bytes.Buffer

	sim  *simulator.Simulator
	good bool
	err  error
}

func (a *approver) Write(p []byte) (int, error) {
	if m := regexp.MustCompile(`(?m)^    (\S+)$`).FindSubmatch(p); m != nil {
		a.err = a.sim.Approve(string(m[1]), a.good)
	}
	return a.Buffer.Write(p)
}

func TestRunAgainstTheSimulator(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		faults simulator.Faults
		refuse bool
		code   int
		want   string
	}{
		"approved":                    {simulator.Faults{}, false, exit.Done, "stream yes"},
		"with the complete address":   {simulator.Faults{CompleteURI: true}, false, exit.Done, "stream yes"},
		"server errors on the way":    {simulator.Faults{ServerErrors: 1}, false, exit.Done, "stream yes"},
		"refused":                     {simulator.Faults{}, true, exit.NeedsPerson, "access_denied"},
		"denied in spite of consent":  {simulator.Faults{DenyAfterConsent: 1}, false, exit.NeedsPerson, "access_denied"},
		"gateway fault after consent": {simulator.Faults{GatewayFault: 1}, false, exit.NeedsPerson, "invalid_access_token"},
		"no stream subscription":      {simulator.Faults{NoStream: true}, false, exit.NeedsPerson, "stream no"},
		"no API subscription":         {simulator.Faults{NoAPI: true}, false, exit.NeedsPerson, "REST API no"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := simulate(t, simulator.Config{Faults: tt.faults})
			out := &approver{sim: sim, good: !tt.refuse}
			err := Run(t.Context(), configFor(t, sim), out)
			if out.err != nil {
				t.Fatal(out.err)
			}
			text := out.String()
			if err != nil {
				text += err.Error()
			}
			if exit.Code(err) != tt.code || !strings.Contains(text, tt.want) {
				t.Errorf("Run: exit code %d, want %d and %q in\n%s", exit.Code(err), tt.code, tt.want, text)
			}
		})
	}
}

// sourceFor logs in and owns the tokens.
func sourceFor(t *testing.T, sim *simulator.Simulator) (*auth.Source, *auth.Store) {
	t.Helper()
	cfg := configFor(t, sim)
	if err := Run(t.Context(), cfg, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	stores, err := auth.Stores(cfg.TokenDir)
	if err != nil || len(stores) != 1 {
		t.Fatalf("Stores: %d, %v", len(stores), err)
	}
	pem, err := os.ReadFile(sim.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client, err := auth.New(auth.Config{BaseURL: sim.OAuthURL(), HTTPClient: &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	src, err := auth.NewSource(client, stores[0], auth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return src, stores[0]
}

func TestSourceAgainstTheSimulator(t *testing.T) {
	t.Parallel()
	renewed := func(err error) bool { return err == nil }
	tests := map[string]struct {
		faults  simulator.Faults
		revoke  bool
		want    func(error) bool
		rotated bool
	}{
		"rotates":                        {simulator.Faults{}, false, renewed, true},
		"without gcid in the answer":     {simulator.Faults{OmitGCID: true}, false, renewed, true},
		"without id token":               {simulator.Faults{OmitIDToken: true}, false, func(err error) bool { return errors.Is(err, auth.ErrIncomplete) }, true},
		"answer lost after rotation":     {simulator.Faults{DropRefreshAnswer: 1}, false, loginNeeded, false},
		"revoked, told as a bad request": {simulator.Faults{UsedTokenInvalidRequest: true}, true, loginNeeded, false},
		"server errors":                  {simulator.Faults{ServerErrors: -1}, false, func(err error) bool { return err != nil && !loginNeeded(err) }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := simulate(t, simulator.Config{AutoApprove: true})
			src, store := sourceFor(t, sim)
			before := src.Tokens()
			sim.SetFaults(tt.faults)
			if tt.revoke {
				sim.RevokeRefresh(src.GCID())
			}
			err := src.Renew(t.Context(), string(before.IDToken))
			if !tt.want(err) {
				t.Errorf("Renew: %v", err)
			}
			after, err := store.Load()
			if err != nil || (after.RefreshToken != before.RefreshToken) != tt.rotated {
				t.Errorf("stored refresh token changed = %v, want %v; %v", after.RefreshToken != before.RefreshToken, tt.rotated, err)
			}
		})
	}
}

func loginNeeded(err error) bool { return errors.Is(err, auth.ErrLoginNeeded) }
