package cli_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

// loggedIn sets the environment up as for a person who has just logged in to a
// simulated account.
func loggedIn(t *testing.T, cfg simulator.Config) (*simulator.Simulator, simulator.Account) {
	t.Helper()
	cfg.Seed, cfg.Accounts, cfg.AutoApprove, cfg.PollInterval, cfg.ConnectsPerMinute = 1, 1, true, time.Second, -1
	sim, err := simulator.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	dir := t.TempDir()
	for name, value := range map[string]string{
		"TOKEN_DIR": filepath.Join(dir, "tokens"), "DATA_DIR": filepath.Join(dir, "data"), "CA_FILE": sim.CAFile(), "CLIENT_ID": sim.ClientID(),
		"OAUTH_URL": sim.OAuthURL(), "REST_URL": sim.RESTURL(), "MQTT_ADDR": sim.MQTTAddr(), "INGEST_URL": "http://127.0.0.1:1",
		"PERMIT_URL": "", "PERMIT_SECRET": "", "KAFKA_BROKERS": "", "INFLUX_URL": "",
	} {
		t.Setenv("CARDATA_"+name, value)
	}
	if _, stderr, code := run(t, "", "login"); code != exit.Done {
		t.Fatalf("login: %s", stderr)
	}
	return sim, sim.Accounts()[0]
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

func TestAccountCommandsFromLoginToContainers(t *testing.T) {
	sim, account := loggedIn(t, simulator.Config{Cars: 2})

	stdout, stderr, code := run(t, "", "doctor", "--listen", "50ms")
	if code != exit.Done || !strings.Contains(stdout, "connected and subscribed") || !strings.Contains(stdout, " 0 faults") {
		t.Fatalf("doctor: exit %d, %s\n%s", code, stderr, stdout)
	}

	var cars []struct{ VIN, Mapping, Model string }
	stdout, stderr, code = run(t, "", "vehicles", "--details", "--json")
	decode(t, stdout, &cars)
	if code != exit.Done || len(cars) != 2 || cars[0].VIN != string(account.VINs[0]) || cars[0].Mapping != "PRIMARY" || cars[0].Model == "" {
		t.Errorf("vehicles: exit %d, %s %+v", code, stderr, cars)
	}

	stdout, stderr, code = run(t, "# keys\nvehicle.vehicle.travelledDistance\n\n", "containers", "create", "--name", "mine", "--json")
	var one struct {
		ID          string
		Descriptors []string
	}
	if code != exit.Done {
		t.Fatalf("containers create: exit %d, %s", code, stderr)
	}
	decode(t, stdout, &one)
	for want, args := range map[string][]string{
		"mine":                              {"containers"},
		"vehicle.vehicle.travelledDistance": {"containers", "show", one.ID},
	} {
		if stdout, stderr, code = run(t, "", args...); code != exit.Done || !strings.Contains(stdout, want) {
			t.Errorf("cardata %v: exit %d, lacks %q: %s%s", args, code, want, stdout, stderr)
		}
	}
	if stdout, stderr, code = run(t, "", "containers", "delete", one.ID); code != exit.Done {
		t.Errorf("containers delete: exit %d, %s%s", code, stdout, stderr)
	}
	if stdout, _, _ = run(t, "", "containers"); strings.Contains(stdout, "mine") {
		t.Errorf("deleted container is listed:\n%s", stdout)
	}

	var quota []struct{ Spent, Left int }
	stdout, _, _ = run(t, "", "quota", "--json")
	decode(t, stdout, &quota)
	if n := sim.QuotaSpent(account.GCID); len(quota) != 1 || quota[0].Spent != n || quota[0].Left != 50-n || n != 9 {
		t.Errorf("quota %+v, BMW counted %d, want 9: 1 doctor, 3 vehicles, 5 containers", quota, n)
	}
	if stdout, _, code = run(t, "", "status"); code != exit.Done || !strings.Contains(stdout, "41 of 50") || !strings.Contains(stdout, "ingest: not found") {
		t.Errorf("status: exit %d\n%s", code, stdout)
	}
	if strings.Contains(stdout, string(account.GCID)) {
		t.Error("status shows the whole account id")
	}
}

func TestAccountCommandsSayWhatIsWrong(t *testing.T) {
	sim, account := loggedIn(t, simulator.Config{Cars: 1})
	sim.Spend(account.GCID, 50)
	if _, stderr, code := run(t, "", "vehicles"); code != exit.Failed || !strings.Contains(stderr, "00:00 UTC") {
		t.Errorf("quota spent by another tool: exit %d, %s", code, stderr)
	}
	if stdout, _, code := run(t, "", "quota"); code != exit.Done || !strings.Contains(stdout, "BMW refuses calls until") {
		t.Errorf("quota after the refusal: exit %d\n%s", code, stdout)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
		code int
	}{
		"slip in a container id": {[]string{"containers", "delete", "abc"}, "13 upper-case letters", exit.Usage},
		"container without keys": {[]string{"containers", "create", "--name", "x"}, "no descriptors", exit.Usage},
		"container without name": {[]string{"containers", "create", "a.b"}, "--name", exit.Usage},
		"unknown account":        {[]string{"quota", "--account", "fff-none"}, "no account ends with", exit.Usage},
		"REST in clear":          {[]string{"vehicles", "--rest-url", "http://example.org"}, "https", exit.Usage},
		"CA file missing":        {[]string{"vehicles", "--ca-file", "/does/not/exist"}, "CA file", exit.Usage},
		"nobody logged in":       {[]string{"vehicles", "--token-dir", t.TempDir()}, "cardata login", exit.NeedsPerson},
		"no folder":              {[]string{"status", "--token-dir", "/does/not/exist"}, "cardata login", exit.NeedsPerson},
		"permit without secret":  {[]string{"quota", "--permit-url", "http://127.0.0.1:1"}, "at least 16 characters", exit.Usage},
		"odd timeout":            {[]string{"doctor", "--timeout", "1ms"}, "--timeout", exit.Usage},
	} {
		t.Run(name, func(t *testing.T) {
			if stdout, stderr, code := run(t, "", tt.args...); code != tt.code || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit %d, want %d; %s%s, want %q", code, tt.code, stdout, stderr, tt.want)
			}
		})
	}
	dir := os.Getenv("CARDATA_TOKEN_DIR")
	if err := os.Chmod(filepath.Join(dir, string(account.GCID)+".json"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := run(t, "", "quota"); code != exit.NeedsPerson || !strings.Contains(stderr, "chmod 600") {
		t.Errorf("token file open to others: exit %d, %s", code, stderr)
	}
}

func TestAccountCommandsByPermitLeaveTheStoreAlone(t *testing.T) {
	sim, account := loggedIn(t, simulator.Config{Cars: 1})
	owner, err := permit.Open(t.Context(), permit.Config{
		TokenDir: os.Getenv("CARDATA_TOKEN_DIR"), OauthURL: sim.OAuthURL(), CAFile: sim.CAFile(),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	server := httptest.NewServer(permit.Handler("a secret of good length", owner, nil))
	defer server.Close()
	t.Setenv("CARDATA_TOKEN_DIR", filepath.Join(t.TempDir(), "none"))
	t.Setenv("CARDATA_PERMIT_URL", server.URL)
	t.Setenv("CARDATA_PERMIT_SECRET", "a secret of good length")

	if stdout, stderr, code := run(t, "", "vehicles"); code != exit.Done || !strings.Contains(stdout, string(account.VINs[0])) {
		t.Errorf("vehicles: exit %d, %s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := run(t, "", "quota"); code != exit.Done || !strings.Contains(stdout, "49") {
		t.Errorf("quota: exit %d, %s%s", code, stdout, stderr)
	}
	stdout, stderr, code := run(t, "", "doctor", "--json")
	var report struct {
		Result   string
		Findings []struct{ Step, Level, Text string }
	}
	decode(t, stdout, &report)
	if code != exit.Done || sim.Stats.Connects.Load() != 0 {
		t.Errorf("doctor: exit %d, %d connections, want none: ingest gives permits; %s\n%s", code, sim.Stats.Connects.Load(), stderr, stdout)
	}
	t.Setenv("CARDATA_PERMIT_SECRET", "another secret, also long")
	if _, stderr, code := run(t, "", "vehicles"); code != exit.NeedsPerson || !strings.Contains(stderr, "CARDATA_PERMIT_SECRET") {
		t.Errorf("wrong secret: exit %d, %s", code, stderr)
	}
}
