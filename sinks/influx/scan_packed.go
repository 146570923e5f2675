package influx

import (
	"fmt"
	"io"
	"net/http"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// The columns of a scan, in the order that its statements name them.
const scanColumns = "time number bool text absent "

// readPacked reads a stream of MessagePack documents, such as
//
//	{"results": [{"statement_id": 0, "series": [{"name": "reading", "tags": {"descriptor": "…"},
//	  "columns": ["time", "number", "bool", "text", "absent"], "values": [[ns, 1.5, nil, nil, nil], …]}], "partial": true}]}
//
// and gives its readings. partial, which stands last, promises another document of the same statement.
func (s *scanner) readPacked(body io.Reader) error {
	s.pack.reset(body)
	for !s.pack.atEnd() {
		if err := s.document(); err != nil {
			return err
		}
	}
	if s.pack.err != nil {
		return s.pack.err
	}
	return s.end()
}

func (s *scanner) document() error {
	p := &s.pack
	for n := p.mapLen(); n > 0 && p.err == nil; n-- {
		switch string(p.text()) {
		case "results":
			for n := p.arrayLen(); n > 0 && p.err == nil; n-- {
				if err := s.packedResult(); err != nil {
					return err
				}
			}
		case "error":
			return s.told()
		default:
			p.skip()
		}
	}
	return p.err
}

func (s *scanner) told() error {
	text := string(s.pack.text())
	if s.pack.err != nil {
		return s.pack.err
	}
	return &QueryError{http.StatusOK, text}
}

func (s *scanner) packedResult() error {
	p := &s.pack
	known := false
	for n := p.mapLen(); n > 0 && p.err == nil; n-- {
		switch string(p.text()) {
		case "statement_id":
			if err := s.result(int(p.int()), false); err != nil && p.err == nil {
				return err
			}
			known = true
		case "series":
			for n := p.arrayLen(); n > 0 && p.err == nil; n-- {
				if !known {
					return fmt.Errorf("series without a statement: %w", errAnswerForm)
				}
				if err := s.packedSeries(&s.todo[s.current]); err != nil {
					return err
				}
			}
		case "partial":
			s.partial = p.bool()
		case "error":
			return s.told()
		default:
			p.skip()
		}
	}
	if p.err == nil && !known {
		return fmt.Errorf("result without a statement: %w", errAnswerForm)
	}
	return p.err
}

func (s *scanner) packedSeries(st *scanStatement) error {
	p := &s.pack
	named := st.series
	if named {
		if err := s.seriesNow(st, []byte(st.descriptor)); err != nil {
			return err
		}
	}
	inOrder := false
	for n := p.mapLen(); n > 0 && p.err == nil; n-- {
		switch string(p.text()) {
		case "tags":
			for n := p.mapLen(); n > 0 && p.err == nil; n-- {
				if string(p.text()) != "descriptor" || st.series {
					p.skip()
					continue
				}
				named = true
				if err := s.seriesNow(st, p.text()); err != nil && p.err == nil {
					return err
				}
			}
		case "columns":
			inOrder = s.packedColumns()
		case "values":
			n := p.arrayLen()
			if n > 0 && (!named || !inOrder) {
				return fmt.Errorf("values before their columns and descriptor: %w", errAnswerForm)
			}
			if err := s.packedRows(n); err != nil {
				return err
			}
		default:
			p.skip()
		}
	}
	return p.err
}

func (s *scanner) packedColumns() bool {
	var got [len(scanColumns)]byte
	names := got[:0]
	for n := s.pack.arrayLen(); n > 0 && s.pack.err == nil; n-- {
		names = append(append(names, s.pack.text()...), ' ')
	}
	return string(names) == scanColumns
}

// packedRows is the hot loop of a scan.
func (s *scanner) packedRows(n int) error {
	p := &s.pack
	for ; n > 0; n-- {
		if c := p.next(); c != 0x95 {
			p.misfit(c, "a row of five")
			return p.err
		}
		ns := p.int()
		v, ok := s.packedValue()
		if p.err != nil {
			return p.err
		}
		if !ok {
			return errNoField
		}
		if err := s.add(ns, v); err != nil {
			return err
		}
	}
	return nil
}

// packedValue reads the four fields of a row; the first that is there wins.
func (s *scanner) packedValue() (v schema.Value, ok bool) {
	p := &s.pack
	if c := p.next(); c != packNil {
		v, ok = schema.Value{Kind: schema.KindNumber, Number: p.numberAfter(c)}, true
	}
	switch c := p.next(); c {
	case packNil:
	case packTrue, packFalse:
		if !ok {
			v, ok = schema.Value{Kind: schema.KindBool, Bool: c == packTrue}, true
		}
	default:
		p.misfit(c, "a boolean")
	}
	if c := p.next(); c != packNil {
		text := p.textAfter(c)
		if !ok && p.err == nil {
			v, ok = schema.Value{Kind: schema.KindText, Text: s.texts.get(text)}, true
		}
	}
	switch c := p.next(); c {
	case packNil:
	case packTrue, packFalse:
		ok = true // and without another field v is null
	default:
		p.misfit(c, "a boolean")
	}
	return v, ok
}
