package deploytest

import (
	"bytes"
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
)

// TestSimulatorAndLoginOfTheDemo runs what the demo's pods run: the simulator
// with the authority that the chart made, mounted read-only, and the login of
// the chart's client id, which trusts that authority alone.
func TestSimulatorAndLoginOfTheDemo(t *testing.T) {
	dir := t.TempDir()
	var clientID string
	for _, o := range render(t, "demo") {
		if text(o, "kind") == "Secret" && strings.HasSuffix(text(o, "metadata", "name"), "-simulator") {
			for _, file := range []string{"ca.pem", "ca-key.pem"} {
				b, err := base64.StdEncoding.DecodeString(text(o, "data", file))
				if err != nil || len(b) == 0 {
					t.Fatalf("secret's %s: %v", file, err)
				}
				if err := os.WriteFile(filepath.Join(dir, file), b, 0o440); err != nil {
					t.Fatal(err)
				}
			}
		}
		if c := containers(t, []object{o}); len(c) == 1 && c[0].words() == "cardata login" {
			clientID, _ = c[0].variable("CARDATA_CLIENT_ID")
		}
	}
	sim, err := simulator.Start(t.Context(), simulator.Config{Accounts: 1, Cars: 3, Seed: 1, Dir: dir, Hosts: []string{"localhost"}, AutoApprove: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	if clientID != sim.ClientID() {
		t.Errorf("the chart logs in %q, the simulator's account is %s", clientID, sim.ClientID())
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(sim.OAuthURL(), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(t.TempDir(), "accounts")
	var out bytes.Buffer
	cfg := login.Config{ClientID: clientID, BaseURL: "https://localhost:" + port, TokenDir: tokens, CAFile: filepath.Join(dir, "ca.pem")}
	if err := login.Run(t.Context(), cfg, &out); err != nil {
		t.Fatalf("login: %v\n%s", err, out.String())
	}
	if files, _ := filepath.Glob(filepath.Join(tokens, "*.json")); len(files) != 1 {
		t.Errorf("want one account file, got %v", files)
	}
}
