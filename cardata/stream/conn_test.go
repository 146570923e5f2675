package stream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// scripted is a socket that gives its bytes in pieces and then ends.
type scripted struct {
	net.Conn
	r io.Reader
}

func (s scripted) Read(p []byte) (int, error) { return s.r.Read(p) }
func (s scripted) Close() error               { return nil }

func wire(tb testing.TB, payload []byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.TopicName, m.Payload = string(testGCID)+"/"+testVIN, payload
	if err := m.Write(&buf); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func TestMessageUpToTheLimitPasses(t *testing.T) {
	for _, size := range []int{0, 1, 300, 1 << 20, maxPayload} {
		var inbound atomic.Int64
		g := newGuardedConn(scripted{r: bytes.NewReader(wire(t, make([]byte, size)))}, &socket{}, &inbound)
		cp, err := packets.ReadPacket(g)
		if err != nil || len(cp.(*packets.PublishPacket).Payload) != size {
			t.Errorf("message of %d bytes: %v", size, err)
		}
		if inbound.Load() == 0 {
			t.Error("the time of the read was not noted")
		}
	}
}

func TestOrderlyEndIsToldFromAFault(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"close_notify":         {io.EOF, true},
		"FIN without goodbye":  {io.ErrUnexpectedEOF, true},
		"reset":                {&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, false},
		"protocol fault by us": {nil, false},
	} {
		var inbound atomic.Int64
		data := []byte{0xc0, 0} // a packet that only clients send
		if tc.err != nil {
			data = nil
		}
		g := newGuardedConn(scripted{r: io.MultiReader(bytes.NewReader(data), failing{tc.err})}, &socket{}, &inbound)
		_, _ = packets.ReadPacket(g)
		if got := g.closedByPeer(); got != tc.want {
			t.Errorf("%s: closedByPeer() = %v, want %v", name, got, tc.want)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// pieces is a socket that gives one piece a read.
type pieces struct {
	net.Conn
	sizes []int
}

func (p *pieces) Read(b []byte) (int, error) {
	n := min(p.sizes[0], len(b))
	p.sizes = p.sizes[1:]
	time.Sleep(time.Second) //nolint:forbidigo // bubble time
	return n, nil
}

func TestCoverageEndsBeforeABacklog(t *testing.T) {
	const whole = 16 << 10
	for name, tc := range map[string]struct {
		sizes []int
		want  int // read that is covered last, counted from 1
	}{
		"messages one by one":           {[]int{300, 300, 300}, 3},
		"a burst of some messages":      {[]int{300, whole, 300}, 3},
		"a full read that ends exactly": {[]int{300, whole, 300, whole}, 3},
		"a backlog, worked off":         {[]int{300, whole, whole, whole, 300}, 1},
		"level with the peer again":     {[]int{300, whole, whole, whole, 300, 300}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &socket{Conn: &pieces{sizes: tc.sizes}}
				begin := time.Now()
				for range tc.sizes {
					if _, err := s.Read(make([]byte, whole)); err != nil {
						t.Fatal(err)
					}
				}
				if got := time.Unix(0, s.caughtUp).Sub(begin); got != time.Duration(tc.want)*time.Second {
					t.Errorf("covered until read %v, want %d", got, tc.want)
				}
			})
		})
	}
}

// FuzzRead feeds paho's decoder through the guard: whatever the service sends,
// there is no panic, no packet beyond the limit, and the guard agrees with paho
// on where packets begin.
func FuzzRead(f *testing.F) {
	f.Add([]byte("\x20\x02\x00\x00\x90\x03\x00\x01\x00\xd0\x00"))
	f.Add(wire(f, []byte(`{"vin":"WBY00000000000001"}`)))
	f.Add([]byte("\x30\xff\xff\xff\x7f"))
	f.Add([]byte("\x32\x03\x00\x01a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var inbound atomic.Int64
		g := newGuardedConn(scripted{r: bytes.NewReader(data)}, &socket{}, &inbound)
		for {
			cp, err := packets.ReadPacket(g)
			if g.guard.failed != nil && err == nil {
				t.Fatalf("packet %v served after %v", cp, g.guard.failed)
			}
			if err != nil {
				return
			}
			if g.guard.expect != expectHeader {
				t.Fatalf("guard expects %d after a whole packet", g.guard.expect)
			}
			switch p := cp.(type) {
			case *packets.SubackPacket:
				if len(p.ReturnCodes) != 1 {
					t.Fatalf("SUBACK with %d codes passed", len(p.ReturnCodes))
				}
			case *packets.PublishPacket, *packets.ConnackPacket, *packets.PingrespPacket:
			default:
				t.Fatalf("packet %T passed", cp)
			}
		}
	})
}
