package deploytest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	backfill "github.com/cardata-pipeline/cardata-pipeline/internal/app/backfill/cli"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ingest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/setup"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/sink"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
)

// configs gives the Config of each program that is set by variables.
func configs() map[string]any {
	return map[string]any{"ingest": ingest.Config{}, "sink": sink.Config{}, "backfill": backfill.Config{}, "export": export.Config{}}
}

// commands gives the Config of each command of cardata that has one: they have no
// section of their own in values.yaml.
func commands() map[string]any { return map[string]any{"cardata setup": setup.Config{}} }

// configOf finds a container's Config.
func configOf(c container) (cfg any, configured bool) {
	name := c.program
	if len(c.command) > 1 && name == "cardata" {
		name += " " + c.command[1]
	}
	if cfg, configured = configs()[name]; !configured {
		cfg, configured = commands()[name]
	}
	return cfg, configured
}

func variables(cfg any) map[string]env.Variable {
	known := make(map[string]env.Variable)
	for _, v := range env.Variables(cfg) {
		known[v.Name] = v
	}
	return known
}

// commandVariables are those that the commands of cardata read: they stand in
// its source as they are.
func commandVariables(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	files, err := filepath.Glob(root + "/internal/app/cli/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of the command line: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

func TestChartSetsVariablesThatItsProgramsRead(t *testing.T) {
	cardata := commandVariables(t)
	for _, values := range []string{"minimal", "production", "demo"} {
		t.Run(values, func(t *testing.T) {
			for _, c := range containers(t, render(t, values)) {
				cfg, configured := configOf(c)
				known := map[string]env.Variable{}
				if configured {
					known = variables(cfg)
				}
				seen := make(map[string]bool)
				for _, v := range c.env {
					name := text(v, "name")
					if seen[name] {
						t.Errorf("%s sets %s twice", c.where, name)
					}
					seen[name] = true
					variable, ok := known[name]
					switch {
					case !strings.HasPrefix(name, env.Prefix+"_"):
					case !configured && c.program == "cardata" && strings.Contains(cardata, `"`+name+`"`):
					case !ok:
						t.Errorf("%s (%s) sets %s, which it does not read", c.where, c.words(), name)
					}
					if variable.Secret && at(v, "valueFrom", "secretKeyRef") == nil {
						t.Errorf("%s shows the secret %s in its manifest", c.where, name)
					}
				}
				for name, v := range known {
					if v.Required && !seen[name] {
						t.Errorf("%s lacks %s, which is required", c.where, name)
					}
				}
			}
		})
	}
}

// managed are the variables that the chart sets from values outside a
// component's config.
func managed() []string {
	return []string{
		"DATA_DIR", "TOKEN_DIR", "HTTP_ADDR", "CATALOGUE", "PERMIT_ADDR", "PERMIT_URL", "PERMIT_SECRET",
		"OAUTH_URL", "MQTT_ADDR", "REST_URL", "CA_FILE",
		"ACCOUNT_GROUP", "REPLICA", "PERMIT_ADVERTISE",
		"EXPORT_TARGET", "EXPORT_SCRATCH_DIR", "EXPORT_KEY", "EXPORT_EVERY", // the last one is for export watch
		"KAFKA_BROKERS", "KAFKA_COMPRESSION", "KAFKA_TLS", "KAFKA_CA_FILE", "KAFKA_CERT_FILE", "KAFKA_KEY_FILE", "KAFKA_SASL", "KAFKA_USER", "KAFKA_PASSWORD",
		"TOPIC_PREFIX", "TOPIC_PARTITIONS", "TOPIC_REPLICATION", "TOPIC_MIN_INSYNC", "READINGS_RETENTION", "RAW_RETENTION",
		"INFLUX_URL", "INFLUX_TOKEN", "INFLUX_USER", "INFLUX_PASSWORD", "INFLUX_ORG", "INFLUX_BUCKET", "INFLUX_CA_FILE", "INFLUX_CERT_FILE", "INFLUX_KEY_FILE",
	}
}

// TestValuesShowEachSettingWithItsDefault holds values.yaml to the structs both
// ways: nothing that no program reads, nothing left out, no default of its own.
func TestValuesShowEachSettingWithItsDefault(t *testing.T) {
	values := readYAML(t, chart+"/values.yaml")
	for component, cfg := range configs() {
		t.Run(component, func(t *testing.T) {
			known := variables(cfg)
			config, _ := at(values, component, "config").(object)
			shown := make(map[string]bool)
			for key, value := range config {
				name := env.Prefix + "_" + snake(key)
				shown[name] = true
				v, ok := known[name]
				if !ok {
					t.Errorf("%s.config.%s: %s does not read %s", component, key, component, name)
				} else if got := fmt.Sprint(value); ok && got != v.Default {
					t.Errorf("%s.config.%s is %s, the default of %s is %s", component, key, got, name, v.Default)
				}
			}
			for name := range known {
				if !shown[name] && !slices.Contains(managed(), strings.TrimPrefix(name, env.Prefix+"_")) {
					t.Errorf("%s.config lacks %s", component, name)
				}
			}
		})
	}
}

// TestSharedValuesAreTheDefaults holds the values that several programs share.
func TestSharedValuesAreTheDefaults(t *testing.T) {
	values := readYAML(t, chart+"/values.yaml")
	for path, name := range map[string]string{
		"kafka.topicPrefix": "TOPIC_PREFIX", "kafka.topicPartitions": "TOPIC_PARTITIONS", "kafka.topicReplication": "TOPIC_REPLICATION",
		"kafka.topicMinInsync": "TOPIC_MIN_INSYNC", "kafka.compression": "KAFKA_COMPRESSION",
		"kafka.readingsRetention": "READINGS_RETENTION", "kafka.rawRetention": "RAW_RETENTION", "influxdb.bucket": "INFLUX_BUCKET",
		"bmw.oauthUrl": "OAUTH_URL", "bmw.mqttAddr": "MQTT_ADDR", "bmw.restUrl": "REST_URL",
	} {
		got := fmt.Sprint(at(values, strings.Split(path, ".")...))
		readers := 0
		for component, cfg := range configs() {
			if v, ok := variables(cfg)[env.Prefix+"_"+name]; ok {
				readers++
				if v.Default != got {
					t.Errorf("%s is %s, the default of %s's %s is %s", path, got, component, v.Name, v.Default)
				}
			}
		}
		if readers == 0 {
			t.Errorf("%s: no program reads %s", path, name)
		}
	}
}

// snake does what the chart's template does with a key.
func snake(key string) string {
	return strings.ToUpper(regexp.MustCompile(`([a-z0-9])([A-Z])`).ReplaceAllString(key, "${1}_${2}"))
}
