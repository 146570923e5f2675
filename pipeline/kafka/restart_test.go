package kafka

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// A real broker is stopped in order, then killed, while records go in and out:
// each record arrives, in its order, and the group goes on where it was.
func TestARealBrokerRestartsInMidFlow(t *testing.T) {
	onReal(t, func(w *world) {
		t := w.t
		ctl := os.Getenv("CARDATA_TEST_KAFKA_CTL")
		if ctl == "" {
			t.Skip("CARDATA_TEST_KAFKA_CTL is not set: this broker is not ours to stop")
		}
		control := func(command string) {
			if out, err := exec.Command(ctl, command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
		}
		t.Cleanup(func() { control("start") })

		c := w.client()
		topic := w.topic(c, 3)
		cfg := ConsumerConfig{Group: topic, Topics: []string{topic}, MaxBatch: 50, CommitEvery: 20 * time.Millisecond}
		m := w.start(w.client(), cfg, nil)
		const total = 6000
		fed := make(chan struct{})
		go func() { // ends with the records
			defer close(fed)
			p := c.NewProducer(ProducerConfig{})
			for i := 0; i < total; i += 50 {
				if err := p.Produce(w.ctx(10*time.Minute), numbered(topic, 30, i, 50)); err != nil {
					t.Errorf("Produce: %v", err)
					return
				}
				wait(50 * time.Millisecond)
			}
		}()
		seen := 0
		for _, end := range []string{"stop", "kill"} {
			soon(t, "more records", func() bool { return len(m.records()) >= seen+200 })
			seen = len(m.records())
			control(end)
			wait(time.Second)
			control("start")
		}
		<-fed
		soon(t, "every record", func() bool { return distinct(m.records()) == total })
		m.stop()
		checkOrder(t, m.records(), total, true)
		last := numbered(topic, 30, total, 1)
		w.produce(w.client(), last)
		next := w.start(w.client(), cfg, nil)
		if got := next.await(1); string(got[0].Value) != string(last[0].Value) {
			t.Errorf("the next member went on at %s, want %s: commits were lost", got[0].Value, last[0].Value)
		}
		next.stop()
	})
}

// soon waits as long as a broker may take to come back on a busy machine.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); !ok(); wait(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 5 minutes: %s", what)
		}
	}
}
