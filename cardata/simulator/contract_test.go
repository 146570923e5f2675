package simulator_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
)

// TestOurOwnClientLogsInAndRefreshes runs the project's client of the real
// service against the simulated one.
func TestOurOwnClientLogsInAndRefreshes(t *testing.T) {
	s, err := simulator.Start(t.Context(), simulator.Config{Seed: 1, Accounts: 1, Cars: 1, AutoApprove: true, Dir: t.TempDir(), PollInterval: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	text, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := auth.New(auth.Config{BaseURL: s.OAuthURL(), ClientID: s.ClientID(), HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := c.Login(t.Context(), func(p auth.Prompt) {
		if len(p.UserCode) != 8 || p.URLComplete == "" {
			t.Errorf("prompt %+v", p)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Check(); err != nil || set.GCID != s.Accounts()[0].GCID {
		t.Errorf("token set of %s: %v; want one that passes, of the account", set.GCID, err)
	}
	next, err := c.Refresh(t.Context(), set)
	if err != nil || next.RefreshToken == set.RefreshToken {
		t.Errorf("refresh: %v; want a new refresh token", err)
	}
	if _, err := c.Refresh(t.Context(), set); err == nil {
		t.Error("a used refresh token was accepted")
	}
	s.SetFaults(simulator.Faults{NoStream: true})
	if next, err = c.Refresh(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if next.Check() == nil {
		t.Error("a token set without the stream scope passes the check")
	}
}
