package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	mochipackets "github.com/mochi-mqtt/server/v2/packets"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// counter is a Handler that says when a number of messages has come.
type counter struct {
	mu     sync.Mutex
	got    int
	bytes  int
	lost   []schema.GapCause
	goal   int
	full   chan struct{}
	subbed chan struct{}
}

func newCounter(goal int) *counter {
	return &counter{goal: goal, full: make(chan struct{}), subbed: make(chan struct{}, 100)}
}

func (c *counter) Message(_ schema.GCID, _ string, payload []byte, _ time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got++
	c.bytes += len(payload)
	if c.got == c.goal {
		close(c.full)
	}
}

func (c *counter) Subscribed(schema.GCID, time.Time) { c.subbed <- struct{}{} }

func (c *counter) Lost(_ schema.GCID, _, _ time.Time, cause schema.GapCause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = append(c.lost, cause)
}

// quiet logs nothing.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// allow lets everyone in.
type allow struct{ mochi.HookBase }

func (*allow) ID() string { return "allow" }

func (*allow) Provides(b byte) bool { return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck }

func (*allow) OnConnectAuthenticate(*mochi.Client, mochipackets.Packet) bool { return true }

func (*allow) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func TestAgainstARealBroker(t *testing.T) {
	roots, cert := authority(t)
	server := mochi.New(&mochi.Options{InlineClient: true, Logger: quiet()})
	if err := server.AddHook(new(allow), nil); err != nil {
		t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{
		ID: "t", Address: "127.0.0.1:0", TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13},
	})
	if err := server.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	const n = 2000
	h := newCounter(n)
	c, err := New(testGCID, &fakeTokens{life: time.Hour}, h, NewPacer(0, 0), Config{Addr: l.Address(), TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	<-h.subbed
	payload := bytes.Repeat([]byte("x"), 270)
	for i := range n {
		if err := server.Publish(string(testGCID)+"/"+testVIN, payload, false, 0); err != nil {
			t.Fatal(err)
		}
		if i%500 == 499 { // well below what the broker drops in silence
			runtime.Gosched()
		}
	}
	if err := server.Publish("00000000-0000-4000-8000-000000000002/"+testVIN, payload, false, 0); err != nil {
		t.Fatal(err)
	}
	<-h.full
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if h.got != n || h.bytes != n*len(payload) || len(h.lost) != 1 || h.lost[0] != schema.GapShutdown {
		t.Errorf("got %d messages, %d bytes, losses %v", h.got, h.bytes, h.lost)
	}
}

// grantAll is the least server there is: it grants what comes and then sends
// feed over and over.
func grantAll(conn net.Conn, feed []byte) {
	defer conn.Close()
	for {
		cp, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		switch m := cp.(type) {
		case *packets.ConnectPacket:
			_ = packets.NewControlPacket(packets.Connack).Write(conn)
		case *packets.SubscribePacket:
			_, _ = conn.Write([]byte{0x90, 3, byte(m.MessageID >> 8), byte(m.MessageID), 0})
			for len(feed) > 0 {
				if _, err := conn.Write(feed); err != nil {
					return
				}
			}
		case *packets.DisconnectPacket:
			return
		}
	}
}

// listenTLS serves each connection with grantAll.
func listenTLS(tb testing.TB, cert tls.Certificate, feed []byte) string {
	tb.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	if err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { grantAll(conn, feed) })
		}
	})
	tb.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// TestThousandAccounts holds the memory and goroutines of a connection to the
// budget of one process with a thousand accounts. The server's side of each
// connection lives in this process, too, and is counted along.
func TestThousandAccounts(t *testing.T) {
	n := 200
	if testing.Short() {
		n = 20
	}
	roots, cert := authority(t)
	addr := listenTLS(t, cert, nil)
	h := newCounter(-1)
	h.subbed = make(chan struct{}, n)
	pacer := NewPacer(1000*1000, time.Minute)
	memBefore, goBefore := inUse(), runtime.NumGoroutine()

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	config := &tls.Config{RootCAs: roots}
	for range n {
		c, err := New(testGCID, &fakeTokens{life: time.Hour}, h, pacer, Config{Addr: addr, TLS: config})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { _ = c.Run(ctx) })
	}
	for range n {
		<-h.subbed
	}
	perConn := (inUse() - memBefore) / n
	perGo := (runtime.NumGoroutine() - goBefore) / n
	t.Logf("%d connections: %d KiB and %d goroutines each, the server's side included", n, perConn>>10, perGo)
	if perConn > 150<<10 {
		t.Errorf("%d KiB for each connection, want less than 150", perConn>>10)
	}
	if perGo > 16 {
		t.Errorf("%d goroutines for each connection, want at most 16", perGo)
	}
	cancel()
	wg.Wait()
	// The server's ends go on their own; all of ours must be gone with them.
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > goBefore+2 && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if left := runtime.NumGoroutine() - goBefore; left > 2 {
		t.Errorf("%d goroutines left", left)
	}
}

func inUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// BenchmarkReceive measures paho over TLS on loopback, with the messages as a
// broker sends them: one to a TLS record, and many to one. cpu-ns/msg is the
// whole process, the sender's side included.
func BenchmarkReceive(b *testing.B) {
	_, cert := authority(b)
	one := wire(b, bytes.Repeat([]byte("x"), 270))
	for _, perRecord := range []int{1, 32} {
		feed := bytes.Repeat(one, perRecord)
		for _, buffered := range []bool{false, true} {
			b.Run("perrecord="+strconv.Itoa(perRecord)+"/buffered="+strconv.FormatBool(buffered), func(b *testing.B) {
				receive(b, cert, feed, buffered)
			})
		}
	}
}

func receive(b *testing.B, cert tls.Certificate, feed []byte, buffered bool) {
	b.Helper()
	addr := listenTLS(b, cert, feed)
	var got, reads atomic.Int64
	full := make(chan struct{})
	goal := int64(b.N)
	o := mqtt.NewClientOptions()
	o.Servers = []*url.URL{{Scheme: "tcp", Host: addr}}
	o.SetAutoReconnect(false).SetOrderMatters(true)
	o.SetDefaultPublishHandler(func(mqtt.Client, mqtt.Message) {
		if got.Add(1) == goal {
			close(full)
		}
	})
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(b.Context(), "tcp", addr)
		if err != nil {
			return nil, err
		}
		raw = &countedReads{raw, &reads}
		below := &socket{Conn: raw}
		conn := tls.Client(below, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
		if !buffered {
			return conn, nil
		}
		var inbound atomic.Int64
		return newGuardedConn(conn, below, &inbound), nil
	})
	client := mqtt.NewClient(o)
	if t := client.Connect(); t.Wait() && t.Error() != nil {
		b.Fatal(t.Error())
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(feed)))
	before := cpu()
	b.ResetTimer()
	client.Subscribe("#", 0, nil)
	<-full
	b.StopTimer()
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/msg")
	b.ReportMetric(float64(reads.Load())/float64(b.N), "reads/msg")
	client.Disconnect(1000)
}

// countedReads counts what becomes system calls.
type countedReads struct {
	net.Conn
	n *atomic.Int64
}

func (c *countedReads) Read(p []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Read(p)
}

func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
