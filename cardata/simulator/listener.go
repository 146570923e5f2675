package simulator

import (
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// sendBuffer bounds what the kernel holds of a connection's outbound data, so
// that what is handed over is soon read or known to be lost.
const sendBuffer = 256 << 10

// farewell is how long a client may take to read what is on its way when its
// session ends.
const farewell = time.Second

// listener hands TLS connections to the broker. It differs from the broker's
// own in that it bounds the time before CONNECT and that Close waits for all
// it started.
type listener struct {
	tcp      *net.TCPListener
	tls      *tls.Config
	greeting time.Duration

	wg sync.WaitGroup
	mu sync.Mutex // guards open and closed
	// open is nil once closed.
	open map[*socket]struct{}
}

func newListener(tcp *net.TCPListener, config *tls.Config, greeting time.Duration) *listener {
	return &listener{tcp: tcp, tls: config, greeting: greeting, open: make(map[*socket]struct{})}
}

// Init is part of the broker's listener interface.
func (*listener) Init(*slog.Logger) error { return nil }

// ID is part of the broker's listener interface.
func (*listener) ID() string { return "mqtt" }

// Protocol is part of the broker's listener interface.
func (*listener) Protocol() string { return "tls" }

// Address gives host:port.
func (l *listener) Address() string { return l.tcp.Addr().String() }

// Serve accepts until Close.
func (l *listener) Serve(establish listeners.EstablishFn) {
	l.wg.Add(1)
	defer l.wg.Done()
	for {
		conn, err := l.tcp.AcceptTCP()
		if err != nil {
			return // closed
		}
		_ = conn.SetWriteBuffer(sendBuffer)
		s := &socket{Conn: tls.Server(conn, l.tls), tcp: conn, leave: l.leave}
		if !l.enter(s) {
			_ = conn.Close()
			return
		}
		_ = conn.SetDeadline(time.Now().Add(l.greeting))
		l.wg.Go(func() {
			_ = establish(l.ID(), s) // refusals and losses are counted where they are decided
			_ = s.Close()
		})
	}
}

// Close ends the listener with all its connections and waits for them. The
// broker's own way of closing clients would wait for those that do not read,
// and would send MQTT 3.1.1 a packet it does not have.
func (l *listener) Close(listeners.CloseFn) {
	_ = l.tcp.Close()
	l.mu.Lock()
	left := make([]*socket, 0, len(l.open))
	for s := range l.open {
		left = append(left, s)
	}
	l.open = nil
	l.mu.Unlock()
	for _, s := range left {
		l.wg.Go(func() { // side by side: each may take its farewell
			if session := s.session.Load(); session != nil {
				session.end(packets.ErrServerShuttingDown)
			}
			_ = s.Close()
		})
	}
	l.wg.Wait()
}

func (l *listener) enter(s *socket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		return false
	}
	l.open[s] = struct{}{}
	return true
}

func (l *listener) leave(s *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, s)
}

// socket is one client's TLS connection as the broker and the feed share it: a
// Write is one uninterrupted piece on the wire, whoever calls it.
type socket struct {
	net.Conn
	tcp   *net.TCPConn
	leave func(*socket)

	session atomic.Pointer[session] // set once the broker has accepted the client
	once    sync.Once

	// busy is held by the feed from booking a batch to the end of its write, and
	// by whoever ends the connection: what is booked is written before the end,
	// so that a client that reads to the end gets all of it. Unlike a lock that
	// guards fields it is held over I/O, which a deadline bounds.
	busy sync.Mutex
}

// SetDeadline is how the broker renews the keep-alive. It must not touch
// writes: a slow reader's keep-alive says nothing about what we may send.
func (s *socket) SetDeadline(t time.Time) error {
	if s.session.Load() != nil {
		return s.SetReadDeadline(t)
	}
	return s.Conn.SetDeadline(t)
}

// Close ends the connection, tells the account, and may be called again.
func (s *socket) Close() error {
	s.once.Do(func() {
		if session := s.session.Load(); session != nil {
			session.quiet()
			defer s.busy.Unlock()
		}
		_ = s.Conn.Close()
		s.leave(s)
	})
	return nil
}

// reset cuts the connection as a broken network would: no alert, no FIN.
func (s *socket) reset() {
	_ = s.tcp.SetLinger(0)
	_ = s.tcp.Close()
}
