package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// checkOrder fails unless each key's values count up and every number of
// [0, n) is there; repeats of a stretch are allowed only where said so.
func checkOrder(t *testing.T, got []stored, n int, repeats bool) {
	t.Helper()
	last := make(map[string]int)
	seen := make(map[int]int)
	partition := make(map[string]int)
	for _, r := range got {
		v, err := strconv.Atoi(string(r.Value))
		if err != nil {
			t.Fatalf("value %q: %v", r.Value, err)
		}
		k := string(r.Key)
		if p, ok := partition[k]; ok && p != r.Partition {
			t.Fatalf("key %s in partitions %d and %d", k, p, r.Partition)
		}
		partition[k] = r.Partition
		seen[v]++
		if before, ok := last[k]; ok && v <= before && !repeats {
			t.Fatalf("key %s: %d after %d", k, v, before)
		}
		last[k] = v
	}
	for i := range n {
		if seen[i] == 0 || (seen[i] > 1 && !repeats) {
			t.Fatalf("record %d stored %d times", i, seen[i])
		}
	}
}

func TestProduceKeepsOrderPerKeyAndWhatARecordCarries(t *testing.T) {
	onLoopback(t, func(w *world) {
		t := w.t

		for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			c := w.client(func(cfg *Config) { cfg.Compression = compression })
			topic := w.topic(c, 5)
			records := numbered(topic, 40, 0, 3000)
			for i := range records {
				records[i].Headers = []pipeline.Header{{Key: "v", Value: []byte("1")}, {Key: "none"}}
			}
			p := c.NewProducer(ProducerConfig{MaxRequestBytes: 8 << 10})
			for len(records) > 0 {
				n := min(len(records), 700)
				if err := p.Produce(w.ctx(time.Minute), records[:n]); err != nil {
					t.Fatalf("%s: Produce: %v", compression, err)
				}
				records = records[n:]
			}
			got := w.read(topic, 3000)
			checkOrder(t, got, 3000, false)
			r := got[0]
			v, _ := strconv.Atoi(string(r.Value))
			if want := time.UnixMilli(1_700_000_000_000 + int64(v)); !r.Timestamp.Equal(want) {
				t.Errorf("%s: timestamp %v, want %v", compression, r.Timestamp, want)
			}
			if len(r.Headers) != 2 || r.Headers[0].Key != "v" || string(r.Headers[0].Value) != "1" || r.Headers[1].Value != nil {
				t.Errorf("%s: headers %v", compression, r.Headers)
			}
			if want := partitionOf(r.Key, 5); r.Partition != want {
				t.Errorf("%s: key %s in partition %d, want %d", compression, r.Key, r.Partition, want)
			}
			if n := p.Stats.Records.Load(); n != 3000 {
				t.Errorf("Stats.Records = %d, want 3000", n)
			}
		}
	})
}

func TestProduceWithoutKeySpreadsOverPartitions(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 3)
		p := c.NewProducer(ProducerConfig{})
		for i := range 6 {
			if err := p.Produce(t.Context(), []pipeline.Record{{Topic: topic, Value: fmt.Appendf(nil, "%d", i)}}); err != nil {
				t.Fatal(err)
			}
		}
		count := make(map[int]int)
		for _, r := range w.read(topic, 6) {
			count[r.Partition]++
			if r.Key != nil {
				t.Errorf("key %q, want none", r.Key)
			}
			if time.Since(r.Timestamp) > time.Minute {
				t.Errorf("a record without time got %v, want now", r.Timestamp)
			}
		}
		for p := range 3 {
			if count[p] != 2 {
				t.Errorf("partition %d holds %d records, want 2", p, count[p])
			}
		}
	})
}

func TestProduceRetriesInOrder(t *testing.T) {
	for name, fault := range map[string]kfake.Fault{
		"leader moved":                         {Err: kerr.NotLeaderForPartition, Count: 3},
		"not enough replicas":                  {Err: kerr.NotEnoughReplicas, Count: 2},
		"timed out":                            {Err: kerr.RequestTimedOut, Count: 2},
		"not enough replicas after the append": {Err: kerr.NotEnoughReplicasAfterAppend, Count: 1},
		"unknown to a broker just started":     {Err: kerr.UnknownTopicOrPartition, Count: 4},
		"error of no known kind":               {Err: kerr.UnknownServerError, Count: 2},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				t := w.t

				c := w.client()
				topic := w.topic(c, 3)
				fault.Keys = []kmsg.Key{kmsg.Produce}
				w.cluster.Fault(fault)
				p := c.NewProducer(ProducerConfig{MaxRequestBytes: 2 << 10})
				if err := p.Produce(t.Context(), numbered(topic, 10, 0, 1000)); err != nil {
					t.Fatal(err)
				}
				checkOrder(t, w.read(topic, 1000), 1000, true)
				if p.Stats.Retries.Load() == 0 {
					t.Error("no retry counted")
				}
				if s := p.Status(); !s.AwaySince.IsZero() {
					t.Errorf("Status = %+v after success, want none", s)
				}
				if n := w.logs.count("kafka works again"); n != 1 {
					t.Errorf("logged the end %d times, want 1", n)
				}
			})
		})
	}
}

func TestProduceFollowsAMovedLeaderWithoutOtherFailures(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		p := c.NewProducer(ProducerConfig{})
		for i := range 6 {
			if err := w.cluster.MoveTopicPartition(topic, 0, int32(i%2)); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if err := p.Produce(t.Context(), numbered(topic, 1, i, 1)); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); d > 100*time.Millisecond {
				t.Errorf("move %d took %v to follow", i, d)
			}
		}
		checkOrder(t, w.read(topic, 6), 6, false)
	})
}

func TestProduceSurvivesBrokersAway(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 4)
		p := c.NewProducer(ProducerConfig{MaxRequestBytes: 2 << 10})
		if err := p.Produce(t.Context(), numbered(topic, 10, 0, 500)); err != nil {
			t.Fatal(err)
		}
		w.net.setDown(true)
		done := make(chan error, 1)
		go func() { done <- p.Produce(t.Context(), numbered(topic, 10, 500, 500)) }()
		wait(90 * time.Second)
		if s := p.Status(); time.Since(s.AwaySince) < 80*time.Second || s.LastError == "" {
			t.Errorf("Status = %+v, want away for 90 s", s)
		}
		w.net.setDown(false)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := w.logs.count("op=produce"); n < 2 || n > 5 {
			t.Errorf("%d log lines for one outage, want start, new causes, end", n)
		}
		for i := range 20 { // connections that break under way
			if i%3 == 0 {
				w.net.cut()
			}
			if err := p.Produce(t.Context(), numbered(topic, 10, 1000+100*i, 100)); err != nil {
				t.Fatal(err)
			}
		}
		checkOrder(t, w.read(topic, 3000), 3000, true)
	})
}

func TestProduceWithBrokersAwayFromTheStart(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		topic := w.topic(w.client(), 2)
		w.net.setDown(true)
		c := w.client()
		if err := c.Ping(w.ctx(2 * time.Second)); err == nil {
			t.Error("Ping = nil with brokers away")
		}
		p := c.NewProducer(ProducerConfig{})
		done := make(chan error, 1)
		go func() { done <- p.Produce(t.Context(), numbered(topic, 3, 0, 10)) }()
		wait(30 * time.Second)
		w.net.setDown(false)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		checkOrder(t, w.read(topic, 10), 10, false)
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("Ping: %v", err)
		}
	})
}

func TestProduceEndsWithItsContextAndWorksAgain(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 2)
		p := c.NewProducer(ProducerConfig{})
		w.net.setDown(true)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		err := p.Produce(ctx, numbered(topic, 3, 0, 10))
		if !errors.Is(err, context.DeadlineExceeded) || !isWriteError(err, pipeline.Retryable) {
			t.Errorf("Produce = %v, want retryable, deadline exceeded", err)
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("took %v, want 5s", d)
		}
		w.net.setDown(false)
		if err := p.Produce(t.Context(), numbered(topic, 3, 0, 10)); err != nil {
			t.Fatal(err)
		}
		checkOrder(t, w.read(topic, 10), 10, false)
	})
}

func TestProduceSetsRecordsAsideThatCanNeverPass(t *testing.T) {
	anywhere(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 2, func(t *Topic) { t.MaxMessageBytes = 20_000 })
		records := numbered(topic, 10, 0, 300)
		bad := map[int]string{7: ReasonTooLarge, 150: ReasonTooLarge, 151: ReasonTooLarge, 299: ReasonInvalid}
		records[7].Value = bytes.Repeat([]byte{'x'}, 2<<20)   // refused here
		records[150].Value = bytes.Repeat([]byte{'x'}, 50000) // refused by the broker
		records[151].Value = bytes.Repeat([]byte{'x'}, 30000)
		records[299].Topic = ""
		p := c.NewProducer(ProducerConfig{})
		err := p.Produce(w.ctx(time.Minute), records)
		rejected, ok := errors.AsType[*pipeline.WriteError](err)
		if !ok || len(rejected.Rejected) != len(bad) {
			t.Fatalf("Produce = %v, want %d rejected", err, len(bad))
		}
		for _, r := range rejected.Rejected {
			if bad[r.Index] != r.Reason || r.Text == "" {
				t.Errorf("record %d rejected as %s (%s), want %q", r.Index, r.Reason, r.Text, bad[r.Index])
			}
		}
		got := w.read(topic, 296)
		if len(got) != 296 {
			t.Errorf("%d records stored, want 296", len(got))
		}
		last := make(map[string]int)
		for _, r := range got {
			v, _ := strconv.Atoi(string(r.Value))
			if before, ok := last[string(r.Key)]; ok && v <= before {
				t.Fatalf("key %s: %d after %d", r.Key, v, before)
			}
			last[string(r.Key)] = v
		}
		if n := p.Stats.Rejected.Load(); n != 4 {
			t.Errorf("Stats.Rejected = %d, want 4", n)
		}
	})
}

func TestProduceTakesLongMessagesWhereTheTopicDoes(t *testing.T) {
	anywhere(t, func(w *world) {
		t := w.t

		c := w.client()
		long := w.topic(c, 1, func(t *Topic) { t.MaxMessageBytes = 5 << 20 })
		records := []pipeline.Record{
			{Topic: long, Key: []byte("k"), Value: bytes.Repeat([]byte{'a'}, 4<<20)},
			{Topic: long, Key: []byte("k"), Value: bytes.Repeat([]byte{'b'}, 4<<20)},
		}
		p := c.NewProducer(ProducerConfig{TopicMaxBytes: map[string]int{long: 4<<20 + 64<<10}})
		if err := p.Produce(w.ctx(time.Minute), records); err != nil {
			t.Fatal(err)
		}
		if got := w.read(long, 2); got[1].Value[0] != 'b' {
			t.Error("order lost")
		}
	})
}

func TestProduceFindsTheInvalidRecord(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		w.cluster.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1,
			When: func(req kmsg.Request) bool {
				return bytes.Contains(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records, []byte("poison"))
			},
		})
		records := numbered(topic, 5, 0, 100)
		records[42].Value = []byte("poison")
		err := c.NewProducer(ProducerConfig{}).Produce(t.Context(), records)
		rejected, ok := errors.AsType[*pipeline.WriteError](err)
		if !ok || len(rejected.Rejected) != 1 || rejected.Rejected[0].Index != 42 || rejected.Rejected[0].Reason != ReasonInvalid {
			t.Fatalf("Produce = %v, want record 42 as %s", err, ReasonInvalid)
		}
		w.read(topic, 99)
	})
}

func TestProduceStopsWhenAPersonMustAct(t *testing.T) {
	for name, e := range map[string]*kerr.Error{
		"topic not allowed":   kerr.TopicAuthorizationFailed,
		"cluster not allowed": kerr.ClusterAuthorizationFailed,
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				t := w.t

				c := w.client()
				topic := w.topic(c, 2)
				w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: e, Count: -1})
				err := c.NewProducer(ProducerConfig{}).Produce(t.Context(), numbered(topic, 3, 0, 10))
				if !isWriteError(err, pipeline.Fatal) {
					t.Errorf("Produce = %v, want fatal", err)
				}
			})
		})
	}
}

func TestProduceWaitsForATopicJustCreatedButNotForEver(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		late, never := w.name(), w.name()
		p := c.NewProducer(ProducerConfig{})
		done := make(chan error, 1)
		go func() { done <- p.Produce(t.Context(), numbered(late, 3, 0, 10)) }()
		wait(20 * time.Second)
		if err := w.cluster.CreateTopic(late, 2, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err := p.Produce(t.Context(), numbered(never, 3, 0, 10))
		if !isWriteError(err, pipeline.Fatal) {
			t.Errorf("Produce = %v, want fatal", err)
		}
		if d := time.Since(start); d < time.Minute || d > 65*time.Second {
			t.Errorf("gave up after %v, want a minute", d)
		}
	})
}

func TestProduceFollowsAGrownTopic(t *testing.T) {
	inMemory(t, func(w *world) {
		t := w.t

		c := w.client()
		topic := w.topic(c, 1)
		w.produce(c, numbered(topic, 20, 0, 20))
		w.grow(topic, 4)
		wait(31 * time.Second)
		synctest.Wait()
		w.produce(c, numbered(topic, 20, 20, 20))
		used := make(map[int]bool)
		for _, r := range w.read(topic, 40) {
			used[r.Partition] = true
		}
		if len(used) < 3 {
			t.Errorf("records in partitions %v, want the new ones used", used)
		}
	})
}
