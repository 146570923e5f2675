package compose

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// TestProfilesStartWhatTheyShould holds the two ways of README to their services.
func TestProfilesStartWhatTheyShould(t *testing.T) {
	common := []string{"export", "grafana", "influxdb", "kafka", "prometheus", "setup", "sink"}
	for profile, own := range map[string][]string{
		"":      {"backfill", "ingest", "real-data"}, // by COMPOSE_PROFILES of .env
		"real":  {"backfill", "ingest", "real-data"},
		"demo":  {"demo-backfill", "demo-data", "demo-history", "demo-ingest", "demo-login", "simulator"},
		"tools": {"cardata"},
	} {
		var profiles []string
		if profile != "" {
			profiles = []string{profile}
		}
		want := slices.Sorted(slices.Values(append(slices.Clone(common), own...)))
		if got := project(t, profiles...).ServiceNames(); !slices.Equal(got, want) {
			t.Errorf("profile %q starts %v, want %v", profile, got, want)
		}
	}
}

func TestNothingStartsWithoutSecrets(t *testing.T) {
	_, err := load(t.Context(), "", "demo")
	if err == nil || !strings.Contains(err.Error(), "deploy/compose/secrets.sh") {
		t.Errorf("without .env: %v, want an error that names the script", err)
	}
}

func TestSecretsAreFreshAndKept(t *testing.T) {
	first, second := newEnv(t), newEnv(t)
	read := func(f string) map[string]string {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]string{}
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
				values[name] = value
			}
		}
		return values
	}
	a, b := read(first), read(second)
	for _, name := range []string{"GRAFANA_PASSWORD", "INFLUX_PASSWORD", "INFLUX_TOKEN"} {
		if len(a[name]) < 32 || a[name] == b[name] {
			t.Errorf("%s: %d characters, the same twice: %v", name, len(a[name]), a[name] == b[name])
		}
	}
	if a["CARDATA_CLIENT_ID"] != "" || a["GRAFANA_PORT"] != "3000" {
		t.Errorf("other lines were changed: %v", a)
	}
	if info, err := os.Stat(first); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of .env: %v, %v", info.Mode(), err)
	}
	if out, err := exec.Command(root+"/deploy/compose/secrets.sh", filepath.Dir(first)).CombinedOutput(); err == nil || !strings.Contains(string(out), "nothing is changed") {
		t.Errorf("a second run: %v, %s; want a refusal", err, out)
	}
	if again := read(first); !maps.Equal(a, again) {
		t.Error("a second run changed the secrets")
	}
}

// TestEnvExampleHasEveryChoice finds each ${NAME} in .env.example and nothing else.
func TestEnvExampleHasEveryChoice(t *testing.T) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{"COMPOSE_PROFILES": true}
	for _, m := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(string(text), -1) {
		used[m[1]] = true
	}
	example, err := os.ReadFile(root + "/.env.example")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=`).FindAllStringSubmatch(string(example), -1) {
		said[m[1]] = true
	}
	if !maps.Equal(used, said) {
		t.Errorf("docker-compose.yml uses %v, .env.example has %v", slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(said)))
	}
}

// TestServicesAreLimitedAndWatched goes over what every service must have.
func TestServicesAreLimitedAndWatched(t *testing.T) {
	p := project(t, "*")
	for name, s := range p.Services {
		oneShot := s.Restart == types.RestartPolicyNo
		switch {
		case oneShot && !s.HealthCheck.Disable:
			t.Errorf("%s ends by itself, its image's health check must be off", name)
		case !oneShot && (s.Restart != types.RestartPolicyUnlessStopped || s.HealthCheck == nil || len(s.HealthCheck.Test) < 2):
			t.Errorf("%s: restart %q, health check %v", name, s.Restart, s.HealthCheck)
		}
		if s.MemLimit == 0 {
			t.Errorf("%s has no memory limit", name)
		}
		if !ours(&s) && !regexp.MustCompile(`:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
			t.Errorf("%s: image %s is not pinned", name, s.Image)
		}
		if s.Privileged || len(s.CapAdd) > 0 || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: privileged %v, capabilities %v, options %v", name, s.Privileged, s.CapAdd, s.SecurityOpt)
		}
		if ours(&s) && (!s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.User != "") {
			t.Errorf("%s: read only %v, dropped %v, user %q", name, s.ReadOnly, s.CapDrop, s.User)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q, want the loopback", name, port.Published, port.HostIP)
			}
		}
		for on, d := range s.DependsOn {
			other, ok := p.Services[on]
			want := types.ServiceConditionHealthy
			if ok && other.Restart == types.RestartPolicyNo {
				want = types.ServiceConditionCompletedSuccessfully
			}
			if d.Condition != want {
				t.Errorf("%s waits until %s is %s, want %s", name, on, d.Condition, want)
			}
		}
	}
}

// TestVariablesAreRead holds every CARDATA_* variable to the program that runs.
func TestVariablesAreRead(t *testing.T) {
	configs := map[string]string{
		"ingest": "internal/app/ingest/config.go", "sink": "internal/app/sink/config.go", "backfill": "internal/app/backfill/cli/config.go",
		"export": "internal/app/export/config.go", "cardata setup": "internal/app/setup/config.go",
	}
	commands := commandText(t)
	for name, s := range project(t, "*").Services {
		if !ours(&s) {
			continue
		}
		words := program(&s)
		config, ok := configs[words[0]]
		if !ok {
			config, ok = configs[strings.Join(words[:min(2, len(words))], " ")]
		}
		for v := range s.Environment {
			switch {
			case !strings.HasPrefix(v, "CARDATA_"):
			case ok && !there(config):
				t.Logf("%s: %s is not in this version, %s is not checked", name, config, v)
			case ok && !variablesOf(t, config)[v]:
				t.Errorf("%s sets %s, which %s does not read", name, v, words[0])
			case !ok && !strings.Contains(commands, v) && !cardataReads(t, v):
				t.Errorf("%s sets %s, which no command of cardata reads", name, v)
			}
		}
	}
}

// cardataReads tells whether a command of cardata reads a variable by a Config:
// doctor those of the processes, setup its own.
func cardataReads(t *testing.T, name string) bool {
	t.Helper()
	for _, path := range []string{"internal/app/ingest/config.go", "internal/app/sink/config.go", "internal/app/setup/config.go"} {
		if there(path) && variablesOf(t, path)[name] {
			return true
		}
	}
	return false
}

func TestMountsAreThere(t *testing.T) {
	p := project(t, "*")
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			switch v.Type {
			case types.VolumeTypeBind:
				if _, err := os.Stat(v.Source); err != nil {
					t.Logf("%s: %v", name, err)
					if !strings.HasSuffix(v.Source, "/deploy/alerts") {
						t.Errorf("%s mounts %s, which is not there", name, v.Source)
					}
				}
				if !v.ReadOnly {
					t.Errorf("%s may write %s", name, v.Source)
				}
			case types.VolumeTypeVolume:
				if _, ok := p.Volumes[v.Source]; !ok {
					t.Errorf("%s mounts volume %s, which is not declared", name, v.Source)
				}
				// A new volume takes over the owner of the image's folder, of this one alone.
				if ours(&s) && v.Target != "/var/lib/cardata" {
					t.Errorf("%s mounts %s on %s, where user 65532 could not write", name, v.Source, v.Target)
				}
			}
		}
	}
}

func TestKindsOfDataStayApart(t *testing.T) {
	p := project(t, "*")
	for _, s := range []string{"ingest", "backfill"} {
		if _, ok := p.Services[s].DependsOn["real-data"]; !ok {
			t.Errorf("%s does not wait for real-data", s)
		}
	}
	if _, ok := p.Services["simulator"].DependsOn["demo-data"]; !ok {
		t.Error("simulator does not wait for demo-data")
	}
	marker := filepath.Join(t.TempDir(), "kind")
	start := func(kind string) (string, error) {
		out, err := exec.Command("sh", root+"/deploy/compose/one-kind.sh", kind, marker).CombinedOutput()
		return string(out), err
	}
	for range 2 {
		if out, err := start("demo"); err != nil {
			t.Fatalf("demo: %v\n%s", err, out)
		}
	}
	out, err := start("real")
	if err == nil || !strings.Contains(out, "must not be mixed") || !strings.Contains(out, "down -v") {
		t.Errorf("real over demo: %v, %s; want a refusal with the remedy", err, out)
	}
}

// TestConfigurationFilesNameServices holds what Prometheus and Grafana look for to
// the services and to Grafana's environment.
func TestConfigurationFilesNameServices(t *testing.T) {
	p := project(t, "*")
	text, err := os.ReadFile(root + "/deploy/compose/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	targets := 0
	for _, m := range regexp.MustCompile(`names: \[([^\]]+)\]`).FindAllStringSubmatch(string(text), -1) {
		for name := range strings.SplitSeq(m[1], ",") {
			targets++
			s, ok := p.Services[strings.TrimSpace(name)]
			if !ok || !ours(&s) {
				t.Errorf("prometheus.yml asks %s, which is no process of ours", name)
			}
		}
	}
	if targets == 0 {
		t.Error("prometheus.yml asks nobody")
	}
	text, err = os.ReadFile(root + "/deploy/grafana/provisioning/datasources/cardata.yml")
	if err != nil {
		t.Fatal(err)
	}
	grafana := p.Services["grafana"]
	for _, m := range regexp.MustCompile(`(?m)^[^#\n]*\$(\w+)`).FindAllStringSubmatch(string(text), -1) {
		if v := grafana.Environment[m[1]]; v == nil || *v == "" {
			t.Errorf("the data sources use $%s, which Grafana's environment has not", m[1])
		}
	}
}
