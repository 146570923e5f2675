package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
)

// The fixed request versions. All brokers since Kafka 2.1 know them, and so do
// Kafka 4.x brokers, which dropped the older ones.
const (
	produceVersion     = 7
	fetchVersion       = 10 // the first that may carry zstd
	listOffsetsVersion = 1
	metadataVersion    = 4 // the first that can refuse to create topics
)

// maxReply bounds what one answer may claim to be, so that a peer that is no
// broker cannot make us allocate gigabytes.
const maxReply = 256 << 20

// errTruncated reports an answer that ends before its fields do.
var errTruncated = errors.New("kafka answer is truncated")

// call is one request to one broker and its answer. The transport's connection
// goroutine owns it from the round trip's start; if that ends by its context, the
// goroutine may still use the buffers, so they must not be used again.
type call struct {
	key     protocol.ApiKey
	version int16
	broker  int32  // node ID, or -1 for any
	request []byte // whole frame: size, header, body
	reply   []byte // body of the answer, reused between calls
	offered int16  // what the connection negotiated
}

var (
	_ protocol.BrokerMessage = (*call)(nil)
	_ protocol.RawExchanger  = (*call)(nil)
)

// begin resets the request to its header; the body is then appended to c.request.
func (c *call) begin(key protocol.ApiKey, version int16, broker int32, clientID string) {
	c.key, c.version, c.broker = key, version, broker
	b := appendInt32(c.request[:0], 0) // size, known when sent
	b = appendInt16(b, int16(key))
	b = appendInt16(b, version)
	b = appendInt32(b, 0) // correlation: one request at a time on a connection
	c.request = appendString(b, clientID)
}

// ApiKey names the request for kafka-go.
func (c *call) ApiKey() protocol.ApiKey { return c.key } //nolint:revive // the name is kafka-go's

// Broker routes by the node given, not by the transport's own view of leaders.
func (c *call) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: c.broker}, nil
}

// Required says that the exchange is always ours.
func (c *call) Required(versions map[protocol.ApiKey]int16) bool {
	c.offered = versions[c.key]
	return true
}

// RawExchange writes the request in one piece and reads the answer into c.reply.
func (c *call) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if c.offered < c.version {
		return nil, fmt.Errorf("broker knows %s up to version %d, need %d: %w", c.key, c.offered, c.version, errVersion)
	}
	binary.BigEndian.PutUint32(c.request, uint32(len(c.request)-4))
	if _, err := rw.Write(c.request); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(head[:]))) - 4
	if n < 0 || n > maxReply {
		return nil, fmt.Errorf("kafka answer of %d bytes: %w", n, errTruncated)
	}
	if cap(c.reply) < n {
		c.reply = make([]byte, n)
	}
	c.reply = c.reply[:n]
	if _, err := io.ReadFull(rw, c.reply); err != nil {
		return nil, err
	}
	return c, nil
}

func appendInt16(b []byte, v int16) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) }
func appendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func appendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

func appendString(b []byte, s string) []byte {
	return append(appendInt16(b, int16(len(s))), s...)
}

// appendVarint writes the zigzag form that record batches use.
func appendVarint(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

func varintLen(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	n := 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}

// reader decodes big-endian fields. After the first field that is not there all
// others are zero and err is set; check it once at the end.
type reader struct {
	b   []byte
	err error
}

// take gives the next n bytes, or nil and the sticky error.
func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errTruncated
	}
	r.b = nil
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// text gives the bytes of a string; null and empty are the same here.
func (r *reader) text() []byte {
	n := r.int16()
	if n <= 0 {
		return nil
	}
	return r.take(int(n))
}

// array gives the number of elements, each at least size bytes long.
func (r *reader) array(size int) int {
	n := int(r.int32())
	if n < 0 {
		return 0
	}
	if n*size > len(r.b) {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// varbytes gives nil for null and a non-nil slice otherwise.
func (r *reader) varbytes() []byte {
	n := r.varint()
	if r.err != nil || n < 0 {
		return nil
	}
	return r.take(int(min(n, int64(maxReply)+1)))
}
