package stream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	testGCID = schema.GCID("00000000-0000-4000-8000-000000000001")
	testVIN  = "WBY00000000000001"
	testHost = "stream.example.test"
)

// authority makes a CA and a server certificate that are valid in a bubble's
// time, too, which begins in 2000.
func authority(tb testing.TB) (roots *x509.CertPool, cert tls.Certificate) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: testHost}, DNSNames: []string{testHost, "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(leaf)
	return roots, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// broker is a scripted MQTT service behind net.Pipe.
type broker struct {
	tls *tls.Config
	// connack gives the return code of connection n, counted from 1.
	connack func(n int, user, password string) byte
	// suback serves SUBSCRIBE of connection n; the default grants.
	suback func(n int, p *peer, id uint16)
	// greet runs instead of the MQTT side when set.
	greet func(conn net.Conn)
	// refuse fails the dial of attempt n.
	refuse func(n int) error
	silent func(n int) bool // answers no pings

	wg    sync.WaitGroup
	mu    sync.Mutex
	peers []*peer
	dials []time.Time
}

type peer struct {
	conn     net.Conn // TLS
	raw      net.Conn
	user     string
	password string
	clientID string
	opened   time.Time
	topics   []string
	bye      time.Time // DISCONNECT
	ended    time.Time
}

func (b *broker) dial(_ context.Context, _, _ string) (net.Conn, error) {
	b.mu.Lock()
	b.dials = append(b.dials, time.Now())
	n := len(b.dials)
	b.mu.Unlock()
	if b.refuse != nil {
		if err := b.refuse(n); err != nil {
			return nil, err
		}
	}
	client, server := bufferedPipe(&b.wg)
	b.wg.Go(func() { b.serve(server) })
	return client, nil
}

// bufferedPipe is net.Pipe with what real sockets have: room in between, so
// that two sides that say goodbye at once do not wait for each other.
func bufferedPipe(wg *sync.WaitGroup) (client, server net.Conn) {
	client, near := net.Pipe()
	far, server := net.Pipe()
	relay := func(to, from net.Conn) {
		room := make(chan []byte, 4096)
		wg.Go(func() {
			defer close(room)
			for {
				p := make([]byte, 2048)
				n, err := from.Read(p)
				if n > 0 {
					room <- p[:n]
				}
				if err != nil {
					return
				}
			}
		})
		wg.Go(func() {
			defer to.Close()
			for p := range room {
				if _, err := to.Write(p); err != nil {
					from.Close()
					for range room { // let the reader end
					}
				}
			}
		})
	}
	relay(far, near)
	relay(near, far)
	return client, server
}

func (b *broker) serve(raw net.Conn) {
	defer raw.Close()
	conn := tls.Server(raw, b.tls)
	if conn.Handshake() != nil {
		return
	}
	defer conn.Close()
	if b.greet != nil {
		b.greet(conn)
		return
	}
	first, err := packets.ReadPacket(conn)
	if err != nil {
		return
	}
	c := first.(*packets.ConnectPacket)
	p := &peer{conn: conn, raw: raw, user: c.Username, password: string(c.Password), clientID: c.ClientIdentifier, opened: time.Now()}
	b.mu.Lock()
	b.peers = append(b.peers, p)
	n := len(b.peers)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		p.ended = time.Now()
		b.mu.Unlock()
	}()
	ack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	if b.connack != nil {
		ack.ReturnCode = b.connack(n, c.Username, string(c.Password))
	}
	if ack.Write(conn) != nil || ack.ReturnCode != 0 {
		return
	}
	for {
		cp, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		switch m := cp.(type) {
		case *packets.SubscribePacket:
			b.mu.Lock()
			p.topics = m.Topics
			b.mu.Unlock()
			if b.suback != nil {
				b.suback(n, p, m.MessageID)
				continue
			}
			p.grant(m.MessageID, 0)
		case *packets.PingreqPacket:
			if b.silent != nil && b.silent(n) {
				continue
			}
			_ = packets.NewControlPacket(packets.Pingresp).Write(conn)
		case *packets.DisconnectPacket:
			b.mu.Lock()
			p.bye = time.Now()
			b.mu.Unlock()
			return
		}
	}
}

func (p *peer) grant(id uint16, code byte) {
	s := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	s.MessageID, s.ReturnCodes = id, []byte{code}
	_ = s.Write(p.conn)
}

func (p *peer) publish(payload string) error {
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.TopicName, m.Payload = string(testGCID)+"/"+testVIN, []byte(payload)
	return m.Write(p.conn)
}

// peer gives connection n, counted from 1, nil before it came.
func (b *broker) peer(n int) *peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > len(b.peers) {
		return nil
	}
	return b.peers[n-1]
}

func (b *broker) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.peers)
}

func (b *broker) dialled() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.dials)
}

// event is one call of a Handler.
type event struct {
	what  string // "subscribed", "message …", "lost …"
	at    time.Time
	last  time.Time
	cause schema.GapCause
}

// recorder is a Handler that also checks its own contract.
type recorder struct {
	mu     sync.Mutex
	events []event
	open   bool
	broken []string
}

func (r *recorder) add(e event, want, next bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != want {
		r.broken = append(r.broken, fmt.Sprintf("%s out of order", e.what))
	}
	r.open = next
	r.events = append(r.events, e)
}

func (r *recorder) Message(_ schema.GCID, _ string, payload []byte, received time.Time) {
	r.add(event{what: "message " + string(payload), at: received}, true, true)
}

func (r *recorder) Subscribed(_ schema.GCID, at time.Time) {
	r.add(event{what: "subscribed", at: at}, false, true)
}

func (r *recorder) Lost(_ schema.GCID, at, last time.Time, cause schema.GapCause) {
	r.add(event{what: "lost " + string(cause), at: at, last: last, cause: cause}, true, false)
}

func (r *recorder) list() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func (r *recorder) names() []string {
	var out []string
	for _, e := range r.list() {
		out = append(out, e.what)
	}
	return out
}

func (r *recorder) losses() []event {
	return slices.DeleteFunc(r.list(), func(e event) bool { return e.cause == "" })
}

// fakeTokens issues tokens of a given life, as the service does.
type fakeTokens struct {
	life time.Duration
	fail func() error

	mu       sync.Mutex
	n        int
	expires  time.Time
	renewed  []string
	asked    []time.Duration
	askTimes []time.Time
}

func (f *fakeTokens) text() string {
	iat := f.expires.Add(-f.life).Unix()
	body := fmt.Sprintf(`{"iat":%d,"exp":%d,"n":%d}`, iat, f.expires.Unix(), f.n)
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(body)) + ".sig"
}

func (f *fakeTokens) IDToken(_ context.Context, minLife time.Duration) (string, time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.askTimes = append(f.asked, minLife), append(f.askTimes, time.Now())
	if f.fail != nil {
		if err := f.fail(); err != nil {
			return "", time.Time{}, err
		}
	}
	if time.Until(f.expires) < minLife || f.n == 0 {
		f.issue()
	}
	return f.text(), f.expires, nil
}

func (f *fakeTokens) issue() {
	f.n++
	f.expires = time.Now().Add(f.life).Truncate(time.Second)
}

func (f *fakeTokens) Renew(_ context.Context, rejected string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renewed = append(f.renewed, rejected)
	f.issue()
	return nil
}

func (f *fakeTokens) renewals() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.renewed)
}

type loginError struct{}

func (loginError) Error() string     { return "refresh token spent" }
func (loginError) LoginNeeded() bool { return true }

// bench is one connection against one broker inside a bubble.
type bench struct {
	t *testing.T
	*broker
	rec    *recorder
	tokens *fakeTokens
	conn   *Connection
	pacer  *Pacer
	cancel context.CancelFunc
	done   chan error
}

// bubble runs body in synctest with a connection that body may start. Setup
// changes what the defaults are.
func bubble(t *testing.T, setup func(*bench, *Config), body func(b *bench)) {
	t.Helper()
	roots, cert := authority(t)
	synctest.Test(t, func(t *testing.T) {
		b := &bench{
			t:      t,
			broker: &broker{tls: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}},
			rec:    &recorder{}, tokens: &fakeTokens{life: time.Hour}, pacer: NewPacer(0, 0), done: make(chan error, 1),
		}
		cfg := Config{Addr: testHost + ":9000", TLS: &tls.Config{RootCAs: roots}, Dial: b.dial}
		if setup != nil {
			setup(b, &cfg)
		}
		c, err := New(testGCID, b.tokens, b.rec, b.pacer, cfg)
		if err != nil {
			t.Fatal(err)
		}
		b.conn = c
		ctx, cancel := context.WithCancel(t.Context())
		b.cancel = cancel
		go func() { b.done <- c.Run(ctx) }()
		body(b)
		b.stop(t)
		b.wg.Wait() // synctest itself fails when a goroutine of the client is left
		if len(b.rec.broken) > 0 || b.rec.open {
			t.Errorf("handler contract broken: %v, still open %v; events %v", b.rec.broken, b.rec.open, b.rec.names())
		}
	})
}

func (b *bench) stop(t *testing.T) {
	t.Helper()
	b.cancel()
	if err := <-b.done; err != nil {
		t.Errorf("Run() = %v, want nil after cancel", err)
	}
	before := len(b.rec.list())
	time.Sleep(time.Minute) //nolint:forbidigo // bubble time: anything still running would show
	if after := len(b.rec.list()); after != before {
		t.Errorf("%d handler calls after Run returned", after-before)
	}
	b.done <- nil
}

// pass lets d go by and all that follows settle.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // bubble time
	synctest.Wait()
}

func wantNames(t *testing.T, r *recorder, want ...string) {
	t.Helper()
	if got := r.names(); !slices.Equal(got, want) {
		t.Errorf("events = %v\nwant     %v", got, want)
	}
}

func wantState(t *testing.T, c *Connection, state State, errPart, remedyPart string) {
	t.Helper()
	s := c.Status()
	if s.State != state || !strings.Contains(s.Err, errPart) || !strings.Contains(s.Remedy, remedyPart) {
		t.Errorf("Status() = %s, err %q, remedy %q; want %s, …%s…, …%s…", s.State, s.Err, s.Remedy, state, errPart, remedyPart)
	}
}
