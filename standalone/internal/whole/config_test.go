package whole

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestFlagsHaveTheDocumentedDefaults(t *testing.T) {
	c, err := Parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Accounts: 1, Cars: 5, History: 168 * time.Hour, Speed: 1, Seed: 1,
		KafkaAddr: "127.0.0.1:9092", InfluxAddr: "127.0.0.1:8086", HTTPAddr: "127.0.0.1:8080",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestFlagFaultsComeAllAtOnce(t *testing.T) {
	_, err := Parse([]string{
		"--accounts", "0", "--cars", "101", "--history", "-1h", "--speed", "NaN", "--for", "-1s",
		"--kafka-addr", "0.0.0.0:9092", "--influx-addr", "nonsense", "--http-addr", "", "--token-dir", "/does/not/exist",
	}, io.Discard)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"--accounts=0: must be 1 to 1000", "--cars=101: must be 1 to 100", "--history=-1h0m0s: must be 0s to 2160h",
		"--speed=NaN: must be 1 to 10000", "--for=-1s: must be 0s or more", "--kafka-addr=0.0.0.0:9092: must be on 127.0.0.1",
		"--influx-addr=nonsense: must be host:port", "--http-addr=: must be host:port", "--token-dir=/does/not/exist: must be a folder",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q:\n%v", want, err)
		}
	}
}

func TestFlagsRefuseWhatTheyDoNotKnow(t *testing.T) {
	for _, args := range [][]string{{"--nope"}, {"extra"}, {"--cars", "many"}, {"--speed", "0.5"}, {"--speed", "1e9"}} {
		if c, err := Parse(args, io.Discard); err == nil || errors.Is(err, flag.ErrHelp) {
			t.Errorf("%v: %+v, %v, want an error", args, c, err)
		}
	}
}

func TestHelpShowsEveryFlag(t *testing.T) {
	var out strings.Builder
	if _, err := Parse([]string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("got %v, want flag.ErrHelp", err)
	}
	for _, want := range []string{
		"-accounts", "-cars", "-history", "-speed", "-seed", "-for", "-data", "-kafka-addr", "-influx-addr", "-http-addr", "-real", "-token-dir", "-json",
	} {
		if !strings.Contains(out.String(), "  "+want) {
			t.Errorf("help lacks %s", want)
		}
	}
}
