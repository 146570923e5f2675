package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// restError is the body of a refusal of the Customer API (CarData API, section
// "REST", "Common").
type restError struct {
	status int
	ID     string `json:"exveErrorId"`
	Ref    string `json:"exveErrorRef"`
	Text   string `json:"exveErrorMsg"`
	Note   string `json:"exveNote"`
}

func refusal(status int, id, text string) *restError {
	return &restError{status: status, ID: id, Text: text, Note: "synthetic note"}
}

func (c *call) refuse(e *restError) {
	if e.status == http.StatusServiceUnavailable && c.faults.RetryAfter > 0 {
		c.w.Header().Set("Retry-After", strconv.Itoa(int(c.faults.RetryAfter.Seconds())))
	}
	c.s.log.Debug("rest call refused", "op", c.op, "status", e.status, "code", e.ID)
	c.s.writeError(c.w, e)
}

// writeError answers with an error body that has a reference of its own.
func (s *Simulator) writeError(w http.ResponseWriter, e *restError) {
	e.Ref = uuid(s.cfg.Seed, "error", int(s.Stats.RESTErrors.Add(1)))
	writeJSON(w, e.status, e)
}

// misbehave answers in place of the service when a fault is due. Like every
// call with a good token, it has been counted by then.
func (c *call) misbehave() bool {
	f := &c.s.faults
	switch {
	case f.take(func(f *Faults) *int { return &f.RESTHTML }):
		status := c.faults.RESTHTMLStatus
		if status == 0 {
			status = http.StatusBadGateway
		}
		c.w.Header().Set("Content-Type", "text/html")
		c.w.WriteHeader(status)
		_, _ = fmt.Fprintf(c.w, "<html><head><title>%d</title></head><body><h1>%s</h1></body></html>", status, http.StatusText(status))
	case f.take(func(f *Faults) *int { return &f.RESTFaultBody }):
		writeJSON(c.w, http.StatusInternalServerError, gatewayFault())
	case f.take(func(f *Faults) *int { return &f.RESTServerErrors }):
		c.refuse(refusal(http.StatusInternalServerError, "CU-500", "Internal server error"))
	case f.take(func(f *Faults) *int { return &f.RESTUnavailable }):
		c.refuse(refusal(http.StatusServiceUnavailable, "CU-503", "Partner system not available"))
	case f.take(func(f *Faults) *int { return &f.RESTDropped }):
		panic(http.ErrAbortHandler) // net/http's way to close without an answer
	default:
		return false
	}
	return true
}

// json answers with a body, or with what the faults in force make of it.
func (c *call) json(status int, body any) {
	text, err := marshal(body)
	if err != nil {
		c.s.fail(fmt.Errorf("encode answer of %s: %w", c.op, err))
		c.refuse(refusal(http.StatusInternalServerError, "CU-500", "Internal server error"))
		return
	}
	if c.faults.RESTWrongType != "" {
		text = wrongType(text, c.faults.RESTWrongType)
	}
	c.w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	switch {
	case c.faults.RESTHugeBytes > 0:
		c.huge(status)
		return
	case c.s.faults.take(func(f *Faults) *int { return &f.RESTCut }):
		text = text[:len(text)/2]
	case c.s.faults.take(func(f *Faults) *int { return &f.RESTTruncated }):
		c.w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		c.w.WriteHeader(status)
		_, _ = c.w.Write(text[:len(text)/2])
		_ = http.NewResponseController(c.w).Flush()
		panic(http.ErrAbortHandler)
	}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(text) // the client is gone if this fails
}

// huge answers with one JSON text of the wanted length.
func (c *call) huge(status int) {
	c.w.WriteHeader(status)
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	left := c.faults.RESTHugeBytes
	_, err := io.WriteString(c.w, `{"data":"`)
	for left > 0 && err == nil {
		n := min(left, int64(len(chunk)))
		_, err = c.w.Write(chunk[:n])
		left -= n
	}
	_, _ = io.WriteString(c.w, `"}`)
}

// marshal writes JSON as the service does: without escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// wrongType gives every member called name, or with "*" every scalar, a value
// of another type. With "." it is the whole body that is of another type.
func wrongType(text []byte, name string) []byte {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return text
	}
	if name == "." {
		v = other(v)
	} else {
		v = spoil(v, name)
	}
	out, err := marshal(v)
	if err != nil {
		return text
	}
	return out
}

func spoil(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, m := range v {
			if k == name {
				v[k] = other(m)
			} else {
				v[k] = spoil(m, name)
			}
		}
		return v
	case []any:
		for i := range v {
			v[i] = spoil(v[i], name)
		}
		return v
	default:
		if name == "*" {
			return other(v)
		}
		return v
	}
}

// other is a value of a type that cannot be taken for v's.
func other(v any) any {
	switch v.(type) {
	case string:
		return 12345
	case json.Number, bool:
		return map[string]any{"wrong": "type"}
	case map[string]any, []any:
		return "wrong type"
	default:
		return []any{}
	}
}

// isoMillis is a time as the Customer API writes it.
func isoMillis(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// isoOffset is the other way it has: an offset without a colon.
func isoOffset(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000-0700") }
