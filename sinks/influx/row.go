package influx

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Row is one row of a query's result. It is valid until the function that got
// it returns.
type Row struct{ r *rows }

// rows is the series being read and the memory of its current row.
type rows struct {
	statement   int // of the query, from 0
	measurement string
	tags        []string // name, value, name, value, …
	columns     []string
	cells       []cell
	bytes       []byte // of numbers as written, of texts unescaped
}

type cell struct {
	kind     jsontext.Kind
	from, to int
}

var errColumns = errors.New("row and columns differ in number")

func (r *rows) read(dec *jsontext.Decoder) error {
	r.cells, r.bytes = r.cells[:0], r.bytes[:0]
	tok, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if tok.Kind() != '[' {
		return fmt.Errorf("%s where a row should be", tok.Kind())
	}
	for dec.PeekKind() != ']' {
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		from := len(r.bytes)
		if raw.Kind() == '"' {
			if r.bytes, err = jsontext.AppendUnquote(r.bytes, raw); err != nil && !utf8Fault(raw) {
				return err
			}
		} else {
			r.bytes = append(r.bytes, raw...)
		}
		r.cells = append(r.cells, cell{raw.Kind(), from, len(r.bytes)})
	}
	if len(r.cells) != len(r.columns) {
		return errColumns
	}
	_, err = dec.ReadToken()
	return err
}

// utf8Fault says whether the decoder, which accepts invalid UTF-8 here, has
// already found raw to be a string: then it is the only fault left.
func utf8Fault(raw jsontext.Value) bool { return raw.IsValid(jsontext.AllowInvalidUTF8(true)) }

// Measurement names the series of the row.
func (r Row) Measurement() string { return r.r.measurement }

// Tag gives the tag of a series made by GROUP BY; empty when there is none.
func (r Row) Tag(name string) string {
	for i := 0; i < len(r.r.tags); i += 2 {
		if r.r.tags[i] == name {
			return r.r.tags[i+1]
		}
	}
	return ""
}

// Columns names the columns in order. The slice must not be changed.
func (r Row) Columns() []string { return r.r.columns }

// Time gives column time in nanoseconds since 1970, UTC; 0 when there is none.
func (r Row) Time() int64 {
	t, _ := r.Int("time")
	return t
}

// Int gives a whole number, exact over all 64 bits; false when the column is
// missing, null or something else.
func (r Row) Int(column string) (int64, bool) {
	b, ok := r.find(column, '0')
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseInt(string(b), 10, 64)
	return v, err == nil
}

// Float gives a number; false when the column is missing, null or something else.
func (r Row) Float(column string) (float64, bool) {
	b, ok := r.find(column, '0')
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(b), 64)
	return v, err == nil
}

// Bool gives a boolean; false twice when the column is missing, null or something else.
func (r Row) Bool(column string) (value, ok bool) {
	i := slices.Index(r.r.columns, column)
	if i < 0 {
		return false, false
	}
	kind := r.r.cells[i].kind
	return kind == 't', kind == 't' || kind == 'f'
}

// Text gives a string or a tag; false when the column is missing, null or something else.
func (r Row) Text(column string) (string, bool) {
	b, ok := r.find(column, '"')
	return string(b), ok
}

// TextBytes is Text without a copy, valid as long as the row.
func (r Row) TextBytes(column string) ([]byte, bool) { return r.find(column, '"') }

func (r Row) find(column string, kind jsontext.Kind) ([]byte, bool) {
	i := slices.Index(r.r.columns, column)
	if i < 0 || r.r.cells[i].kind != kind {
		return nil, false
	}
	c := r.r.cells[i]
	return r.r.bytes[c.from:c.to], true
}
