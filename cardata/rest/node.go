package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxElements = 100_000 // of one list or object; a page has about ten sessions
	maxProblems = 32      // noted of one element
	earliest    = 946_684_800
	latest      = 4_102_444_800 // 2100-01-01T00:00:00Z
	millis      = 100_000_000_000
)

// notes collects what could not be read: where, what was expected, what stood
// there, never the value, which may be personal.
type notes struct{ list []string }

func (n *notes) add(path, problem string) {
	switch {
	case len(n.list) < maxProblems:
		n.list = append(n.list, path+": "+problem)
	case len(n.list) == maxProblems:
		n.list = append(n.list, "more of the same")
	}
}

// object is one JSON object whose members are read one by one, so that a wrong
// one costs itself alone. The zero object has no members.
type object struct {
	members map[string]json.RawMessage
	path    string // "" at the top, else with a dot at its end
	notes   *notes
}

// newObject reads an object; anything else than an object or null is noted. ok
// says that it was an object.
func newObject(raw json.RawMessage, path string, n *notes) (o object, ok bool) {
	o = object{path: path, notes: n}
	if path != "" {
		o.path += "."
	}
	if what := form(raw); what != "object" {
		if what != "null" {
			n.add(path, "object expected, got "+what)
		}
		return o, false
	}
	o.members = make(map[string]json.RawMessage)
	d := json.NewDecoder(bytes.NewReader(raw))
	_, err := d.Token()
	for err == nil && d.More() {
		var name json.Token
		var value json.RawMessage
		if name, err = d.Token(); err == nil {
			err = d.Decode(&value)
		}
		if len(o.members) == maxElements {
			n.add(path, "too many members")
			break
		}
		if key, isText := name.(string); isText && err == nil {
			o.members[key] = value
		}
	}
	return o, true
}

// elements cuts a list into its elements. A single object stands for a list of
// one: BMW sends either (CarData API, section 3.4, "mappings").
func elements(raw json.RawMessage, path string, n *notes) (list []json.RawMessage) {
	switch what := form(raw); what {
	case "list":
	case "object":
		return []json.RawMessage{raw}
	case "null":
		return nil
	default:
		n.add(path, "list expected, got "+what)
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	_, err := d.Token()
	for err == nil && d.More() {
		if len(list) == maxElements {
			n.add(path, "too many elements")
			break
		}
		var value json.RawMessage
		if err = d.Decode(&value); err == nil {
			list = append(list, value)
		}
	}
	return list
}

// form names what a JSON value is; an absent one is null.
func form(raw json.RawMessage) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return "null"
	}
	switch raw[0] {
	case '{':
		return "object"
	case '[':
		return "list"
	case '"':
		return "text"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	default:
		return "number"
	}
}

func (o object) has(name string) bool { return form(o.members[name]) != "null" }

func (o object) child(name string) (object, bool) {
	return newObject(o.members[name], o.path+name, o.notes)
}

func (o object) list(name string) []json.RawMessage {
	return elements(o.members[name], o.path+name, o.notes)
}

// objects calls f with each object of a list; elements of another form are noted.
func (o object) objects(name string, f func(e object)) {
	for i, raw := range o.list(name) {
		path := fmt.Sprintf("%s%s[%d]", o.path, name, i)
		if form(raw) == "null" {
			o.notes.add(path, "object expected, got null")
		}
		if e, ok := newObject(raw, path, o.notes); ok {
			f(e)
		}
	}
}

func (o object) wrong(name, expected string) {
	o.notes.add(o.path+name, expected+" expected, got "+form(o.members[name]))
}

func (o object) unreadable(name, expected string) {
	o.notes.add(o.path+name, "is no "+expected)
}

// text reads a string; a number or boolean gives its literal, null and absent "".
func (o object) text(name string) string {
	raw := o.members[name]
	switch form(raw) {
	case "null":
		return ""
	case "text":
		return unquote(raw)
	case "number", "boolean":
		return string(raw)
	default:
		o.wrong(name, "text")
		return ""
	}
}

func unquote(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // the whole document has been checked
	return s
}

// number reads a number or a text that is one; nil for null, absent, and the
// words that BMW has for neither.
func (o object) number(name string) *float64 {
	raw := o.members[name]
	literal := string(raw)
	switch form(raw) {
	case "null":
		return nil
	case "number":
	case "text":
		literal = strings.TrimSpace(unquote(raw))
		if missing(literal) {
			return nil
		}
	default:
		o.wrong(name, "number")
		return nil
	}
	f, ok := parseNumber(literal)
	if !ok {
		o.unreadable(name, "number")
		return nil
	}
	return &f
}

// missing tells the texts that stand for no value (CarData API, sections 3.4 and 4.6).
func missing(s string) bool {
	switch s {
	case "", "-", "-NA-", "null", "NULL", "INVALID":
		return true
	default:
		return false
	}
}

func parseNumber(s string) (f float64, ok bool) {
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false // hexadecimal, "inf", "nan"
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsInf(f, 0)
}

// within is number for a value that makes sense from low to high alone.
func (o object) within(name string, low, high float64) *float64 {
	f := o.number(name)
	if f != nil && (*f < low || *f > high) {
		o.notes.add(o.path+name, "out of range")
		return nil
	}
	return f
}

// flag reads a boolean or a word or digit that says one.
func (o object) flag(name string) *bool {
	raw := o.members[name]
	var word string
	switch form(raw) {
	case "null":
		return nil
	case "boolean", "number":
		word = string(raw)
	case "text":
		word = strings.ToLower(strings.TrimSpace(unquote(raw)))
	default:
		o.wrong(name, "boolean")
		return nil
	}
	yes := false
	switch word {
	case "true", "1", "yes", "asn_istrue":
		yes = true
	case "false", "0", "no", "asn_isfalse":
	case "", "-", "-na-", "null", "invalid":
		return nil
	default:
		o.unreadable(name, "boolean")
		return nil
	}
	return &yes
}

// time reads Unix seconds or milliseconds, in digits or as a text, or an ISO
// time; without an offset it is UTC. Zero for null, absent, 0 and "".
func (o object) time(name string) time.Time {
	raw := o.members[name]
	literal := string(raw)
	switch form(raw) {
	case "null":
		return time.Time{}
	case "number":
	case "text":
		literal = strings.TrimSpace(unquote(raw))
		if missing(literal) {
			return time.Time{}
		}
	default:
		o.wrong(name, "time")
		return time.Time{}
	}
	t, ok := parseTime(literal)
	if !ok {
		o.unreadable(name, "time")
		return time.Time{}
	}
	return t
}

func parseTime(s string) (t time.Time, ok bool) {
	if f, isNumber := parseNumber(s); isNumber {
		if f == 0 {
			return time.Time{}, true
		}
		if f >= millis {
			f /= 1000
		}
		if f < earliest || f > latest {
			return time.Time{}, false
		}
		return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), true
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999-0700", "2006-01-02T15:04:05.999999999",
		"2006-01-02 15:04:05", "2006-01-02T15:04Z07:00", time.DateOnly, "02.01.2006 15:04:05 UTC",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			u := t.Unix()
			return t.UTC(), u >= earliest && u <= latest
		}
	}
	return time.Time{}, false
}

// texts reads a list of strings, or one text with commas between them.
func (o object) texts(name string) []string {
	var list []string
	if form(o.members[name]) == "text" {
		for word := range strings.SplitSeq(unquote(o.members[name]), ",") {
			if word = strings.TrimSpace(word); word != "" {
				list = append(list, word)
			}
		}
		return list
	}
	for i, raw := range o.list(name) {
		if form(raw) != "text" {
			o.notes.add(fmt.Sprintf("%s%s[%d]", o.path, name, i), "text expected, got "+form(raw))
			continue
		}
		list = append(list, unquote(raw))
	}
	return list
}

var (
	errCut      = errors.New("the answer is cut off")
	errNotJSON  = errors.New("the answer is not JSON")
	errHTML     = errors.New("the answer is a web page")
	errEmpty    = errors.New("the answer is empty")
	errTooLarge = errors.New("the answer is too large")
)

// document checks that body is one whole JSON value and gives it without what
// stands around it.
func document(body []byte) (json.RawMessage, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	switch {
	case len(body) == 0:
		return nil, errEmpty
	case body[0] == '<':
		return nil, errHTML
	case json.Valid(body):
		return body, nil
	}
	var v json.RawMessage
	err := json.NewDecoder(bytes.NewReader(body)).Decode(&v)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errCut
	}
	return nil, errNotJSON
}

// clean makes foreign text fit for a log line and a terminal.
func clean(s string) string {
	const limit = 200
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' || 0x200b <= r && r <= 0x200f || 0x202a <= r && r <= 0x202e {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= limit {
		return s
	}
	cut := limit
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
