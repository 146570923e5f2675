package parquet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// spool keeps the readings of a day in a file until all of them are known: table
// wide needs its columns before its first row. One vehicle comes back at a time.
type spool struct {
	f        *os.File
	w        *bufio.Writer
	n        int64
	vehicles []spooled
	names    []*descriptor // by number in the file
	numbers  map[*descriptor]int
	kinds    []kindSet // of each descriptor: what occurred
	buf      []byte
}

type spooled struct {
	vin      string
	from, to int64 // in the file
	readings int
}

// kindSet is a set of schema.Kind.
type kindSet uint8

func (s kindSet) has(k schema.Kind) bool { return s&(1<<k) != 0 }

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "wide-*.spool")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	return &spool{f: f, w: bufio.NewWriterSize(f, outputBuffer), numbers: make(map[*descriptor]int)}, nil
}

func (s *spool) vehicle(vin string) {
	if n := len(s.vehicles); n > 0 && s.vehicles[n-1].readings == 0 {
		s.vehicles = s.vehicles[:n-1]
	}
	s.vehicles = append(s.vehicles, spooled{vin: vin, from: s.n, to: s.n})
}

// add appends a block of the present vehicle: descriptor, count, then for each
// reading the time since the one before, the kind and the value.
func (s *spool) add(d *descriptor, b *schema.ReadingBlock) error {
	number, known := s.numbers[d]
	if !known {
		number = len(s.names)
		s.numbers[d] = number
		s.names = append(s.names, d)
		s.kinds = append(s.kinds, 0)
	}
	out := binary.AppendUvarint(s.buf[:0], uint64(number))
	out = binary.AppendUvarint(out, uint64(b.Len()))
	last := int64(0)
	for i, ns := range b.Times {
		us := microseconds(ns)
		out = binary.AppendVarint(out, us-last)
		last = us
		v := &b.Values[i]
		s.kinds[number] |= 1 << v.Kind
		out = appendValue(out, v)
	}
	s.buf = out
	n, err := s.w.Write(out)
	s.n += int64(n)
	if err != nil {
		return fmt.Errorf("write %s: %w", s.f.Name(), err)
	}
	v := &s.vehicles[len(s.vehicles)-1]
	v.to = s.n
	v.readings += b.Len()
	return nil
}

func appendValue(out []byte, v *schema.Value) []byte {
	out = append(out, byte(v.Kind))
	switch v.Kind {
	case schema.KindNumber:
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v.Number))
	case schema.KindBool:
		if v.Bool {
			return append(out, 1)
		}
		return append(out, 0)
	case schema.KindText:
		out = binary.AppendUvarint(out, uint64(len(v.Text)))
		out = append(out, v.Text...)
	case schema.KindNull:
	}
	return out
}

// spoolBlock is a block as it comes back.
type spoolBlock struct {
	number int
	times  []int64 // microseconds
	values []schema.Value
}

// read gives the blocks of one vehicle.
func (s *spool) read(v spooled) ([]spoolBlock, error) {
	if err := s.w.Flush(); err != nil {
		return nil, fmt.Errorf("write %s: %w", s.f.Name(), err)
	}
	r := spoolReader{r: bufio.NewReaderSize(io.NewSectionReader(s.f, v.from, v.to-v.from), outputBuffer)}
	var blocks []spoolBlock
	for {
		b, err := r.block()
		if errors.Is(err, io.EOF) {
			return blocks, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s.f.Name(), err)
		}
		blocks = append(blocks, b)
	}
}

func (s *spool) discard() {
	_ = s.f.Close()
	_ = os.Remove(s.f.Name())
}

// spoolReader reads what add wrote; its error stays.
type spoolReader struct {
	r   *bufio.Reader
	err error
	buf [8]byte
}

func (r *spoolReader) block() (spoolBlock, error) {
	if _, err := r.r.Peek(1); err != nil {
		return spoolBlock{}, err
	}
	b := spoolBlock{number: int(r.uvarint())}
	n := int(r.uvarint())
	if r.err != nil {
		return b, r.err
	}
	b.times, b.values = make([]int64, n), make([]schema.Value, n)
	last := int64(0)
	for i := range n {
		last += r.varint()
		b.times[i] = last
		r.value(&b.values[i])
	}
	return b, r.err
}

func (r *spoolReader) value(v *schema.Value) {
	v.Kind = schema.Kind(r.byte())
	switch v.Kind {
	case schema.KindNumber:
		r.full(r.buf[:])
		v.Number = math.Float64frombits(binary.LittleEndian.Uint64(r.buf[:]))
	case schema.KindBool:
		v.Bool = r.byte() == 1
	case schema.KindText:
		b := make([]byte, r.uvarint())
		r.full(b)
		v.Text = string(b)
	case schema.KindNull:
	}
}

func (r *spoolReader) full(b []byte) {
	if r.err == nil {
		_, err := io.ReadFull(r.r, b)
		r.fail(err)
	}
}

func (r *spoolReader) byte() byte {
	if r.err != nil {
		return 0
	}
	b, err := r.r.ReadByte()
	r.fail(err)
	return b
}

func (r *spoolReader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(r.r)
	r.fail(err)
	return v
}

func (r *spoolReader) varint() int64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadVarint(r.r)
	r.fail(err)
	return v
}

// fail keeps an error; an end within a block is none of io.EOF.
func (r *spoolReader) fail(err error) {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	r.err = err
}
