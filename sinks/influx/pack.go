package influx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// packReader reads MessagePack, the form in which InfluxDB 1.8 and 2.x give
// query results with half the bytes of JSON. Its error is sticky: after it all
// methods give zero values, so one look at err each row is enough.
type packReader struct {
	r        io.Reader
	buf      []byte
	pos, end int // unread is buf[pos:end]
	err      error
}

const (
	packBuffer  = 64 << 10
	maxPackText = 64 << 20 // of one text; InfluxDB takes less than 1 MiB in a field
	maxPackNest = 16
)

var errPackNest = errors.New("values nested too deep")

func (p *packReader) reset(r io.Reader) {
	if p.buf == nil {
		p.buf = make([]byte, packBuffer)
	}
	p.r, p.pos, p.end, p.err = r, 0, 0, nil
}

// need makes n bytes stand at buf[pos:] or sets err.
func (p *packReader) need(n int) bool {
	if p.end-p.pos >= n {
		return true
	}
	return p.fill(n)
}

func (p *packReader) fill(n int) bool {
	if p.err != nil {
		return false
	}
	p.end = copy(p.buf, p.buf[p.pos:p.end])
	p.pos = 0
	for p.end < n {
		if p.end == len(p.buf) { // grow with what came, not with what was promised
			grown := make([]byte, 2*len(p.buf))
			copy(grown, p.buf[:p.end])
			p.buf = grown
		}
		m, err := p.r.Read(p.buf[p.end:])
		p.end += m
		if err != nil && p.end < n {
			p.fail(err)
			return false
		}
	}
	return true
}

func (p *packReader) fail(err error) {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if p.err == nil {
		p.err = err
	}
	p.pos, p.end = 0, 0
}

func (p *packReader) misfit(got byte, want string) {
	p.fail(fmt.Errorf("byte %#02x where %s should be", got, want))
}

// atEnd says whether the stream ends here, between two values.
func (p *packReader) atEnd() bool {
	if p.end > p.pos || p.err != nil {
		return false
	}
	for {
		m, err := p.r.Read(p.buf)
		p.pos, p.end = 0, m
		switch {
		case m > 0:
			return false // an error comes again with the next read
		case errors.Is(err, io.EOF):
			return true
		case err != nil:
			p.fail(err)
			return false
		}
	}
}

func (p *packReader) next() byte {
	if !p.need(1) {
		return 0
	}
	c := p.buf[p.pos]
	p.pos++
	return c
}

// uint reads a big-endian number of 1, 2, 4 or 8 bytes.
func (p *packReader) uint(bytes int) uint64 {
	if !p.need(bytes) {
		return 0
	}
	b := p.buf[p.pos:]
	p.pos += bytes
	switch bytes {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	}
	return binary.BigEndian.Uint64(b)
}

func (p *packReader) arrayLen() int {
	switch c := p.next(); {
	case c&0xf0 == 0x90:
		return int(c & 0x0f)
	case c == 0xdc:
		return int(p.uint(2))
	case c == 0xdd:
		return int(p.uint(4))
	default:
		p.misfit(c, "a list")
		return 0
	}
}

func (p *packReader) mapLen() int {
	switch c := p.next(); {
	case c&0xf0 == 0x80:
		return int(c & 0x0f)
	case c == 0xde:
		return int(p.uint(2))
	case c == 0xdf:
		return int(p.uint(4))
	default:
		p.misfit(c, "a map")
		return 0
	}
}

// text gives a string, valid until the next call of any method.
func (p *packReader) text() []byte { return p.textAfter(p.next()) }

func (p *packReader) textAfter(c byte) []byte {
	n, ok := p.textLen(c)
	if !ok {
		p.misfit(c, "text")
		return nil
	}
	return p.bytes(n)
}

func (p *packReader) textLen(c byte) (int, bool) {
	switch {
	case c&0xe0 == 0xa0:
		return int(c & 0x1f), true
	case c == 0xd9:
		return int(p.uint(1)), true
	case c == 0xda:
		return int(p.uint(2)), true
	case c == 0xdb:
		return int(p.uint(4)), true
	}
	return 0, false
}

func (p *packReader) bytes(n int) []byte {
	if n > maxPackText {
		p.fail(fmt.Errorf("text of %d bytes", n))
	}
	if !p.need(n) {
		return nil
	}
	b := p.buf[p.pos : p.pos+n]
	p.pos += n
	return b
}

func (p *packReader) bool() bool {
	c := p.next()
	if c != packTrue && c != packFalse {
		p.misfit(c, "a boolean")
	}
	return c == packTrue
}

const (
	packNil     = 0xc0
	packFalse   = 0xc2
	packTrue    = 0xc3
	packFloat32 = 0xca
	packFloat64 = 0xcb
	packUint64  = 0xcf
	packInt64   = 0xd3
)

// int reads a whole number in the range of int64.
func (p *packReader) int() int64 { return p.intAfter(p.next()) }

func (p *packReader) intAfter(c byte) int64 {
	switch c {
	case packInt64:
		return int64(p.uint(8))
	case packUint64:
		v := p.uint(8)
		if v > math.MaxInt64 {
			p.fail(fmt.Errorf("whole number %d is too large", v))
		}
		return int64(v)
	case 0xcc, 0xcd, 0xce:
		return int64(p.uint(1 << (c - 0xcc)))
	case 0xd0:
		return int64(int8(p.uint(1)))
	case 0xd1:
		return int64(int16(p.uint(2)))
	case 0xd2:
		return int64(int32(p.uint(4)))
	}
	if c < 0x80 || c >= 0xe0 {
		return int64(int8(c))
	}
	p.misfit(c, "a whole number")
	return 0
}

// numberAfter reads a number of any type that starts with c.
func (p *packReader) numberAfter(c byte) float64 {
	switch c {
	case packFloat64:
		return math.Float64frombits(p.uint(8))
	case packFloat32:
		return float64(math.Float32frombits(uint32(p.uint(4))))
	}
	return float64(p.intAfter(c))
}

// skip passes over one value of any type.
func (p *packReader) skip() { p.skipNested(maxPackNest) }

func (p *packReader) skipNested(depth int) {
	if !p.need(1) {
		return
	}
	if depth == 0 {
		p.fail(errPackNest)
		return
	}
	switch c := p.buf[p.pos]; {
	case c&0xf0 == 0x80, c == 0xde, c == 0xdf:
		for n := 2 * p.mapLen(); n > 0 && p.err == nil; n-- {
			p.skipNested(depth - 1)
		}
	case c&0xf0 == 0x90, c == 0xdc, c == 0xdd:
		for n := p.arrayLen(); n > 0 && p.err == nil; n-- {
			p.skipNested(depth - 1)
		}
	default:
		p.pos++
		p.skipScalar(c)
	}
}

func (p *packReader) skipScalar(c byte) {
	switch {
	case c == packNil, c == packFalse, c == packTrue:
	case c == packFloat32, c == packFloat64:
		p.numberAfter(c)
	case c == 0xc4, c == 0xc5, c == 0xc6: // bytes
		p.bytes(int(p.uint(1 << (c - 0xc4))))
	case c == 0xc7, c == 0xc8, c == 0xc9: // extension, with a type byte
		p.bytes(int(p.uint(1<<(c-0xc7))) + 1)
	case c >= 0xd4 && c <= 0xd8:
		p.bytes(1<<(c-0xd4) + 1)
	case c&0xe0 == 0xa0, c == 0xd9, c == 0xda, c == 0xdb:
		p.textAfter(c)
	default:
		p.intAfter(c)
	}
}
