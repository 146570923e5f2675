package influx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// QueryError is the server's refusal of a query.
type QueryError struct {
	Status int    // HTTP status; 200 when the fault was told inside the answer
	Text   string // the server's own words
}

// Error gives status and text.
func (e *QueryError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Text) }

// Query runs InfluxQL statements and calls row for each row of their results in
// the order of the server. Memory does not grow with the answer. A Row is valid
// until row returns; an error of row ends the query and is returned as it is.
// There is no deadline but ctx's. Errors the server tells, also in the middle
// of an answer, are *QueryError; a torn answer is an error too, so rows are
// complete only when Query returns nil.
func (c *Client) Query(ctx context.Context, q string, row func(Row) error) error {
	resp, err := c.ask(ctx, q, "application/json")
	if err != nil {
		return fmt.Errorf("influx query: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := newResultReader(resp.Body, row)
	if err := r.read(); err != nil {
		return r.explain(err)
	}
	return nil
}

// queryRequest asks for rows in chunks, which both sides handle one at a time.
func (c *Client) queryRequest(ctx context.Context, q, accept string) (*http.Request, error) {
	form := url.Values{"q": {q}, "db": {c.cfg.Database}, "epoch": {"ns"}, "chunked": {"true"}}
	if _, rp, found := strings.Cut(c.cfg.Bucket, "/"); found {
		form.Set("rp", rp)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"query", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "cardata-pipeline")
	if auth := c.service.Authorization(); auth != "" {
		req.Header.Set("Authorization", auth)
	}
	return req, nil
}

// resultReader walks the stream of JSON documents that a chunked answer is.
type resultReader struct {
	dec      *jsontext.Decoder
	row      func(Row) error
	cur      rows
	scan     *scanner // told of statements; nil when nobody counts them
	more     bool     // the last document promised another one
	rowFault error
}

func newResultReader(body io.Reader, row func(Row) error) *resultReader {
	return &resultReader{
		row: row,
		// Names cannot repeat here, and text is handed on as it was stored.
		dec: jsontext.NewDecoder(body, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
	}
}

// explain keeps the caller's own error apart from those of the answer.
func (r *resultReader) explain(err error) error {
	if r.rowFault != nil {
		return r.rowFault
	}
	return fmt.Errorf("influx query: %w", err)
}

func (r *resultReader) read() error {
	for n := 0; ; n++ {
		if r.dec.PeekKind() == 0 { // the end, or an error that the next read gives
			_, err := r.dec.ReadToken()
			switch {
			case !errors.Is(err, io.EOF):
				return fmt.Errorf("read answer: %w", err)
			case r.more || n == 0:
				return fmt.Errorf("read answer: %w", io.ErrUnexpectedEOF)
			}
			return nil
		}
		r.more = false
		if err := r.object(r.document); err != nil {
			return err
		}
	}
}

func (r *resultReader) document(name string) error {
	switch name {
	case "results":
		return r.array(func() error { return r.object(r.result) })
	case "error", "message":
		return r.told()
	}
	return r.dec.SkipValue()
}

func (r *resultReader) result(name string) error {
	switch name {
	case "statement_id":
		return r.statement()
	case "series":
		return r.array(r.series)
	case "error":
		return r.told()
	case "partial":
		var err error
		r.more, err = r.flag()
		if r.scan != nil {
			r.scan.partial = r.more
		}
		return err
	}
	return r.dec.SkipValue()
}

func (r *resultReader) statement() error {
	tok, err := r.dec.ReadToken()
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if tok.Kind() != '0' {
		return fmt.Errorf("read answer: %s where a number should be", tok.Kind())
	}
	id, err := strconv.Atoi(tok.String())
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	r.cur.statement = id
	if r.scan != nil {
		return r.scan.result(id, false)
	}
	return nil
}

func (r *resultReader) series() error {
	r.cur.measurement, r.cur.tags, r.cur.columns = "", nil, nil
	return r.object(r.seriesMember)
}

func (r *resultReader) seriesMember(name string) error {
	var err error
	switch name {
	case "name":
		r.cur.measurement, err = r.text()
		return err
	case "tags":
		return r.object(func(tag string) error {
			value, err := r.text()
			r.cur.tags = append(r.cur.tags, tag, value)
			return err
		})
	case "columns":
		return r.array(func() error {
			column, err := r.text()
			r.cur.columns = append(r.cur.columns, column)
			return err
		})
	case "values":
		return r.array(r.values)
	}
	return r.dec.SkipValue()
}

// values reads one row and hands it over.
func (r *resultReader) values() error {
	if err := r.cur.read(r.dec); err != nil {
		return fmt.Errorf("read row of %s: %w", r.cur.measurement, err)
	}
	r.rowFault = r.row(Row{&r.cur})
	return r.rowFault
}

func (r *resultReader) told() error {
	text, err := r.text()
	if err != nil {
		return err
	}
	return &QueryError{http.StatusOK, text}
}

func (r *resultReader) text() (string, error) {
	tok, err := r.dec.ReadToken()
	if err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	if tok.Kind() != '"' {
		return "", fmt.Errorf("read answer: %s where text should be", tok.Kind())
	}
	return tok.String(), nil
}

func (r *resultReader) flag() (bool, error) {
	tok, err := r.dec.ReadToken()
	if err != nil {
		return false, fmt.Errorf("read answer: %w", err)
	}
	return tok.Kind() == 't', nil
}

// object calls member for each name, which must read the value.
func (r *resultReader) object(member func(name string) error) error {
	return r.each('{', '}', func() error {
		name, err := r.text()
		if err != nil {
			return err
		}
		return member(name)
	})
}

func (r *resultReader) array(element func() error) error { return r.each('[', ']', element) }

func (r *resultReader) each(begin, end jsontext.Kind, element func() error) error {
	tok, err := r.dec.ReadToken()
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if tok.Kind() != begin {
		return fmt.Errorf("read answer: %s where %s should be", tok.Kind(), begin)
	}
	for r.dec.PeekKind() != end {
		if err := element(); err != nil {
			return err
		}
	}
	_, err = r.dec.ReadToken()
	return err
}
