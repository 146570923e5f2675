package sink

import (
	"slices"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
)

func TestConfigReportsAllFaultsBeforeAnythingOpens(t *testing.T) {
	for name, value := range map[string]string{
		"CARDATA_KAFKA_BROKERS":  "bad",
		"CARDATA_INFLUX_URL":     "influx:8086",
		"CARDATA_INFLUX_TOKEN":   "s3cret",
		"CARDATA_BATCH_READINGS": "0",
		"CARDATA_BATCH_WAIT":     "2h",
		"CARDATA_PARALLEL":       "many",
	} {
		t.Setenv(name, value)
	}
	var c Config
	err := env.Load(&c)
	if err == nil {
		t.Fatal("no fault found")
	}
	for _, want := range []string{
		`CARDATA_KAFKA_BROKERS="bad"`, `CARDATA_INFLUX_URL="influx:8086"`, "CARDATA_BATCH_READINGS=0: must be 1 to 50000",
		"CARDATA_BATCH_WAIT=2h0m0s: must be 1ms to 1m0s", `CARDATA_PARALLEL="many"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q in\n%v", want, err)
		}
	}
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(line, "=")
		if !slices.ContainsFunc(env.Variables(Config{}), func(v env.Variable) bool { return v.Name == name }) {
			t.Errorf("no variable is called %s", name)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Error("the fault shows the token")
	}
}

func TestDefaultsAreValid(t *testing.T) {
	c := Config{KafkaBrokers: []string{"localhost:9092"}, InfluxURL: "http://localhost:8086"}
	if err := env.Defaults(&c); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
