package kafka

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// TestMain also serves as the broker of the benchmarks, in a process of its own so
// that the CPU time measured is the client's alone.
func TestMain(m *testing.M) {
	if os.Getenv("CARDATA_TEST_KAFKA_PEER") == "" {
		m.Run()
		return
	}
	batch, _, err := new(encoder).appendBatch(nil, benchRecords(2700), sequence(2700), 1<<20, 1<<20, 0)
	if err != nil {
		panic(err)
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(benchPartitions, "bench"),
		kfake.BlackholeProduce(), kfake.SyntheticFetch(kfake.SyntheticBatch{Batch: batch}))
	if err != nil {
		panic(err)
	}
	fmt.Println(c.ListenAddrs()[0])
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark has gone
	c.Close()
}

const benchPartitions = 6

// benchRecords gives records of 1,000 cars with values of 300 bytes and a header.
func benchRecords(n int) []pipeline.Record {
	records := make([]pipeline.Record, n)
	version := []pipeline.Header{{Key: "v", Value: []byte("1")}}
	for i := range records {
		records[i] = pipeline.Record{
			Topic:   "bench",
			Key:     fmt.Appendf(nil, "WBY00000000%06d", i%1000),
			Value:   []byte(strings.Repeat("x", 300)),
			Headers: version,
			Time:    time.UnixMilli(1_700_000_000_000 + int64(i)),
		}
	}
	return records
}

func sequence(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = int32(i)
	}
	return s
}

// peer starts the broker process.
func peer(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CARDATA_TEST_KAFKA_PEER=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, start time.Duration, records int) {
	b.Helper()
	b.ReportMetric((cpuTime()-start).Seconds()/float64(records)*1e6, "cpu_s/million")
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkProduce measures this producer and, beside it, kafka-go's Writer.
func BenchmarkProduce(b *testing.B) {
	addr := peer(b)
	for _, size := range []int{500, 5000} {
		records := benchRecords(size)
		b.Run(fmt.Sprintf("batch=%d/client=ours", size), func(b *testing.B) {
			c, err := New(Config{Brokers: []string{addr}})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			p := c.NewProducer(ProducerConfig{})
			b.ReportAllocs()
			start, n := cpuTime(), 0
			for b.Loop() {
				if err := p.Produce(context.Background(), records); err != nil {
					b.Fatal(err)
				}
				n += len(records)
			}
			report(b, start, n)
		})
		b.Run(fmt.Sprintf("batch=%d/client=kafka-go-writer", size), func(b *testing.B) {
			messages := make([]kafka.Message, len(records))
			for i, r := range records {
				messages[i] = kafka.Message{Key: r.Key, Value: r.Value, Time: r.Time, Headers: []kafka.Header{{Key: "v", Value: r.Headers[0].Value}}}
			}
			w := &kafka.Writer{
				Addr: kafka.TCP(addr), Topic: "bench", Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
				BatchSize: size, BatchBytes: 900 << 10, BatchTimeout: time.Millisecond, Transport: &kafka.Transport{},
			}
			defer w.Close()
			b.ReportAllocs()
			start, n := cpuTime(), 0
			for b.Loop() {
				if err := w.WriteMessages(context.Background(), messages...); err != nil {
					b.Fatal(err)
				}
				n += len(records)
			}
			report(b, start, n)
		})
	}
}

// BenchmarkConsume measures the group consumer on answers of 1 MiB and, beside
// it, kafka-go's fetch and decode alone.
func BenchmarkConsume(b *testing.B) {
	addr := peer(b)
	b.Run("client=ours", func(b *testing.B) {
		c, err := New(Config{Brokers: []string{addr}})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		var records, sum atomic.Int64
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		more := make(chan int)
		done := make(chan error, 1)
		go func() {
			done <- c.Consume(ctx, ConsumerConfig{Group: "bench", Topics: []string{"bench"}}, func(ctx context.Context, _ string, _ int, batch []pipeline.Record) error {
				s := 0
				for i := range batch {
					s += len(batch[i].Value)
				}
				sum.Add(int64(s))
				records.Add(int64(len(batch)))
				select {
				case more <- len(batch):
				case <-ctx.Done():
				}
				return nil
			})
		}()
		<-more
		b.ReportAllocs()
		start, n := cpuTime(), 0
		for b.Loop() {
			n += <-more
		}
		report(b, start, n)
		cancel()
		for {
			select {
			case <-more:
				continue
			case err := <-done:
				if err != nil {
					b.Fatal(err)
				}
			}
			break
		}
	})
	b.Run("client=kafka-go-fetch", func(b *testing.B) {
		tr := &kafka.Transport{}
		defer tr.CloseIdleConnections()
		c := &kafka.Client{Addr: kafka.TCP(addr), Transport: tr}
		b.ReportAllocs()
		start, n := cpuTime(), 0
		offset := int64(0)
		for b.Loop() {
			res, err := c.Fetch(context.Background(), &kafka.FetchRequest{Topic: "bench", Offset: offset, MinBytes: 1, MaxBytes: 1 << 20})
			if err != nil {
				b.Fatal(err)
			}
			for {
				r, err := res.Records.ReadRecord()
				if err != nil {
					break
				}
				key, _ := kafka.ReadAll(r.Key)
				value, _ := kafka.ReadAll(r.Value)
				if len(key) > 0 && len(value) > 0 {
					n++
				}
				offset = r.Offset + 1
			}
		}
		report(b, start, n)
	})
}
