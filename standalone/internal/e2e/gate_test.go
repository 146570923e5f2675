package e2e

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// gate is a listener that can be taken away, with all its connections, and
// given back under the same address.
type gate struct {
	addr string

	mu       sync.Mutex // guards all below
	listener net.Listener
	conns    map[net.Conn]bool
	back     chan struct{} // closed when it is there; a new one while it is away
	closed   bool
}

func newGate(network, addr string) (*gate, error) {
	l, err := net.Listen(network, addr)
	if err != nil {
		return nil, err
	}
	g := &gate{addr: l.Addr().String(), listener: l, conns: make(map[net.Conn]bool), back: make(chan struct{})}
	close(g.back)
	return g, nil
}

// Accept waits while the gate is away.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		l, back, closed := g.listener, g.back, g.closed
		g.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if l == nil {
			<-back
			continue
		}
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			continue
		}
		if err != nil {
			return nil, err
		}
		g.mu.Lock()
		here := g.listener == l
		if here {
			g.conns[conn] = true
		}
		g.mu.Unlock()
		if !here {
			_ = conn.Close()
			continue
		}
		return &gatedConn{Conn: conn, gate: g}, nil
	}
}

func (g *gate) Addr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", g.addr)
	return addr
}

func (g *gate) Close() error {
	g.away()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		close(g.back)
	}
	return nil
}

// away cuts all connections; new ones are refused.
func (g *gate) away() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener == nil {
		return
	}
	_ = g.listener.Close()
	g.listener, g.back = nil, make(chan struct{})
	for conn := range g.conns {
		_ = conn.Close()
	}
	clear(g.conns)
}

// here gives it back.
func (g *gate) here(tb testing.TB) {
	tb.Helper()
	l, err := net.Listen("tcp", g.addr)
	if err != nil {
		tb.Fatalf("listen again on %s: %v", g.addr, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listener = l
	close(g.back)
}

type gatedConn struct {
	net.Conn
	gate *gate
}

func (c *gatedConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c.Conn)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// proxy passes everything from addr through to target while its gate is there.
func proxy(tb testing.TB, addr, target string) *gate {
	tb.Helper()
	g, err := newGate("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the gate
		for {
			near, err := g.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = near.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				_ = to.Close()
				_ = from.Close()
			}
			wg.Go(func() { pass(far, near) })
			wg.Go(func() { pass(near, far) })
		}
	})
	tb.Cleanup(func() {
		_ = g.Close()
		wg.Wait()
	})
	return g
}
