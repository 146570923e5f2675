package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

func TestConsumeCountsWhatRetentionTook(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		w.produce(c, numbered(topic, 1, 0, 100))
		w.commit(topic, topic, 0, 20)
		if err := w.cluster.DeleteRecords(topic, 0, 60); err != nil {
			t.Fatal(err)
		}
		m := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}}, nil)
		if got := m.await(40); string(got[0].Value) != "60" {
			t.Errorf("went on at %s, want 60", got[0].Value)
		}
		m.stop()
		if n := m.Stats.LostRecords.Load(); n != 40 {
			t.Errorf("Stats.LostRecords = %d, want 40", n)
		}
		if n := w.logs.count("offset is outside the log"); n != 1 {
			t.Errorf("alarm logged %d times, want 1", n)
		}
	})
}

func TestConsumeStartsAnewWhenTheLogWasCut(t *testing.T) {
	anywhere(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		w.produce(c, numbered(topic, 1, 0, 50))
		w.commit(topic, topic, 0, 5000)
		m := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}}, nil)
		checkOrder(t, m.await(50), 50, false)
		m.stop()
		if n := m.Stats.OffsetResets.Load(); n != 1 {
			t.Errorf("Stats.OffsetResets = %d, want 1", n)
		}
		if n := w.committed(topic, topic, 0); n != 50 {
			t.Errorf("committed %d, want 50", n)
		}
	})
}

func TestConsumeHandlesAnOffsetThatFallsOutOfTheLogWhileRunning(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		w.produce(c, numbered(topic, 1, 0, 10))
		m := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}}, nil)
		m.await(10)
		fetches := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: -1})
		w.produce(c, numbered(topic, 1, 10, 90))
		if err := w.cluster.DeleteRecords(topic, 0, 70); err != nil {
			t.Fatal(err)
		}
		fetches.Remove()
		got := m.await(40)
		m.stop()
		if string(got[10].Value) != "70" {
			t.Errorf("went on at %s, want 70", got[10].Value)
		}
		if n := m.Stats.LostRecords.Load(); n != 60 {
			t.Errorf("Stats.LostRecords = %d, want 60", n)
		}
	})
}

func TestConsumeOutlivesBrokersAway(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 3)
		w.produce(c, numbered(topic, 10, 0, 100))
		w.net.setDown(true)
		m := w.start(w.client(), ConsumerConfig{Group: topic, Topics: []string{topic}}, nil) // away at the start
		wait(20 * time.Second)
		if s := m.Status(); s.AwaySince.IsZero() || s.LastError == "" {
			t.Errorf("Status = %+v, want away", s)
		}
		w.net.setDown(false)
		m.await(100)
		w.net.setDown(true) // and in between
		wait(time.Minute)
		if s := m.Status(); s.AwaySince.IsZero() {
			t.Error("Status: not away in the second outage")
		}
		w.net.setDown(false)
		w.produce(c, numbered(topic, 10, 100, 100))
		eventually(t, "records after the outage", func() bool { return distinct(m.records()) == 200 })
		eventually(t, "trouble over", func() bool { return m.Status().AwaySince.IsZero() })
		m.stop()
		checkOrder(t, m.records(), 200, true)
	})
}

func distinct(got []stored) int {
	seen := make(map[string]bool)
	for _, r := range got {
		seen[string(r.Value)] = true
	}
	return len(seen)
}

func TestConsumeRetriesFetches(t *testing.T) {
	for name, e := range map[string]*kerr.Error{
		"leader moved":    kerr.NotLeaderForPartition,
		"unknown":         kerr.UnknownTopicOrPartition,
		"server error":    kerr.UnknownServerError,
		"storage trouble": kerr.KafkaStorageError,
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				t := w.t

				c := w.client()
				topic := w.topic(c, 2)
				w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: e, Count: 4})
				m := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}}, nil)
				w.produce(c, numbered(topic, 10, 0, 100))
				checkOrder(t, m.await(100), 100, false)
				for i := range 4 {
					for p := range int32(2) {
						if err := w.cluster.MoveTopicPartition(topic, p, (p+int32(i))%2); err != nil {
							t.Fatal(err)
						}
					}
					w.produce(c, numbered(topic, 10, 100+i*10, 10))
				}
				checkOrder(t, m.await(140), 140, false)
				m.stop()
			})
		})
	}
}

func TestConsumeStopsWhenAPersonMustAct(t *testing.T) {
	for name, f := range map[string]kfake.Fault{
		"topic not allowed": {Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed, Count: -1},
		"group not allowed": {Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed, TopLevel: true, Count: -1},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				t := w.t

				c := w.client()
				topic := w.topic(c, 2)
				w.cluster.Fault(f)
				m := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}}, nil)
				if err := <-m.done; !isWriteError(err, pipeline.Fatal) {
					t.Errorf("Run = %v, want fatal", err)
				}
				m.cancel()
			})
		})
	}
}

func TestConsumeWaitsForATopicThatComesLater(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.name()
		m := w.start(c, ConsumerConfig{Group: "g", Topics: []string{topic}, WatchEvery: time.Second}, nil)
		wait(10 * time.Second)
		if err := w.cluster.CreateTopic(topic, 2, nil); err != nil {
			t.Fatal(err)
		}
		w.produce(c, numbered(topic, 10, 0, 100))
		checkOrder(t, m.await(100), 100, false)
		m.stop()
	})
}

func TestConsumeEndsInTimeWhileOthersHoldTheRebalanceUp(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 2)
		w.produce(c, numbered(topic, 10, 0, 10))
		started, release := make(chan struct{}, 8), make(chan struct{})
		a := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}, DrainTimeout: 20 * time.Second, SessionTimeout: 30 * time.Second},
			func(int, []pipeline.Record) error { started <- struct{}{}; <-release; return nil })
		<-started
		b := w.start(w.client(), ConsumerConfig{Group: topic, Topics: []string{topic}, DrainTimeout: 2 * time.Second}, nil)
		wait(3 * time.Second) // b now joins, and a is busy
		start := time.Now()
		b.stop()
		if d := time.Since(start); d > 8*time.Second {
			t.Errorf("took %v to end, want at most the drain and 5s", d)
		}
		close(release)
		a.await(10)
		a.stop()
	})
}

func TestConsumeResumesSoonAfterAShortOutage(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t
		c := w.client()
		topic := w.topic(c, 2)
		w.produce(c, numbered(topic, 10, 0, 10))
		m := w.start(w.client(), ConsumerConfig{Group: topic, Topics: []string{topic}, SessionTimeout: time.Minute}, nil)
		m.await(10)
		w.net.setDown(true)
		wait(3 * time.Second)
		w.net.setDown(false)
		start := time.Now()
		w.produce(c, numbered(topic, 10, 10, 10))
		eventually(t, "records after the outage", func() bool { return distinct(m.records()) == 20 })
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("resumed after %v: waited for the old membership's session timeout", d)
		}
		m.stop()
	})
}
