package influx

import (
	"io"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// readJSON reads what readPacked reads from a server that has only JSON.
func (s *scanner) readJSON(body io.Reader) error {
	r := newResultReader(body, s.row)
	r.scan = s
	if err := r.read(); err != nil {
		if r.rowFault != nil {
			return r.rowFault
		}
		return err
	}
	return s.end()
}

func (s *scanner) row(r Row) error {
	if r.r.statement >= len(s.todo) {
		return errAnswerForm
	}
	st := &s.todo[r.r.statement]
	d := string(st.descriptor)
	if !st.series {
		d = r.Tag("descriptor")
	}
	if err := s.seriesNow(st, []byte(d)); err != nil {
		return err
	}
	v, ok := s.rowValue(r)
	if !ok {
		return errNoField
	}
	ns, ok := r.Int("time")
	if !ok {
		return errAnswerForm
	}
	return s.add(ns, v)
}

func (s *scanner) rowValue(r Row) (schema.Value, bool) {
	if f, ok := r.Float("number"); ok {
		return schema.Value{Kind: schema.KindNumber, Number: f}, true
	}
	if b, ok := r.Bool("bool"); ok {
		return schema.Value{Kind: schema.KindBool, Bool: b}, true
	}
	if text, ok := r.TextBytes("text"); ok {
		return schema.Value{Kind: schema.KindText, Text: s.texts.get(text)}, true
	}
	_, ok := r.Bool("absent")
	return schema.Value{}, ok
}
