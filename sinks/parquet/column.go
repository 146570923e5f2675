package parquet

import (
	"math"
	"strings"
	"unicode/utf8"
)

// column holds one column of a row group. Values stand close together: where one
// is missing there is no row number in at, so nulls cost nothing.
type column struct {
	Column
	at    []int32 // rows that have a value, ascending; unused when Required
	ints  []int64 // Int; Timestamp and LocalTime in microseconds
	nums  []float64
	bools []bool
	ids   []int32 // Text: places in dict
	dict  dictionary
}

func (c *column) reset() {
	c.at, c.ints, c.nums, c.bools, c.ids = c.at[:0], c.ints[:0], c.nums[:0], c.bools[:0], c.ids[:0]
	c.dict.reset()
}

func (c *column) mark(row int) {
	if !c.Required {
		c.at = append(c.at, int32(row))
	}
}

// addText sets the text of a row; rows come ascending, as in all methods.
func (c *column) addText(row int, s string) {
	c.mark(row)
	c.ids = append(c.ids, c.dict.id(s))
}

// addTexts sets the same text for n rows.
func (c *column) addTexts(row, n int, s string) {
	id := c.dict.id(s)
	for i := range n {
		c.ids = append(c.ids, id)
		c.mark(row + i)
	}
}

func (c *column) addInt(row int, v int64) {
	c.mark(row)
	c.ints = append(c.ints, v)
}

// addNumber leaves out what is no number: a NaN would spoil statistics.
func (c *column) addNumber(row int, v float64) {
	if v-v != 0 {
		return
	}
	c.mark(row)
	c.nums = append(c.nums, v)
}

func (c *column) addBool(row int, v bool) {
	c.mark(row)
	c.bools = append(c.bools, v)
}

// values is how many rows have a value.
func (c *column) values() int {
	switch c.Type {
	case Text:
		return len(c.ids)
	case Number:
		return len(c.nums)
	case Bool:
		return len(c.bools)
	case Int, Timestamp, LocalTime:
	}
	return len(c.ints)
}

// dictionary numbers the texts of one column chunk in order of first sight.
type dictionary struct {
	byText  map[string]int32
	last    string
	lastID  int32
	bytes   []byte
	offsets []int32 // one more than there are texts
}

func (d *dictionary) reset() {
	clear(d.byText)
	d.last, d.lastID = "", -1
	d.bytes, d.offsets = d.bytes[:0], d.offsets[:0]
}

func (d *dictionary) len() int { return max(len(d.offsets)-1, 0) }

func (d *dictionary) id(s string) int32 {
	if d.lastID >= 0 && s == d.last && len(d.offsets) > 0 {
		return d.lastID
	}
	id, known := d.byText[s]
	if !known && !utf8.ValidString(s) {
		id, known = d.id(strings.ToValidUTF8(s, "\ufffd")), true // readers trust the type
	}
	if !known {
		if d.byText == nil {
			d.byText = make(map[string]int32)
		}
		if len(d.offsets) == 0 {
			d.offsets = append(d.offsets, 0)
		}
		id = int32(d.len())
		d.byText[s] = id
		d.bytes = append(d.bytes, s...)
		d.offsets = append(d.offsets, int32(len(d.bytes)))
	}
	d.last, d.lastID = s, id
	return id
}

// microseconds rounds down, also before 1970: a time never moves to another day.
func microseconds(ns int64) int64 {
	us := ns / 1000
	if ns%1000 < 0 {
		us--
	}
	return us
}

// fromMS gives microseconds of milliseconds; false when they do not fit.
func fromMS(ms int64) (int64, bool) {
	if ms > math.MaxInt64/1000 || ms < math.MinInt64/1000 {
		return 0, false
	}
	return ms * 1000, true
}
