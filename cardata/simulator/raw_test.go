package simulator

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// rawClient speaks MQTT packet by packet, to see what the broker really sends.
type rawClient struct {
	tb      testing.TB
	conn    *tls.Conn
	r       *bufio.Reader
	version byte
	user    schema.GCID
}

func dialRaw(tb testing.TB, s *Simulator, version byte) *rawClient {
	tb.Helper()
	conn, err := tls.Dial("tcp", s.MQTTAddr(), clientTLS(tb, s))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return &rawClient{tb: tb, conn: conn, r: bufio.NewReaderSize(conn, 64<<10), version: version, user: s.Accounts()[0].GCID}
}

// idToken gives a fresh id token of the first account.
func idToken(tb testing.TB, s *Simulator) string {
	tb.Helper()
	return tokenOf(tb, s, s.accounts[0])
}

// tokenOf issues a token set without the way over HTTP.
func tokenOf(tb testing.TB, s *Simulator, a *account) string {
	tb.Helper()
	set, err := s.oauth.issue(a, allScopes, true)
	if err != nil {
		tb.Fatal(err)
	}
	return set["id_token"].(string)
}

// connect sends CONNECT and gives CONNACK's code.
func (c *rawClient) connect(password string) byte {
	c.tb.Helper()
	c.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connect},
		Connect: packets.ConnectParams{
			ProtocolName: []byte("MQTT"), Clean: true, Keepalive: 30, ClientIdentifier: "same-for-all",
			UsernameFlag: true, Username: []byte(c.user), PasswordFlag: true, Password: []byte(password),
		},
	})
	return c.want(packets.Connack).ReasonCode
}

// subscribe sends SUBSCRIBE at QoS 1 and gives SUBACK's codes.
func (c *rawClient) subscribe(filters ...string) []byte {
	c.tb.Helper()
	p := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 7}
	for _, f := range filters {
		p.Filters = append(p.Filters, packets.Subscription{Filter: f, Qos: 1})
	}
	c.send(p)
	return c.want(packets.Suback).ReasonCodes
}

func (c *rawClient) send(p packets.Packet) {
	c.tb.Helper()
	p.ProtocolVersion = c.version
	var b bytes.Buffer
	var err error
	switch p.FixedHeader.Type {
	case packets.Connect:
		err = p.ConnectEncode(&b)
	case packets.Subscribe:
		err = p.SubscribeEncode(&b)
	case packets.Unsubscribe:
		err = p.UnsubscribeEncode(&b)
	case packets.Publish:
		err = p.PublishEncode(&b)
	case packets.Pingreq:
		err = p.PingreqEncode(&b)
	case packets.Disconnect:
		err = p.DisconnectEncode(&b)
	default:
		c.tb.Fatalf("packet type %d", p.FixedHeader.Type)
	}
	if err == nil {
		_, err = c.conn.Write(b.Bytes())
	}
	if err != nil {
		c.tb.Fatal(err)
	}
}

// want reads up to the next packet of a type and skips what the feed sends.
func (c *rawClient) want(kind byte) packets.Packet {
	c.tb.Helper()
	for {
		p, err := c.read()
		if err != nil {
			c.tb.Fatalf("waiting for packet %d: %v", kind, err)
		}
		if p.FixedHeader.Type == kind {
			return p
		}
		if p.FixedHeader.Type != packets.Publish {
			c.tb.Fatalf("packet %d came where %d was due", p.FixedHeader.Type, kind)
		}
	}
}

// wantPayload reads up to the PUBLISH that carries payload: cars of a running
// service speak in between.
func (c *rawClient) wantPayload(payload string) packets.Packet {
	c.tb.Helper()
	for {
		if p := c.want(packets.Publish); string(p.Payload) == payload {
			return p
		}
	}
}

// wantClosed reads to the end of the connection and gives the reason of a
// DISCONNECT, 0 when there was none.
func (c *rawClient) wantClosed() byte {
	c.tb.Helper()
	reason := byte(0)
	for {
		p, err := c.read()
		var timeout interface{ Timeout() bool }
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.tb.Fatal("connection stays open")
		}
		if err != nil {
			return reason
		}
		if p.FixedHeader.Type == packets.Disconnect {
			reason = p.ReasonCode
			if c.version < 5 {
				c.tb.Fatal("DISCONNECT sent to a client of MQTT 3.1.1")
			}
		}
	}
}

func (c *rawClient) read() (packets.Packet, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	p := packets.Packet{ProtocolVersion: c.version}
	first, err := c.r.ReadByte()
	if err != nil {
		return p, err
	}
	if err := p.FixedHeader.Decode(first); err != nil {
		return p, err
	}
	if p.FixedHeader.Remaining, _, err = packets.DecodeLength(c.r); err != nil {
		return p, err
	}
	body := make([]byte, p.FixedHeader.Remaining)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return p, err
	}
	switch p.FixedHeader.Type {
	case packets.Connack:
		err = p.ConnackDecode(body)
	case packets.Suback:
		err = p.SubackDecode(body)
	case packets.Publish:
		err = p.PublishDecode(body)
	case packets.Disconnect:
		err = p.DisconnectDecode(body)
	}
	return p, err
}
