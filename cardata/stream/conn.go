package stream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readBufferSize keeps paho's reads of one byte off crypto/tls and, on a
	// connection without TLS, off the system. crypto/tls itself reads several
	// records per system call already (BenchmarkReceive: 0.2 reads a message),
	// so more memory per account buys nothing here.
	readBufferSize = 4 << 10
	// writeTimeout ends a write that the peer does not take: we only ever send
	// a few bytes, so this means a dead connection.
	writeTimeout = 5 * time.Second
	// linger is how long a clean disconnect waits for the peer to close, so
	// that what it had sent before is still read.
	linger = 300 * time.Millisecond
)

// guardedConn is the connection that paho reads. It reads the socket in larger
// pieces than paho's one to four bytes, notes when something arrived and how
// the socket ended, and refuses what paho would swallow to its harm.
type guardedConn struct {
	net.Conn
	buf     *bufio.Reader
	guard   frameGuard
	socket  *socket
	inbound *atomic.Int64 // wall clock of the last successful read, Unix nanoseconds
	covered atomic.Int64  // likewise, of the last one with nothing waiting behind it

	subackAt  atomic.Int64 // inbound when the answer to the subscription was read
	end       atomic.Pointer[error]
	finishing atomic.Bool // an orderly disconnect is under way
	close     func() error
}

// newGuardedConn guards c, which reads from below.
func newGuardedConn(c net.Conn, below *socket, inbound *atomic.Int64) *guardedConn {
	g := &guardedConn{Conn: c, socket: below, inbound: inbound, close: sync.OnceValue(c.Close)}
	g.buf = bufio.NewReaderSize(socketReader{g}, readBufferSize)
	g.guard.suback = func() { g.subackAt.Store(inbound.Load()) }
	return g
}

// backlog is how much must be read in one go before the peer can have been
// blocked in a write: less than any system buffers for a connection.
const backlog = 32 << 10

// socket is the connection below TLS. It knows how far reading lags behind what
// the peer wrote: a read that fills its buffer may have left something, a short
// one emptied the socket.
//
// A peer that closes while blocked in a write loses what it was writing, and
// that was begun before all the reads that then empty the socket. So after a
// backlog the last moment known to be covered is the one before it.
type socket struct {
	net.Conn
	caughtUp int64 // wall clock, Unix nanoseconds; belongs to the reading goroutine
	run      int   // bytes since a short read
}

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	switch {
	case n == len(p):
		s.run += n
	case n > 0:
		if s.run < backlog || s.caughtUp == 0 {
			s.caughtUp = time.Now().UnixNano()
		}
		s.run = 0
	}
	return n, err
}

// socketReader is the side of guardedConn below the buffer.
type socketReader struct{ g *guardedConn }

func (r socketReader) Read(p []byte) (int, error) {
	n, err := r.g.Conn.Read(p)
	if n > 0 {
		r.g.inbound.Store(time.Now().UnixNano())
		if !r.g.finishing.Load() {
			r.g.covered.Store(r.g.socket.caughtUp)
		}
	}
	if err != nil {
		r.g.ended(err)
	}
	return n, err
}

// Read gives buffered bytes; after Close those that were already read.
func (g *guardedConn) Read(p []byte) (int, error) {
	n, err := g.buf.Read(p)
	if n == 0 {
		return 0, err
	}
	if bad := g.guard.feed(p[:n]); bad != nil {
		g.ended(bad)
		return 0, bad
	}
	return n, nil
}

// ended notes the first error. It is a function of its own because err moves to
// the heap here, which must not happen on each read.
func (g *guardedConn) ended(err error) { g.end.CompareAndSwap(nil, &err) }

func (g *guardedConn) Write(p []byte) (int, error) {
	if err := g.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}

// Close ends the connection, but within an orderly disconnect it only bounds
// the reading: paho closes as soon as DISCONNECT is written, and what the
// service had sent by then would be lost unread. hangUp closes in the end.
func (g *guardedConn) Close() error {
	if g.finishing.Load() {
		return g.SetReadDeadline(time.Now().Add(linger))
	}
	return g.hangUp()
}

// hangUp closes for good. It may be called twice.
func (g *guardedConn) hangUp() error { return g.close() }

// closedByPeer tells whether the other side ended the connection in order,
// with or without TLS's own goodbye.
func (g *guardedConn) closedByPeer() bool {
	err := g.end.Load()
	return err != nil && (errors.Is(*err, io.EOF) || errors.Is(*err, io.ErrUnexpectedEOF))
}

// endErr gives the first error that reading met, nil while there is none.
func (g *guardedConn) endErr() error {
	if err := g.end.Load(); err != nil {
		return *err
	}
	return nil
}

// errProtocol marks bytes that no MQTT 3.1.1 server may send to us.
var errProtocol = errors.New("not what an MQTT 3.1.1 service sends")

// The packet types that a server may send to a client that publishes nothing
// and subscribes at QoS 0.
const (
	packetConnack  = 2
	packetPublish  = 3
	packetSuback   = 9
	packetPingresp = 13

	maxPayload = 4 << 20
	// maxPublish is a payload at its limit with the longest topic there is.
	maxPublish = maxPayload + 2 + 1<<16 - 1
)

// frameGuard follows the packets in a byte stream. paho trusts the server: it
// allocates up to 256 MiB on the word of a length field, panics on a SUBACK
// with more codes than there were subscriptions, and takes an unknown CONNACK
// code for success.
type frameGuard struct {
	suback func() // called when the header of a SUBACK is complete

	kind     byte
	expect   expectation
	length   int // value so far while expecting length, bytes left while expecting body
	shift    uint
	bodySeen int
	failed   error
}

type expectation byte

const (
	expectHeader expectation = iota
	expectLength
	expectBody
)

// feed looks at the next bytes and gives an error, from then on always, when
// they cannot be served.
func (f *frameGuard) feed(p []byte) error {
	for len(p) > 0 && f.failed == nil {
		switch f.expect {
		case expectHeader:
			f.failed = f.header(p[0])
			p = p[1:]
		case expectLength:
			f.failed = f.lengthByte(p[0])
			p = p[1:]
		case expectBody:
			n := min(len(p), f.length)
			f.failed = f.body(p[:n])
			p = p[n:]
		}
	}
	return f.failed
}

func (f *frameGuard) header(b byte) error {
	f.kind = b >> 4
	flags := b & 0x0f
	switch f.kind {
	case packetConnack, packetSuback, packetPingresp:
		if flags != 0 {
			return fmt.Errorf("%w: packet type %d with flags %#x", errProtocol, f.kind, flags)
		}
	case packetPublish:
		// The subscription is at QoS 0, which no server may exceed; 1 costs
		// nothing to serve, 2 would make paho keep packets.
		if qos := flags >> 1 & 3; qos > 1 {
			return fmt.Errorf("%w: message at QoS %d", errProtocol, qos)
		}
	default:
		return fmt.Errorf("%w: packet type %d", errProtocol, f.kind)
	}
	f.expect, f.length, f.shift, f.bodySeen = expectLength, 0, 0, 0
	return nil
}

func (f *frameGuard) lengthByte(b byte) error {
	f.length |= int(b&0x7f) << f.shift
	if b&0x80 != 0 {
		f.shift += 7
		if f.shift > 21 {
			return fmt.Errorf("%w: length field of more than 4 bytes", errProtocol)
		}
		return nil
	}
	low, high := 0, 0
	switch f.kind {
	case packetConnack:
		low, high = 2, 2
	case packetSuback:
		low, high = 3, 3
	case packetPublish:
		low, high = 3, maxPublish
	}
	if f.length < low || f.length > high {
		return fmt.Errorf("%w: packet type %d of %d bytes, allowed are %d to %d", errProtocol, f.kind, f.length, low, high)
	}
	if f.kind == packetSuback {
		f.suback()
	}
	f.expect = expectBody
	if f.length == 0 {
		f.expect = expectHeader
	}
	return nil
}

func (f *frameGuard) body(p []byte) error {
	// Byte 1 of a CONNACK is its return code.
	if f.kind == packetConnack && f.bodySeen <= 1 && f.bodySeen+len(p) > 1 {
		if code := p[1-f.bodySeen]; code > 5 {
			return fmt.Errorf("%w: CONNACK code %d", errProtocol, code)
		}
	}
	f.bodySeen += len(p)
	f.length -= len(p)
	if f.length == 0 {
		f.expect = expectHeader
	}
	return nil
}
