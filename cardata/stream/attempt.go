package stream

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	connectTimeout    = 30 * time.Second // name, dial, TLS and CONNACK together
	subscribeTimeout  = 30 * time.Second // for the SUBACK
	disconnectTimeout = 6 * time.Second  // more than writeTimeout and linger together
)

// open makes one connection up to the granted subscription. Every attempt has
// a new client: paho keeps the first password, and cannot be reused cleanly.
func (c *Connection) open(ctx context.Context, pw *password) (*session, *faultError) {
	s := &session{c: c, pw: pw, lost: make(chan error, 1), ready: make(chan struct{})}
	dialCtx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	s.client = mqtt.NewClient(s.options(dialCtx))
	c.cfg.Stats.ConnectAttempts.Add(1)
	c.mu.Lock()
	c.status.TokenExpires = pw.expires.UTC()
	c.mu.Unlock()

	t := s.client.Connect()
	<-t.Done() // dialCtx ends every part of it
	if err := t.Error(); err != nil {
		s.abandon()
		return nil, s.connectFault(t, err)
	}
	if !s.stopAbort() { // ctx ended while the answer came in, and the connection is closed
		s.abandon()
		return nil, &faultError{kind: faultNetwork, op: "connect", err: context.Cause(dialCtx)}
	}
	if f := s.subscribe(ctx); f != nil {
		s.abandon()
		return nil, f
	}
	return s, nil
}

// options sets up paho so that it does nothing on its own account.
func (s *session) options(dialCtx context.Context) *mqtt.ClientOptions {
	cfg := &s.c.cfg
	o := mqtt.NewClientOptions()
	o.Servers = []*url.URL{{Scheme: "tcp", Host: cfg.Addr}} // paho wants one; CustomOpenConnectionFn does the opening
	// The service does not look at the client id (CarData API, section
	// "Connection"). A random one of the length every server must take cannot
	// collide with another client's, which would be an eviction by another rule.
	o.SetClientID(rand.Text()[:22])
	o.SetUsername(string(s.c.gcid)).SetPassword(s.pw.text)
	o.SetCleanSession(true).SetProtocolVersion(4)
	o.SetAutoReconnect(false).SetConnectRetry(false)
	o.SetOrderMatters(true)
	o.SetKeepAlive(cfg.KeepAlive).SetPingTimeout(min(10*time.Second, cfg.KeepAlive))
	o.SetConnectTimeout(connectTimeout).SetWriteTimeout(writeTimeout)
	// The default handler alone: a route would be matched, and its topic
	// split, for each message.
	o.SetDefaultPublishHandler(s.message)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.lost <- err })
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		g, f := s.dial(dialCtx)
		if f != nil {
			s.openFault = f
			return nil, f
		}
		s.conn.Store(g)
		s.abortStop.Store(new(context.AfterFunc(dialCtx, func() { _ = g.hangUp() })))
		return g, nil
	})
	return o
}

// dial opens the TLS connection.
func (s *session) dial(ctx context.Context) (*guardedConn, *faultError) {
	raw, err := s.c.cfg.Dial(ctx, "tcp", s.c.cfg.Addr)
	if err != nil {
		return nil, &faultError{kind: faultNetwork, op: "dial", err: err}
	}
	below := &socket{Conn: raw}
	t := tls.Client(below, s.c.cfg.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, handshakeFault(err)
	}
	return newGuardedConn(t, below, &s.c.lastInbound), nil
}

// stopAbort ends the rule that dialCtx closes the connection, and tells whether
// it had not done so yet.
func (s *session) stopAbort() bool {
	stop := s.abortStop.Load()
	return stop == nil || (*stop)()
}

// connectFault classifies what paho made of a failed connect.
func (s *session) connectFault(t mqtt.Token, err error) *faultError {
	if s.openFault != nil {
		return s.openFault
	}
	st := s.c.cfg.Stats
	f := &faultError{kind: faultNetwork, op: "connect", err: err}
	switch code := t.(*mqtt.ConnectToken).ReturnCode(); code {
	case 1, 2:
		f.kind = faultVersion
		f.err = fmt.Errorf("refused with code %d: %w", code, err)
		counter := &st.RefusedProtocol
		if code == 2 {
			counter = &st.RefusedClientID
		}
		counter.Add(1)
	case 3:
		f.kind, f.err = faultThrottled, errors.New("refused with code 3: unavailable, or too many connection attempts")
		st.RefusedThrottled.Add(1)
	case 4:
		f.kind, f.err = faultRefused, errors.New("refused with code 4: user name or token not accepted")
		st.RefusedCredentials.Add(1)
	case 5:
		f.kind, f.err = faultRefused, errors.New("refused with code 5: not authorized, or another client holds the account's one connection")
		st.RefusedNotAuthorized.Add(1)
	default:
		if end := s.conn.Load().endErr(); errors.Is(end, errProtocol) {
			f.kind, f.err = faultProtocol, end
		}
	}
	return f
}

// subscribe asks for all cars of the account and waits for the answer.
func (s *session) subscribe(ctx context.Context) *faultError {
	topic := string(s.c.gcid) + "/+"
	t := s.client.Subscribe(topic, 0, nil).(*mqtt.SubscribeToken)
	timer := time.NewTimer(subscribeTimeout)
	defer timer.Stop()
	var err error
	select {
	case <-ctx.Done():
		return &faultError{kind: faultNetwork, op: "subscribe", err: ctx.Err()}
	case <-timer.C:
		return &faultError{kind: faultDropped, op: "subscribe", err: errors.New("the service did not answer")}
	case err = <-s.lost:
		s.drained = true
	case <-t.Done():
		if err = t.Error(); err != nil {
			break
		}
		if code, ok := t.Result()[topic]; !ok || code >= 0x80 {
			return &faultError{kind: faultSubscribe, op: "subscribe", err: fmt.Errorf("refused with code %#x", code)}
		}
		return nil
	}
	g := s.conn.Load()
	if end := g.endErr(); errors.Is(end, errProtocol) {
		return &faultError{kind: faultProtocol, op: "subscribe", err: end}
	}
	if g.closedByPeer() {
		return &faultError{kind: faultDropped, op: "subscribe", err: errors.New("the service closed the connection instead of answering")}
	}
	return &faultError{kind: faultNetwork, op: "subscribe", err: err}
}

// session is one connection from dial to its end.
type session struct {
	c      *Connection
	pw     *password
	client mqtt.Client
	lost   chan error // one error, when paho has handed over all it read and stopped
	early  held

	conn      atomic.Pointer[guardedConn] // nil until TLS stands
	abortStop atomic.Pointer[func() bool]
	openFault *faultError // written by dial, read when paho's token is done
	drained   bool        // lost was received
	ready     chan struct{}

	over       atomic.Bool // Lost was said
	subscribed time.Time   // coverage starts
	open       bool        // belongs to paho's router goroutine: early is empty for good
}

// abandon ends a connection that never got its subscription.
func (s *session) abandon() {
	s.early.discard()
	s.finish()
}

// finish disconnects in order, reading on until the service has closed or the
// linger is over, and returns when paho has stopped.
func (s *session) finish() {
	s.stopAbort()
	g := s.conn.Load()
	if g == nil {
		return
	}
	if !s.drained {
		g.finishing.Store(true)
		begin := time.Now()
		s.client.Disconnect(uint(disconnectTimeout / time.Millisecond))
		if time.Since(begin) >= disconnectTimeout {
			s.c.cfg.Stats.DisconnectsIncomplete.Add(1)
		}
	}
	_ = g.hangUp()
}

// lossCounter gives the counter of a cause.
func (st *Stats) lossCounter(cause schema.GapCause) *atomic.Int64 {
	switch cause {
	case schema.GapTokenChange:
		return &st.LossesTokenChange
	case schema.GapShutdown:
		return &st.LossesShutdown
	case schema.GapEvicted:
		return &st.LossesEvicted
	case schema.GapTokenExpired:
		return &st.LossesTokenExpired
	default:
		return &st.LossesConnection
	}
}
