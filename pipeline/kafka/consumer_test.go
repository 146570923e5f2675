package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// member is a consumer under test with all it was handed.
type member struct {
	*Consumer
	t      *testing.T
	cancel context.CancelFunc
	done   chan error

	mu     sync.Mutex // guards got, before
	got    []stored
	before func(partition int, batch []pipeline.Record) error // of each batch
}

// start runs a member until the test ends or stop is called.
func (w *world) start(c *Client, cfg ConsumerConfig, before func(partition int, batch []pipeline.Record) error) *member {
	w.t.Helper()
	if w.net != nil && cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = 10 * time.Second
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 200 * time.Millisecond
	}
	if cfg.MaxWait == 0 {
		cfg.MaxWait = 50 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{Consumer: c.NewConsumer(cfg), t: w.t, cancel: cancel, done: make(chan error, 1), before: before}
	go func() { m.done <- m.Run(ctx, m.handle) }()
	return m
}

func (m *member) handle(_ context.Context, topic string, partition int, batch []pipeline.Record) error {
	if m.before != nil {
		if err := m.before(partition, batch); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range batch {
		r := &batch[i]
		if r.Topic != topic || r.Partition != partition {
			m.t.Errorf("record of %s/%d in a batch of %s/%d", r.Topic, r.Partition, topic, partition)
		}
		s := stored{Partition: r.Partition, Offset: r.Offset, Key: []byte(string(r.Key)), Value: []byte(string(r.Value)), Timestamp: r.Time}
		for _, h := range r.Headers {
			s.Headers = append(s.Headers, kafka.Header{Key: h.Key, Value: append([]byte(nil), h.Value...)})
		}
		m.got = append(m.got, s)
	}
	return nil
}

func (m *member) records() []stored {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]stored(nil), m.got...)
}

func (m *member) await(n int) []stored {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("%d records", n), func() bool { return len(m.records()) >= n })
	return m.records()
}

// stop ends the member in order.
func (m *member) stop() {
	m.t.Helper()
	m.cancel()
	if err := <-m.done; err != nil {
		m.t.Errorf("Run = %v, want nil", err)
	}
}

// committed gives the group's offset of a partition, -1 for none.
func (w *world) committed(group, topic string, partition int) int64 {
	w.t.Helper()
	c, done := w.other()
	defer done()
	res, err := c.OffsetFetch(w.ctx(10*time.Second), &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {partition}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return res.Topics[topic][0].CommittedOffset
}

// commit sets it from outside the group.
func (w *world) commit(group, topic string, partition int, offset int64) {
	w.t.Helper()
	c, done := w.other()
	defer done()
	res, err := c.OffsetCommit(w.ctx(10*time.Second), &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: partition, Offset: offset}}},
	})
	if err != nil || res.Topics[topic][0].Error != nil {
		w.t.Fatalf("commit: %v %+v", err, res)
	}
}

func TestConsumeHandsOverInOrderWhatWasProducedAndGoesOnWhereItWas(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			onLoopback(t, func(w *world) {
				t := w.t

				c := w.client(func(cfg *Config) { cfg.Compression = compression })
				topic := w.topic(c, 4)
				records := numbered(topic, 30, 0, 2000)
				for i := range records {
					records[i].Headers = []pipeline.Header{{Key: "v", Value: []byte("1")}}
				}
				w.produce(c, records)
				cfg := ConsumerConfig{Group: topic, Topics: []string{topic}, MaxBatch: 100}
				m := w.start(c, cfg, func(_ int, batch []pipeline.Record) error {
					if len(batch) == 0 || len(batch) > 100 {
						t.Errorf("batch of %d, want 1 to 100", len(batch))
					}
					return nil
				})
				got := m.await(2000)
				checkOrder(t, got, 2000, false)
				if r := got[0]; len(r.Headers) != 1 || r.Headers[0].Key != "v" || string(r.Headers[0].Value) != "1" {
					t.Errorf("headers %v", r.Headers)
				}
				v, _ := strconv.Atoi(string(got[5].Value))
				if want := time.UnixMilli(1_700_000_000_000 + int64(v)); !got[5].Timestamp.Equal(want) {
					t.Errorf("time %v, want %v", got[5].Timestamp, want)
				}
				eventually(t, "no lag", func() bool {
					s := m.Status()
					lag := int64(0)
					for _, p := range s.Partitions {
						lag += p.Lag()
					}
					return s.Joined && len(s.Partitions) == 4 && lag == 0
				})
				m.stop()
				w.produce(c, numbered(topic, 30, 2000, 100))
				m = w.start(c, cfg, nil)
				got = append(got, m.await(100)...)
				m.stop()
				checkOrder(t, got, 2100, false)
			})
		})
	}
}

func TestConsumeCommitsOnlyWhatWasHandled(t *testing.T) {
	anywhere(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		w.produce(c, numbered(topic, 1, 0, 100))
		release := make(chan struct{})
		calls := 0
		m := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}, MaxBatch: 10, CommitEvery: 20 * time.Millisecond},
			func(int, []pipeline.Record) error {
				if calls++; calls == 4 {
					<-release
				}
				return nil
			})
		m.await(30)
		eventually(t, "commit of 30", func() bool { return w.committed(topic, topic, 0) == 30 })
		wait(200 * time.Millisecond)
		if n := w.committed(topic, topic, 0); n != 30 {
			t.Errorf("committed %d while the fourth batch is not durable, want 30", n)
		}
		close(release)
		m.await(100)
		m.stop()
		if n := w.committed(topic, topic, 0); n != 100 {
			t.Errorf("committed %d after the end, want 100", n)
		}
	})
}

func TestConsumeEndsWithTheHandlersErrorAndReadsAgain(t *testing.T) {
	anywhere(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		w.produce(c, numbered(topic, 1, 0, 100))
		wrong := errors.New("disk full")
		calls := 0
		cfg := ConsumerConfig{Group: topic, Topics: []string{topic}, MaxBatch: 10}
		m := w.start(c, cfg, func(int, []pipeline.Record) error {
			if calls++; calls == 6 {
				return wrong
			}
			return nil
		})
		if err := <-m.done; !errors.Is(err, wrong) {
			t.Fatalf("Run = %v, want the handler's error", err)
		}
		if n := w.committed(topic, topic, 0); n != 50 {
			t.Errorf("committed %d, want 50", n)
		}
		m.cancel()
		again := w.start(c, cfg, nil)
		if got := again.await(50); string(got[0].Value) != "50" {
			t.Errorf("went on at %s, want 50", got[0].Value)
		}
		again.stop()
	})
}

func TestConsumeDrainsAndLeavesTheGroup(t *testing.T) {
	anywhere(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		w.produce(c, numbered(topic, 1, 0, 10))
		started := make(chan struct{})
		m := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}}, func(int, []pipeline.Record) error {
			close(started)
			wait(time.Second) // longer than the stop takes
			return nil
		})
		<-started
		m.stop()
		if n := w.committed(topic, topic, 0); n != 10 {
			t.Errorf("committed %d, want 10: the running batch was not drained", n)
		}
		w.produce(c, numbered(topic, 1, 10, 10))
		start := time.Now()
		next := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}}, nil)
		next.await(10)
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("the next member waited %v: the group was not left", d)
		}
		next.stop()
	})
}

func TestConsumeCutsOffAHandlerThatOutlivesTheDrain(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		w.produce(c, numbered(topic, 1, 0, 10))
		ctx, cancel := context.WithCancel(t.Context())
		started := make(chan struct{})
		m := c.NewConsumer(ConsumerConfig{Group: topic, Topics: []string{topic}, DrainTimeout: 3 * time.Second})
		done := make(chan error, 1)
		go func() {
			done <- m.Run(ctx, func(ctx context.Context, _ string, _ int, _ []pipeline.Record) error {
				close(started)
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		<-started
		start := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if d := time.Since(start); d < 3*time.Second || d > 4*time.Second {
			t.Errorf("took %v, want the drain's 3s", d)
		}
		if n := m.Stats.Abandoned.Load(); n != 1 {
			t.Errorf("Stats.Abandoned = %d, want 1", n)
		}
		if n := w.committed(topic, topic, 0); n > 0 {
			t.Errorf("committed %d, want nothing handled", n)
		}
	})
}

func TestConsumeSharesPartitionsBetweenMembersWithoutGap(t *testing.T) {
	anywhere(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 6)
		cfg := ConsumerConfig{Group: topic, Topics: []string{topic}, MaxBatch: 20, CommitEvery: time.Hour}
		slow := func(int, []pipeline.Record) error { wait(5 * time.Millisecond); return nil }
		const total = 12000
		feeding := make(chan struct{})
		go func() {
			defer close(feeding)
			p := c.NewProducer(ProducerConfig{})
			for i := 0; i < total; i += 500 {
				if err := p.Produce(context.Background(), numbered(topic, 60, i, 500)); err != nil {
					t.Error(err)
				}
				wait(50 * time.Millisecond)
			}
		}()
		a := w.start(c, cfg, slow)
		a.await(1000)
		b := w.start(w.client(), cfg, slow)
		b.await(500)
		eventually(t, "even share", func() bool { return len(a.Status().Partitions) == 3 && len(b.Status().Partitions) == 3 })
		<-feeding
		a.stop()
		eventually(t, "all at b", func() bool { return len(b.Status().Partitions) == 6 })
		eventually(t, "everything", func() bool { return len(a.records())+len(b.records()) >= total })
		b.stop()
		// With the commits only at the ends of generations, nothing comes twice.
		checkMembers(t, total, a.records(), b.records())
	})
}

// checkMembers fails unless all members together got each record exactly once
// and each in the order of its partition.
func checkMembers(t *testing.T, total int, members ...[]stored) {
	t.Helper()
	seen := make(map[string]int)
	for _, got := range members {
		last := make(map[int]int64)
		for _, r := range got {
			seen[string(r.Value)]++
			if before, ok := last[r.Partition]; ok && r.Offset <= before {
				t.Fatalf("partition %d: offset %d after %d", r.Partition, r.Offset, before)
			}
			last[r.Partition] = r.Offset
		}
	}
	for i := range total {
		if n := seen[strconv.Itoa(i)]; n != 1 {
			t.Fatalf("record %d handled %d times", i, n)
		}
	}
}

func TestConsumeFollowsNewPartitions(t *testing.T) {
	anywhere(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		w.produce(c, numbered(topic, 40, 0, 100))
		m := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}, WatchEvery: 100 * time.Millisecond}, nil)
		m.await(100)
		w.grow(topic, 4)
		eventually(t, "four partitions", func() bool { return len(m.Status().Partitions) == 4 })
		w.produce(w.client(), numbered(topic, 40, 100, 100))
		got := m.await(200)
		m.stop()
		used := make(map[int]bool)
		for _, r := range got {
			used[r.Partition] = true
		}
		if len(used) != 4 {
			t.Errorf("records from partitions %v, want all 4", used)
		}
		checkMembers(t, 200, got)
	})
}

func TestConsumeBoundsHandlerCallsAndKeepsOnePerPartition(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 8)
		w.produce(c, numbered(topic, 100, 0, 4000))
		var all, most atomic.Int64
		var each [8]atomic.Int64
		m := w.start(c, ConsumerConfig{Group: topic, Topics: []string{topic}, Parallel: 3, MaxBatch: 50}, func(p int, _ []pipeline.Record) error {
			if each[p].Add(1) > 1 {
				t.Errorf("two calls at once for partition %d", p)
			}
			if n := all.Add(1); n > most.Load() {
				most.Store(n)
			}
			wait(time.Millisecond)
			all.Add(-1)
			each[p].Add(-1)
			return nil
		})
		m.await(4000)
		m.stop()
		if n := most.Load(); n != 3 {
			t.Errorf("%d calls at once, want 3", n)
		}
	})
}
