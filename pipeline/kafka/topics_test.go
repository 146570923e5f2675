package kafka

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

func TestEnsureTopicsCreatesWhatIsMissingAndLeavesTheRest(t *testing.T) {
	anywhere(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := Topic{
			Name: w.name(), Partitions: 3, Replication: 1, Retention: 7 * 24 * time.Hour,
			RetentionBytes: 64 << 20, MaxMessageBytes: 4<<20 + 64<<10, Compact: true,
		}
		bare := Topic{Name: w.name()}
		for range 2 {
			if err := c.EnsureTopics(w.ctx(30*time.Second), []Topic{topic, bare}); err != nil {
				t.Fatal(err)
			}
		}
		state, err := c.meta.topic(t.Context(), topic.Name)
		if err != nil || len(state.leaders) != 3 {
			t.Errorf("%d partitions, %v; want 3", len(state.leaders), err)
		}
		want := map[string]string{
			"retention.ms": "604800000", "retention.bytes": "67108864",
			"max.message.bytes": "4259840", "cleanup.policy": "compact",
		}
		for name, value := range w.topicConfig(topic.Name) {
			if v, ok := want[name]; ok && v != value {
				t.Errorf("%s = %s, want %s", name, value, v)
			}
			delete(want, name)
		}
		if len(want) > 0 {
			t.Errorf("not set: %v", want)
		}
		topic.Partitions = 8
		if err := c.EnsureTopics(w.ctx(30*time.Second), []Topic{topic}); err != nil {
			t.Fatal(err)
		}
		if n := w.logs.count("another number of partitions"); n != 1 {
			t.Errorf("difference logged %d times, want 1", n)
		}
		c.meta.distrust(topic.Name)
		wait(minMetadataAge + time.Millisecond)
		if state, err := c.meta.topic(t.Context(), topic.Name); err != nil || len(state.leaders) != 3 {
			t.Errorf("an existing topic now has %d partitions, want 3 as before (%v)", len(state.leaders), err)
		}
	})
}

func (w *world) topicConfig(topic string) map[string]string {
	w.t.Helper()
	c, done := w.other()
	defer done()
	res, err := c.DescribeConfigs(w.ctx(10*time.Second), &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	got := make(map[string]string)
	for _, e := range res.Resources[0].ConfigEntries {
		got[e.ConfigName] = e.ConfigValue
	}
	return got
}

func TestEnsureTopicsWaitsForBrokersUntilItsContextEnds(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		w.net.setDown(true)
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		if err := c.EnsureTopics(ctx, []Topic{{Name: w.name()}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("EnsureTopics = %v, want deadline exceeded", err)
		}
		done := make(chan error, 1)
		go func() { done <- c.EnsureTopics(t.Context(), []Topic{{Name: w.name(), Partitions: 2}}) }()
		wait(time.Minute)
		w.net.setDown(false)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestEnsureTopicsSaysWhenAPersonMustAct(t *testing.T) {
	for name, e := range map[string]*kerr.Error{
		"not allowed":      kerr.TopicAuthorizationFailed,
		"settings refused": kerr.InvalidConfig,
		"policy":           kerr.PolicyViolation,
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				t := w.t

				w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: e, Count: -1})
				if err := w.client().EnsureTopics(t.Context(), []Topic{{Name: w.name()}}); !isWriteError(err, pipeline.Fatal) {
					t.Errorf("EnsureTopics = %v, want fatal", err)
				}
			})
		})
	}
}

func TestNewReportsAllFaultsAtOnce(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no broker":         {},
		"broker, no port":   {Brokers: []string{"localhost"}},
		"wrong compression": {Brokers: []string{"localhost:9092"}, Compression: "rar"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: New = nil, want an error", name)
		}
	}
	_, err := New(Config{Brokers: []string{"a", "b"}, Compression: "rar"})
	if joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); !ok || len(joined.Unwrap()) != 3 {
		t.Errorf("New = %v, want three faults", err)
	}
	c, err := New(Config{Brokers: []string{"localhost:9092"}, Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}
