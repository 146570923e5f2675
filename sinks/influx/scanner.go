package influx

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

var (
	errSeriesOrder = errors.New("series out of order")
	errTimeOrder   = errors.New("times of a series do not ascend")
	errNoField     = errors.New("point without a field of a reading")
	errShort       = fmt.Errorf("answer ends before its last statement: %w", io.ErrUnexpectedEOF)
)

// scanner makes blocks of the rows of answers. It is strict: an answer that has
// not the statements asked for, each to its end and in order, is an error.
type scanner struct {
	give func(*schema.ReadingBlock) error

	todo    []scanStatement
	current int  // statement that the last result belongs to; -1 before the first
	partial bool // the last result promised more of it

	block     schema.ReadingBlock
	open      bool // block has its series
	last      int64
	textBytes int
	texts     texts

	readings, series int64 // counted by the caller

	pack packReader
}

// maxBlockText bounds the texts of one block, in bytes.
const maxBlockText = 4 << 20

func newScanner(give func(*schema.ReadingBlock) error) *scanner {
	return &scanner{give: give, current: -1}
}

// start prepares for the answer to todo; the open series goes on.
func (s *scanner) start(todo []scanStatement) { s.todo, s.current, s.partial = todo, -1, false }

// result begins a part of the answer that belongs to statement id.
func (s *scanner) result(id int, partial bool) error {
	want := s.current
	if !s.partial {
		want++
	}
	if id != want || id >= len(s.todo) {
		return fmt.Errorf("result of statement %d where %d should be, of %d", id, want, len(s.todo))
	}
	s.current, s.partial = id, partial
	return nil
}

// end checks that nothing is missing.
func (s *scanner) end() error {
	if s.partial || s.current != len(s.todo)-1 {
		return errShort
	}
	return nil
}

// seriesNow says that rows of this descriptor follow.
func (s *scanner) seriesNow(st *scanStatement, descriptor []byte) error {
	if s.open && s.block.VIN == st.vin && string(s.block.Descriptor) == string(descriptor) {
		return nil
	}
	if s.open && (st.vin < s.block.VIN || st.vin == s.block.VIN && string(descriptor) < string(s.block.Descriptor)) {
		return errSeriesOrder
	}
	if err := s.flush(); err != nil {
		return err
	}
	d := st.descriptor
	if !st.series {
		d = schema.Descriptor(descriptor)
	}
	s.block.Reset(st.vin, d)
	s.open, s.last = true, math.MinInt64
	s.series++
	return nil
}

// add takes one row. v has the kind of the first field that it holds.
func (s *scanner) add(ns int64, v schema.Value) error {
	if ns <= s.last {
		return errTimeOrder
	}
	if s.block.Len() == MaxBlockReadings || s.textBytes > maxBlockText {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.last = ns
	s.block.Append(ns, v)
	s.textBytes += len(v.Text)
	return nil
}

// flush hands over what the block holds; its series may go on.
func (s *scanner) flush() error {
	n := s.block.Len()
	if n == 0 {
		return nil
	}
	s.readings += int64(n)
	err := s.give(&s.block)
	s.block.Reset(s.block.VIN, s.block.Descriptor)
	s.textBytes = 0
	if err != nil {
		return &callerError{err}
	}
	return nil
}

// texts gives equal short texts as one string.
type texts struct {
	known map[string]string
	last  string
}

const (
	maxKnownTexts = 1024
	maxKnownText  = 128 // bytes of one
)

func (t *texts) get(b []byte) string {
	if string(b) == t.last {
		return t.last
	}
	if len(b) > maxKnownText {
		return string(b)
	}
	s, ok := t.known[string(b)]
	if !ok {
		if t.known == nil || len(t.known) >= maxKnownTexts {
			t.known = make(map[string]string)
		}
		s = string(b)
		t.known[s] = s
	}
	t.last = s
	return s
}
