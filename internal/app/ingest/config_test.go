package ingest

import (
	"slices"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
)

func TestConfigReportsAllFaultsBeforeAnythingOpens(t *testing.T) {
	dir := t.TempDir()
	for name, value := range map[string]string{
		"CARDATA_DATA_DIR":              dir,
		"CARDATA_KAFKA_BROKERS":         "good:9092,bad",
		"CARDATA_OAUTH_URL":             "http://insecure",
		"CARDATA_MQTT_ADDR":             "host:0",
		"CARDATA_CA_FILE":               "/does/not/exist",
		"CARDATA_CONNECTS_PER_MINUTE":   "600",
		"CARDATA_RECONNECT_GAP":         "1ms",
		"CARDATA_KAFKA_COMPRESSION":     "brotli",
		"CARDATA_TOPIC_PREFIX":          "a b",
		"CARDATA_TOPIC_PARTITIONS":      "0",
		"CARDATA_RAW_RETENTION":         "10000h",
		"CARDATA_JOURNAL_MAX_MIB":       "1",
		"CARDATA_JOURNAL_SYNC":          "sometimes",
		"CARDATA_JOURNAL_SYNC_INTERVAL": "fast",
		"CARDATA_HTTP_ADDR":             "nope",
		"CARDATA_LOG_LEVEL":             "loud",
		"CARDATA_PERMIT_ADDR":           "nope",
		"CARDATA_PERMIT_SECRET":         "too short",
		"CARDATA_PERMIT_ADVERTISE":      "ingest-0:8090",
		"CARDATA_ACCOUNT_GROUP":         "a b",
		"CARDATA_ACCOUNT_SESSION":       "1ms",
		"CARDATA_TAKEOVER_WAIT":         "1s",
	} {
		t.Setenv(name, value)
	}
	var c Config
	err := env.Load(&c)
	if err == nil {
		t.Fatal("no fault found")
	}
	for _, want := range []string{
		`CARDATA_KAFKA_BROKERS="bad": must be host:port`,
		`CARDATA_OAUTH_URL="http://insecure": must be an address that begins with https://`,
		`CARDATA_MQTT_ADDR="host:0"`,
		`CARDATA_CA_FILE="/does/not/exist": must be a file`,
		`CARDATA_CONNECTS_PER_MINUTE=600: must be 1 to 120`,
		`CARDATA_RECONNECT_GAP=1ms: must be 1s to 5m0s`,
		`CARDATA_KAFKA_COMPRESSION="brotli": must be one of none, gzip, snappy, lz4, zstd`,
		`CARDATA_TOPIC_PREFIX="a b"`,
		`CARDATA_TOPIC_PARTITIONS=0: must be 1 to 1000`,
		`CARDATA_RAW_RETENTION=10000h0m0s: must be 1h0m0s to 720h0m0s`,
		`CARDATA_JOURNAL_MAX_MIB=1: must be 16 to 1048576`,
		`CARDATA_JOURNAL_SYNC="sometimes"`,
		`CARDATA_JOURNAL_SYNC_INTERVAL="fast"`,
		`CARDATA_HTTP_ADDR="nope"`,
		`CARDATA_LOG_LEVEL="loud"`,
		`CARDATA_PERMIT_ADDR="nope"`,
		`CARDATA_PERMIT_SECRET=redacted: must have at least 16 characters`,
		`CARDATA_PERMIT_ADVERTISE="ingest-0:8090": must be one address`,
		`CARDATA_ACCOUNT_GROUP="a b"`,
		`CARDATA_ACCOUNT_SESSION=1ms: must be 1s to 5m0s`,
		`CARDATA_TAKEOVER_WAIT=1s: must be 3s to 5m0s`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q", want)
		}
	}
	wantRealNames(t, err)
}

// wantRealNames checks that each fault names a variable that is really read.
func wantRealNames(t *testing.T, err error) {
	t.Helper()
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(line, "=")
		if !slices.ContainsFunc(env.Variables(Config{}), func(v env.Variable) bool { return v.Name == name }) {
			t.Errorf("no variable is called %s", name)
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	c := Config{KafkaBrokers: []string{"localhost:9092"}}
	if err := env.Defaults(&c); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestErrorsNameNoAccount(t *testing.T) {
	const gcid = "00000000-0000-4000-8000-000000000001"
	got := redactGCIDs("/var/lib/cardata/tokens/" + gcid + ".json: mode 0644; and " + gcid)
	if strings.Contains(got, gcid) || !strings.Contains(got, "000…001.json: mode 0644") {
		t.Errorf("got %q", got)
	}
}
