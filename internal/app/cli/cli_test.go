package cli_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	backfill "github.com/cardata-pipeline/cardata-pipeline/internal/app/backfill/cli"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/cli"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ingest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/setup"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/sink"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

var update = flag.Bool("update", false, "rewrite documents from the code")

func run(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	err := cli.Main(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return out.String(), errs.String(), exit.Code(err)
}

func TestUsageFaultsExitWithTwoAndNameTheHelp(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown command":      {"logni"},
		"unknown flag":         {"normalize", "--nope"},
		"argument too many":    {"normalize", "x"},
		"unknown kind":         {"normalize", "--kind", "xml"},
		"bad topic":            {"normalize", "--topic", "x"},
		"client id is no UUID": {"login", "--client-id", "x", "--token-dir", t.TempDir()},
		"no cars":              {"simulate", "--cars", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := run(t, "", args...)
			if code != exit.Usage || !strings.HasPrefix(stderr, "cardata: ") || stdout != "" {
				t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
	if _, stderr, _ := run(t, "", "logni"); !strings.Contains(stderr, "did you mean login?") {
		t.Errorf("no suggestion: %q", stderr)
	}
}

func TestNormalizeShowsWhatIngestWouldMakeOfALine(t *testing.T) {
	good := `{"vin":"WBY00000000000001","entityId":"00000000-0000-4000-8000-000000000001","timestamp":"2026-03-14T07:02:11.418Z",` +
		`"data":{"vehicle.vehicle.travelledDistance":{"timestamp":"2026-03-14T07:02:09Z","value":23456,"unit":"km"}}}`
	stdout, stderr, code := run(t, good+"\n{\"vin\"\n", "normalize")
	if code != exit.Done {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want one for each payload:\n%s", len(lines), stdout)
	}
	var first struct{ Readings []struct{ Number float64 } }
	var second struct {
		DeadLetter struct{ Reason, Text string } `json:"dead_letter"`
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(first.Readings) != 1 || first.Readings[0].Number != 23456 {
		t.Errorf("first line %s (%v)", lines[0], err)
	}
	if err := json.Unmarshal([]byte(lines[1]), &second); err != nil || second.DeadLetter.Reason != "invalid_json" {
		t.Errorf("second line %s (%v)", lines[1], err)
	}
}

func TestHelpNamesCommandsAndVariables(t *testing.T) {
	for want, args := range map[string][]string{
		"simulate":           {"--help"},
		"CARDATA_TOKEN_DIR":  {"login", "--help"},
		"--topic":            {"normalize", "--help"},
		"--auto-approve":     {"simulate", "--help"},
		"bash completion":    {"completion", "bash"},
		"--no-calls":         {"doctor", "--help"},
		"CARDATA_INGEST_URL": {"doctor", "--help"},
		"costs no REST call": {"status", "--help"},
		"--details":          {"vehicles", "--help"},
		"00:00 UTC":          {"quota", "--help"},
		"at most 10":         {"containers", "--help"},
		"CARDATA_KAFKA_SASL": {"setup", "--help"},
	} {
		if stdout, _, code := run(t, "", args...); code != exit.Done || !strings.Contains(stdout, want) {
			t.Errorf("cardata %v: exit %d, lacks %q", args, code, want)
		}
	}
}

// TestConfigurationDocument holds docs/configuration.md to the code.
func TestConfigurationDocument(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("# Configuration\n\nAll processes read `CARDATA_*` environment variables; a variable set to nothing counts as not set. " +
		"`-help` prints the same tables. This file is written by `make docs`.\n")
	for _, c := range []struct {
		name string
		cfg  any
	}{
		{"ingest", ingest.Config{}},
		{"sink", sink.Config{}},
		{"backfill", backfill.Config{}},
		{"export", export.Config{}},
		{"cardata setup", setup.Config{}},
	} {
		b.WriteString("\n## " + c.name + "\n\n")
		if err := env.Markdown(&b, c.cfg); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join("..", "..", "..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Error("docs/configuration.md is not what the code says; run make docs")
	}
}

// Every process says the same of a variable that concerns a server.
func TestServerVariablesReadTheSameEverywhere(t *testing.T) {
	said := make(map[string]string)
	for _, cfg := range []any{ingest.Config{}, sink.Config{}, backfill.Config{}, setup.Config{}} {
		for _, v := range env.Variables(cfg) {
			secure := strings.HasPrefix(v.Name, "CARDATA_KAFKA_") && v.Name != "CARDATA_KAFKA_BROKERS" && v.Name != "CARDATA_KAFKA_GROUP"
			if !secure && (!strings.HasPrefix(v.Name, "CARDATA_INFLUX_") || v.Name == "CARDATA_INFLUX_URL") {
				continue
			}
			text := v.Default + ": " + v.Description
			if before, known := said[v.Name]; known && before != text {
				t.Errorf("%s: %q and %q", v.Name, before, text)
			}
			said[v.Name] = text
			if strings.HasSuffix(v.Name, "_PASSWORD") != v.Secret && !strings.HasSuffix(v.Name, "_TOKEN") {
				t.Errorf("%s: secret is %t", v.Name, v.Secret)
			}
		}
	}
	for _, name := range []string{"CARDATA_KAFKA_TLS", "CARDATA_KAFKA_CA_FILE", "CARDATA_KAFKA_CERT_FILE", "CARDATA_KAFKA_KEY_FILE", "CARDATA_KAFKA_SASL", "CARDATA_KAFKA_USER", "CARDATA_KAFKA_PASSWORD"} {
		if said[name] == "" {
			t.Errorf("no process reads %s", name)
		}
	}
}
