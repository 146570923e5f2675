package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// The layout of a record batch, format 2: offsets of the fields from its start.
const (
	batchLengthAt     = 8
	batchMagicAt      = 16
	batchCRCAt        = 17
	batchAttributesAt = 21
	batchLastDeltaAt  = 23
	batchFirstTimeAt  = 27
	batchMaxTimeAt    = 35
	batchCountAt      = 57
	batchOverhead     = 61
)

const (
	attributeCompression   = 0x07
	attributeLogAppendTime = 0x08
	attributeControl       = 0x20
)

// maxInflated bounds what a compressed batch may become.
const maxInflated = 256 << 20

var (
	errChecksum = errors.New("record batch fails its checksum")
	errFormat   = errors.New("record batch is malformed")
)

func checksum(b []byte) uint32 {
	// The table is made once by the standard library and shared.
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}

// encoder writes record batches. It belongs to one goroutine.
type encoder struct {
	codec  compress.Codec // nil: none
	packed bytes.Buffer
}

// appendBatch appends one batch made of the first of records[idx…] that fit
// soft bytes, at most maxRecords (0: any number), and gives how many it took. The
// first may be longer, up to hard bytes; if it is longer still, none is taken.
func (e *encoder) appendBatch(dst []byte, records []pipeline.Record, idx []int32, soft, hard, maxRecords int) ([]byte, int, error) {
	start := len(dst)
	dst = append(dst, zeroHeader[:]...)
	now := time.Now()
	first := millis(&records[idx[0]], now)
	latest := first
	n := 0
	for _, i := range idx {
		r := &records[i]
		at := millis(r, now)
		size := bodyLen(r, at-first, n)
		length := len(dst) - start + varintLen(int64(size)) + size
		if n > 0 && (length > soft || n == maxRecords) {
			break
		}
		if length > hard && e.codec == nil { // else the packed length decides
			break
		}
		latest = max(latest, at)
		dst = appendRecord(dst, r, size, at-first, n)
		n++
	}
	if n == 0 {
		return dst[:start], 0, nil
	}
	attributes := int16(0)
	if e.codec != nil {
		var err error
		if dst, err = e.pack(dst, start+batchOverhead); err != nil {
			return dst[:start], 0, err
		}
		if len(dst)-start > hard && n == 1 {
			return dst[:start], 0, nil
		}
		attributes = int16(e.codec.Code())
	}
	b := dst[start:]
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-12))
	binary.BigEndian.PutUint16(b[batchAttributesAt:], uint16(attributes))
	binary.BigEndian.PutUint32(b[batchLastDeltaAt:], uint32(n-1))
	binary.BigEndian.PutUint64(b[batchFirstTimeAt:], uint64(first))
	binary.BigEndian.PutUint64(b[batchMaxTimeAt:], uint64(latest))
	binary.BigEndian.PutUint32(b[batchCountAt:], uint32(n))
	binary.BigEndian.PutUint32(b[batchCRCAt:], checksum(b[batchAttributesAt:]))
	return dst, n, nil
}

// zeroHeader is a batch header without producer ID, epoch and sequence (all -1).
var zeroHeader = [batchOverhead]byte{ //nolint:gochecknoglobals // constant, never written
	12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff, // leader epoch
	batchMagicAt: 2,
	43:           0xff, 44: 0xff, 45: 0xff, 46: 0xff, 47: 0xff, 48: 0xff, 49: 0xff, 50: 0xff, // producer ID
	51: 0xff, 52: 0xff, // producer epoch
	53: 0xff, 54: 0xff, 55: 0xff, 56: 0xff, // base sequence
}

func (e *encoder) pack(dst []byte, from int) ([]byte, error) {
	e.packed.Reset()
	w := e.codec.NewWriter(&e.packed)
	if _, err := w.Write(dst[from:]); err != nil {
		return dst, fmt.Errorf("compress batch: %w", err)
	}
	if err := w.Close(); err != nil {
		return dst, fmt.Errorf("compress batch: %w", err)
	}
	return append(dst[:from], e.packed.Bytes()...), nil
}

func millis(r *pipeline.Record, now time.Time) int64 {
	if r.Time.IsZero() {
		return now.UnixMilli()
	}
	return r.Time.UnixMilli()
}

func bodyLen(r *pipeline.Record, timeDelta int64, offsetDelta int) int {
	n := 1 + varintLen(timeDelta) + varintLen(int64(offsetDelta)) +
		varbytesLen(r.Key) + varbytesLen(r.Value) + varintLen(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		n += varintLen(int64(len(h.Key))) + len(h.Key) + varbytesLen(h.Value)
	}
	return n
}

func varbytesLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}

func appendRecord(dst []byte, r *pipeline.Record, size int, timeDelta int64, offsetDelta int) []byte {
	dst = appendVarint(dst, int64(size))
	dst = append(dst, 0)
	dst = appendVarint(dst, timeDelta)
	dst = appendVarint(dst, int64(offsetDelta))
	dst = appendVarbytes(dst, r.Key)
	dst = appendVarbytes(dst, r.Value)
	dst = appendVarint(dst, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		dst = appendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendVarbytes(dst, h.Value)
	}
	return dst
}

func appendVarbytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1
	}
	return append(appendVarint(dst, int64(len(b))), b...)
}

// batchDecoder turns the record set of a fetch answer into records that alias
// it. All slices are reused by the next decode.
type batchDecoder struct {
	records  []pipeline.Record
	headers  []pipeline.Header
	inflated []byte
	names    map[string]string // header keys seen, so that none is allocated twice
	next     int64             // offset after the last batch seen whole
}

// decode reads the records at or after offset from. A batch cut off at the end,
// as brokers may send, is left for the next fetch. What was read before an error
// is kept.
func (d *batchDecoder) decode(set []byte, topic string, partition int, from int64) error {
	d.records, d.headers, d.inflated = d.records[:0], d.headers[:0], d.inflated[:0]
	d.next = from
	for len(set) >= batchOverhead {
		length := int64(binary.BigEndian.Uint32(set[batchLengthAt:])) + 12
		if length > int64(len(set)) {
			return nil
		}
		if err := d.batch(set[:length], topic, partition); err != nil {
			return fmt.Errorf("at offset %d: %w", d.next, err)
		}
		set = set[length:]
	}
	return nil
}

func (d *batchDecoder) batch(b []byte, topic string, partition int) error {
	if len(b) < batchOverhead || b[batchMagicAt] != 2 {
		return errFormat
	}
	if checksum(b[batchAttributesAt:]) != binary.BigEndian.Uint32(b[batchCRCAt:]) {
		return errChecksum
	}
	base := int64(binary.BigEndian.Uint64(b))
	after := base + int64(int32(binary.BigEndian.Uint32(b[batchLastDeltaAt:]))) + 1
	if after <= d.next {
		return nil // wholly before what was asked for
	}
	attributes := binary.BigEndian.Uint16(b[batchAttributesAt:])
	if attributes&attributeControl != 0 {
		d.next = after
		return nil
	}
	body := b[batchOverhead:]
	if code := attributes & attributeCompression; code != 0 {
		var err error
		if body, err = d.inflate(compress.Compression(code), body); err != nil {
			return err
		}
	}
	first := int64(binary.BigEndian.Uint64(b[batchFirstTimeAt:]))
	latest := int64(binary.BigEndian.Uint64(b[batchMaxTimeAt:]))
	r := reader{b: body}
	kept := len(d.records)
	for range binary.BigEndian.Uint32(b[batchCountAt:]) {
		rec, ok := d.record(&r, base, first)
		if !ok {
			d.records = d.records[:kept]
			return errFormat
		}
		if rec.Offset < d.next {
			continue
		}
		if attributes&attributeLogAppendTime != 0 {
			rec.Time = time.UnixMilli(latest).UTC()
		}
		rec.Topic, rec.Partition = topic, partition
		d.records = append(d.records, rec)
	}
	d.next = after
	return nil
}

func (d *batchDecoder) record(r *reader, base, first int64) (pipeline.Record, bool) {
	body := reader{b: r.varbytes()}
	if r.err != nil {
		return pipeline.Record{}, false
	}
	body.take(1) // attributes, unused
	rec := pipeline.Record{
		Time:   time.UnixMilli(first + body.varint()).UTC(),
		Offset: base + body.varint(),
		Key:    body.varbytes(),
		Value:  body.varbytes(),
	}
	n := body.varint()
	if body.err != nil || n < 0 || n > int64(len(body.b)) {
		return rec, false
	}
	if n > 0 {
		at := len(d.headers)
		for range n {
			name := body.varbytes()
			d.headers = append(d.headers, pipeline.Header{Key: d.name(name), Value: body.varbytes()})
		}
		rec.Headers = d.headers[at:len(d.headers):len(d.headers)]
	}
	return rec, body.err == nil
}

// name gives the string of a header key; the few keys in use are kept.
func (d *batchDecoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if d.names == nil {
		d.names = make(map[string]string)
	}
	if len(d.names) < 64 {
		d.names[s] = s
	}
	return s
}

// inflate appends the unpacked body to the scratch memory. Bodies unpacked
// before stay valid: growing moves only what comes later.
func (d *batchDecoder) inflate(code compress.Compression, body []byte) ([]byte, error) {
	codec := code.Codec()
	if codec == nil {
		return nil, fmt.Errorf("compression %d: %w", code, errFormat)
	}
	src := codec.NewReader(bytes.NewReader(body))
	defer func() { _ = src.Close() }()
	start := len(d.inflated)
	dst := d.inflated
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := src.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("inflate batch: %w", err)
		}
		if len(dst)-start > maxInflated {
			return nil, fmt.Errorf("batch inflates past %d bytes: %w", maxInflated, errFormat)
		}
	}
	d.inflated = dst
	return dst[start:], nil
}
