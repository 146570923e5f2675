package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// world is a cluster to test against: an in-memory one in a synctest bubble, or
// the real one at CARDATA_TEST_KAFKA.
type world struct {
	t       *testing.T
	net     *memNet        // nil with a real broker
	cluster *kfake.Cluster // nil with a real broker
	brokers []string
	logs    *logBook
}

// inMemory runs test in a bubble, so that time is exact and a goroutine left
// behind is a failure.
func inMemory(t *testing.T, test func(w *world), opts ...kfake.Opt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &memNet{listeners: make(map[string]*memListener), conns: make(map[net.Conn]struct{})}
		opts = append([]kfake.Opt{kfake.NumBrokers(2), kfake.ListenFn(n.listen), kfake.GroupMinSessionTimeout(100 * time.Millisecond)}, opts...)
		c, err := kfake.NewCluster(opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(&world{t: t, net: n, cluster: c, brokers: c.ListenAddrs(), logs: new(logBook)})
	})
}

// anywhere runs test in memory and, if one is given, against a real broker.
func anywhere(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { inMemory(t, test) })
	t.Run("real", func(t *testing.T) { onReal(t, test) })
}

func onReal(t *testing.T, test func(w *world)) {
	t.Helper()
	addr := os.Getenv("CARDATA_TEST_KAFKA")
	if addr == "" {
		if required("kafka") {
			t.Fatal("CARDATA_TEST_KAFKA is not set but required")
		}
		t.Skip("CARDATA_TEST_KAFKA is not set")
	}
	test(&world{t: t, brokers: strings.Split(addr, ","), logs: new(logBook)})
}

// required tells whether CARDATA_TEST_REQUIRE demands a server: 1 demands all.
func required(server string) bool {
	list := strings.Split(os.Getenv("CARDATA_TEST_REQUIRE"), ",")
	return slices.Contains(list, "1") || slices.Contains(list, server)
}

// onLoopback runs test over real sockets, for what keeps goroutines in pools,
// which a bubble forbids.
func onLoopback(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Run("loopback", func(t *testing.T) {
		c, err := kfake.NewCluster(kfake.NumBrokers(2))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(&world{t: t, cluster: c, brokers: c.ListenAddrs(), logs: new(logBook)})
	})
	t.Run("real", func(t *testing.T) { onReal(t, test) })
}

func (w *world) config() Config {
	cfg := Config{
		Brokers: w.brokers,
		Log:     slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Backoff: backoff.Policy{Base: 10 * time.Millisecond, Cap: 200 * time.Millisecond},
	}
	if w.net != nil {
		cfg.Dial = w.net.dial
	}
	return cfg
}

func (w *world) client(change ...func(*Config)) *Client {
	w.t.Helper()
	cfg := w.config()
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// topic creates a topic of its own for the test.
func (w *world) topic(c *Client, partitions int, change ...func(*Topic)) string {
	w.t.Helper()
	topic := Topic{Name: w.name(), Partitions: partitions, Replication: 1, Retention: 30 * 365 * 24 * time.Hour} // the records are of 2023
	for _, f := range change {
		f(&topic)
	}
	if err := c.EnsureTopics(w.ctx(30*time.Second), []Topic{topic}); err != nil {
		w.t.Fatal(err)
	}
	return topic.Name
}

var nameCount atomic.Int64

func (w *world) name() string {
	r := strings.NewReplacer("/", "-", "#", "-", ",", "-", "'", "-")
	return fmt.Sprintf("%.150s-%d-%d", r.Replace(w.t.Name()), time.Now().UnixMilli(), nameCount.Add(1))
}

func (w *world) ctx(limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	w.t.Cleanup(cancel)
	return ctx
}

// stored is a record as another implementation reads it.
type stored struct {
	Partition int
	Offset    int64
	Key       []byte
	Value     []byte
	Headers   []kafka.Header
	Timestamp time.Time
}

// read gives the first n records of a topic as kafka-go's own client decodes them.
func (w *world) read(topic string, n int) []stored {
	w.t.Helper()
	c, done := w.other()
	defer done()
	ctx := w.ctx(20 * time.Second)
	var got []stored
	next := make(map[int]int64)
	for len(got) < n {
		if err := ctx.Err(); err != nil {
			w.t.Fatalf("read %s: got %d of %d records: %v", topic, len(got), n, err)
		}
		meta, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		if err != nil {
			continue
		}
		for _, p := range meta.Topics[0].Partitions {
			res, err := c.Fetch(ctx, &kafka.FetchRequest{Topic: topic, Partition: p.ID, Offset: next[p.ID], MinBytes: 1, MaxBytes: 16 << 20, MaxWait: 20 * time.Millisecond})
			if err != nil || res.Error != nil {
				continue
			}
			for {
				r, err := res.Records.ReadRecord()
				if err != nil {
					break
				}
				key, _ := kafka.ReadAll(r.Key)
				value, _ := kafka.ReadAll(r.Value)
				if r.Offset < next[p.ID] {
					continue
				}
				got = append(got, stored{p.ID, r.Offset, key, value, r.Headers, r.Time})
				next[p.ID] = r.Offset + 1
			}
		}
	}
	return got
}

// other gives kafka-go's client.
func (w *world) other() (*kafka.Client, func()) {
	tr := &kafka.Transport{}
	if w.net != nil {
		tr.Dial = w.net.dial
	}
	return &kafka.Client{Addr: kafka.TCP(w.brokers...), Transport: tr}, tr.CloseIdleConnections
}

// grow adds partitions to a topic.
func (w *world) grow(topic string, partitions int) {
	w.t.Helper()
	c, done := w.other()
	defer done()
	res, err := c.CreatePartitions(w.ctx(10*time.Second), &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(partitions)}},
	})
	if err != nil || res.Errors[topic] != nil {
		w.t.Fatalf("create partitions: %v %v", err, res)
	}
}

func (w *world) produce(c *Client, records []pipeline.Record) {
	w.t.Helper()
	if err := c.NewProducer(ProducerConfig{}).Produce(w.ctx(time.Minute), records); err != nil {
		w.t.Fatalf("Produce: %v", err)
	}
}

// numbered gives n records of keys in turn, their values counting up from from.
func numbered(topic string, keys, from, n int) []pipeline.Record {
	records := make([]pipeline.Record, n)
	for i := range records {
		records[i] = pipeline.Record{
			Topic: topic,
			Key:   fmt.Appendf(nil, "WBY000000000%05d", (from+i)%keys),
			Value: fmt.Appendf(nil, "%d", from+i),
			Time:  time.UnixMilli(1_700_000_000_000 + int64(from+i)).UTC(),
		}
	}
	return records
}

// wait lets time pass.
func wait(d time.Duration) { _ = backoff.Wait(context.Background(), d) }

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		wait(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

// logBook keeps log lines for tests to count.
type logBook struct {
	mu    sync.Mutex
	lines []string
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(p))
	return len(p), nil
}

func (b *logBook) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, l := range b.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

// memNet is a network of pipes that can be taken away.
type memNet struct {
	mu        sync.Mutex
	down      bool
	port      int
	listeners map[string]*memListener
	conns     map[net.Conn]struct{}
}

func (n *memNet) listen(_, _ string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.port++
	l := &memListener{addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9000 + n.port}, in: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[l.addr.String()] = l
	return l, nil
}

func (n *memNet) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	if n.down || l == nil {
		n.mu.Unlock()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	here, there := net.Pipe()
	n.conns[here] = struct{}{}
	n.mu.Unlock()
	select {
	case l.in <- &addrConn{Conn: there, addr: l.addr}:
		return &addrConn{Conn: here, addr: l.addr}, nil
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// setDown refuses new connections and cuts the old ones, or lets them be again.
func (n *memNet) setDown(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
	if down {
		n.cutLocked()
	}
}

// cut closes all connections.
func (n *memNet) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cutLocked()
}

func (n *memNet) cutLocked() {
	for c := range n.conns {
		c.Close()
	}
	clear(n.conns)
}

type addrConn struct {
	net.Conn
	addr net.Addr
}

func (c *addrConn) LocalAddr() net.Addr  { return c.addr }
func (c *addrConn) RemoteAddr() net.Addr { return c.addr }

type memListener struct {
	addr net.Addr
	in   chan net.Conn
	once sync.Once
	done chan struct{}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.in:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *memListener) Addr() net.Addr { return l.addr }

var _ io.Writer = (*logBook)(nil)

func isWriteError(err error, class pipeline.Class) bool {
	w, ok := errors.AsType[*pipeline.WriteError](err)
	return ok && w.Class == class
}
