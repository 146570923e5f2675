package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Mosquitto, at CARDATA_TEST_MOSQUITTO, with BMW's rules: TLS 1.3, the token as
// password, topics of one's own alone. It is restarted in mid-flow.
func TestAgainstMosquitto(t *testing.T) {
	addr := os.Getenv("CARDATA_TEST_MOSQUITTO")
	if addr == "" {
		if list := strings.Split(os.Getenv("CARDATA_TEST_REQUIRE"), ","); slices.Contains(list, "1") || slices.Contains(list, "mosquitto") {
			t.Fatal("CARDATA_TEST_MOSQUITTO is not set but required")
		}
		t.Skip("CARDATA_TEST_MOSQUITTO is not set")
	}
	pem, err := os.ReadFile(os.Getenv("CARDATA_TEST_MOSQUITTO_CA"))
	if err != nil {
		t.Fatal(err)
	}
	trust := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	trust.RootCAs.AppendCertsFromPEM(pem)
	gcid, password := schema.GCID(os.Getenv("CARDATA_TEST_MOSQUITTO_USER")), os.Getenv("CARDATA_TEST_MOSQUITTO_PASSWORD")

	const n = 500
	h, stats := newCounter(2*n), new(Stats)
	c, err := New(gcid, fixedToken(password), h, NewPacer(0, 0), Config{Addr: addr, TLS: trust, ReconnectGap: time.Second, Stats: stats})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	feed := func() {
		<-h.subbed
		o := mqtt.NewClientOptions().AddBroker("tls://" + addr).SetTLSConfig(trust).
			SetUsername(os.Getenv("CARDATA_TEST_MOSQUITTO_FEEDER")).SetPassword(password)
		feeder := mqtt.NewClient(o)
		if token := feeder.Connect(); token.Wait() && token.Error() != nil {
			t.Fatal(token.Error())
		}
		defer feeder.Disconnect(100)
		for i := range n {
			for _, topic := range []string{string(gcid), "00000000-0000-4000-8000-000000000002"} { // one's own, and another's
				if token := feeder.Publish(topic+"/"+testVIN, 1, false, fmt.Sprint(i)); token.Wait() && token.Error() != nil {
					t.Fatal(token.Error())
				}
			}
		}
	}
	feed()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for stats.ReceivedMessages.Load() < n { // what was handed over must be read before the broker goes
		<-tick.C
	}
	if ctl := os.Getenv("CARDATA_TEST_MOSQUITTO_CTL"); ctl != "" {
		for _, command := range []string{"kill", "start"} {
			if out, err := exec.Command(ctl, command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
		}
	} else {
		h.subbed <- struct{}{} // this broker is not ours to stop
	}
	feed()
	<-h.full
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if h.got != 2*n {
		t.Errorf("got %d messages, want the %d of the account's own topic", h.got, 2*n)
	}
	if lost := h.lost; len(lost) == 0 || lost[len(lost)-1] != schema.GapShutdown {
		t.Errorf("losses %v, want the last to be the shutdown", lost)
	}
}

// fixedToken is a token that never changes.
type fixedToken string

func (f fixedToken) IDToken(context.Context, time.Duration) (string, time.Time, error) {
	return string(f), time.Now().Add(time.Hour), nil
}

func (fixedToken) Renew(context.Context, string) error { return nil }
