package env_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
)

type config struct {
	KafkaBrokers []string      `split_words:"true" required:"true" desc:"brokers"`
	MQTTCAFile   string        `split_words:"true" default:"ca.pem" desc:"a file"`
	BatchSize    int           `split_words:"true" default:"500" desc:"readings per write, 1 to 5000"`
	Wait         time.Duration `default:"20s" desc:"time to wait"`
	Token        string        `secret:"true" desc:"a secret"`
	TokenAge     int           `split_words:"true" secret:"true" default:"1" desc:"a secret number"`
}

func (c *config) Validate() error {
	var f env.Faults
	env.Between(&f, "BATCH_SIZE", c.BatchSize, 1, 5000)
	if len(c.KafkaBrokers) == 0 {
		f.Add("KAFKA_BROKERS", "", "must name one")
	}
	return f.Err()
}

func TestLoadReadsEveryKindOfField(t *testing.T) {
	t.Setenv("CARDATA_KAFKA_BROKERS", "a:1,b:2")
	t.Setenv("CARDATA_MQTTCA_FILE", "other.pem")
	t.Setenv("CARDATA_WAIT", "3m")
	t.Setenv("CARDATA_BATCH_SIZE", "") // empty is not set: the default applies
	var c config
	if err := env.Load(&c); err != nil {
		t.Fatal(err)
	}
	if len(c.KafkaBrokers) != 2 || c.MQTTCAFile != "other.pem" || c.Wait != 3*time.Minute || c.BatchSize != 500 {
		t.Errorf("got %+v", c)
	}
}

func TestLoadReportsAllFaultsAtOnce(t *testing.T) {
	t.Setenv("CARDATA_BATCH_SIZE", "9000")
	t.Setenv("CARDATA_WAIT", "soon")
	t.Setenv("CARDATA_TOKEN_AGE", "s3cret")
	err := env.Load(&config{})
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	for _, want := range []string{
		"CARDATA_KAFKA_BROKERS is not set: brokers",
		`CARDATA_BATCH_SIZE=9000: must be 1 to 5000`,
		`CARDATA_WAIT="soon": not a`,
		"CARDATA_TOKEN_AGE=(secret)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("error lacks %q:\n%s", want, text)
		}
	}
	if strings.Count(text, "KAFKA_BROKERS") != 1 {
		t.Errorf("one variable, one line, got:\n%s", text)
	}
	if strings.Contains(text, "s3cret") {
		t.Errorf("error shows a secret:\n%s", text)
	}
}

func TestDefaultsIgnoreTheEnvironment(t *testing.T) {
	t.Setenv("CARDATA_BATCH_SIZE", "7")
	c := config{KafkaBrokers: []string{"kept:1"}}
	if err := env.Defaults(&c); err != nil {
		t.Fatal(err)
	}
	if c.BatchSize != 500 || c.Wait != 20*time.Second || len(c.KafkaBrokers) != 1 {
		t.Errorf("got %+v", c)
	}
}

func TestHelpNamesTheVariableThatLoadReads(t *testing.T) {
	var help strings.Builder
	if err := env.Help(&help, &config{}); err != nil {
		t.Fatal(err)
	}
	for _, v := range env.Variables(&config{}) {
		if !strings.Contains(help.String(), v.Name) {
			t.Errorf("help lacks %s", v.Name)
		}
	}
	// MQTTCAFile is split at the last capital of the run, as envconfig does.
	if !strings.Contains(help.String(), "CARDATA_MQTTCA_FILE") {
		t.Errorf("help:\n%s", help.String())
	}
}

func TestFaultsNameVariableValueAndRange(t *testing.T) {
	var f env.Faults
	f.HostPort("A", "nohost")
	f.ListenAddr("B", "1.2.3.4:99999")
	f.URL("C", "ftp://x", "https")
	f.File("D", "/does/not/exist")
	f.OneOf("E", "x", "y", "z")
	env.Between(&f, "F", time.Hour, time.Second, time.Minute)
	var list interface{ Unwrap() []error }
	if !errors.As(f.Err(), &list) || len(list.Unwrap()) != 6 {
		t.Fatalf("want six faults, got %v", f.Err())
	}
	if got := list.Unwrap()[5].Error(); got != "CARDATA_F=1h0m0s: must be 1s to 1m0s" {
		t.Errorf("got %q", got)
	}
}
