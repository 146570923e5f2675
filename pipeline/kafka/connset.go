package kafka

import (
	"context"
	"net"
	"sync"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// connSet knows the open connections of a dialler, so that a wait inside
// kafka-go that has no context can be ended. It is safe for concurrent use.
type connSet struct {
	mu   sync.Mutex // guards all below
	open map[net.Conn]struct{}
	over bool
}

// track gives a dialler whose connections the set knows until they are closed.
func (s *connSet) track(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.over {
			_ = conn.Close()
			return nil, net.ErrClosed
		}
		s.open[conn] = struct{}{}
		return &trackedConn{Conn: conn, set: s}, nil
	}
}

// cut closes all connections and lets no new one be.
func (s *connSet) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for conn := range s.open {
		_ = conn.Close()
	}
	clear(s.open)
}

type trackedConn struct {
	net.Conn
	set *connSet
}

// Close closes the connection and has the set forget it.
func (c *trackedConn) Close() error {
	c.set.mu.Lock()
	delete(c.set.open, c.Conn)
	c.set.mu.Unlock()
	return c.Conn.Close()
}
