package schema

import (
	"errors"
	"fmt"
	"time"
)

// ErrDecode is wrapped by every error of a Decoder.
var ErrDecode = errors.New("schema: decode")

// Decoder reads what the Append functions of this package write. It gives equal texts
// the same string, so that it does not allocate for what it has seen before.
// It belongs to one goroutine; what it returns shares nothing with the input.
type Decoder struct {
	scan scanner
	in   interner
	buf  []byte
}

// NewDecoder returns an empty Decoder.
func NewDecoder() *Decoder { return &Decoder{in: newInterner()} }

// fields marks the members that were seen.
type fields uint16

const (
	hasVIN fields = 1 << iota
	hasDescriptor
	hasTime
	hasNumber
	hasBool
	hasText
	hasNull
	hasUnit
	hasRaw
	hasSource
	hasSent
	hasReceived
	hasGCID

	hasValue = hasNumber | hasBool | hasText | hasNull
)

// Reading sets r from one JSON object, replacing all of it. Members it does not
// know are passed over, so that an older program reads a newer record. A missing
// or wrong vin, descriptor, time, source or received is an error, and so is any
// number of values but one; r is then not to be used.
func (d *Decoder) Reading(r *Reading, data []byte) error {
	*r = Reading{}
	d.scan.reset(data)
	defer d.release()
	if err := d.open("reading"); err != nil {
		return err
	}
	var seen fields
	for first := true; ; first = false {
		name, more := d.scan.next(first)
		if !more {
			break
		}
		f := readingField(name)
		if f != 0 && seen&f != 0 {
			return d.wrong("reading", f, "occurs twice")
		}
		seen |= f
		if !d.readingMember(r, f) {
			return d.wrong("reading", f, "is not what it should be")
		}
	}
	if err := d.close("reading"); err != nil {
		return err
	}
	if missing := (hasVIN | hasDescriptor | hasTime | hasSource | hasReceived) &^ seen; missing != 0 {
		return d.wrong("reading", missing&-missing, "is missing")
	}
	if v := seen & hasValue; v == 0 || v&(v-1) != 0 {
		return fmt.Errorf("%w reading: want exactly one of number, bool, text, null", ErrDecode)
	}
	return nil
}

func readingField(name []byte) fields {
	switch string(name) {
	case "vin":
		return hasVIN
	case "descriptor":
		return hasDescriptor
	case "time":
		return hasTime
	case "number":
		return hasNumber
	case "bool":
		return hasBool
	case "text":
		return hasText
	case "null":
		return hasNull
	case "unit":
		return hasUnit
	case "raw":
		return hasRaw
	case "source":
		return hasSource
	case "sent":
		return hasSent
	case "received":
		return hasReceived
	case "gcid":
		return hasGCID
	}
	return 0
}

// readingMember sets the field of one member and says whether its value is
// right. On a fault of the JSON it says so too; close reports that one.
func (d *Decoder) readingMember(r *Reading, f fields) bool {
	t := d.scan.value(1)
	if d.scan.reason != "" {
		return true
	}
	var ok bool
	switch f {
	case hasVIN:
		r.VIN, ok = d.vin(t)
	case hasDescriptor:
		s := d.string(t)
		r.Descriptor, ok = Descriptor(s), s != "" && len(s) <= MaxDescriptorBytes
	case hasTime:
		r.Time, ok = d.time(t)
	case hasNumber:
		r.Value.Kind = KindNumber
		if ok = t.kind == tokenNumber; ok {
			r.Value.Number, _, ok = parseNumber(t.raw)
		}
	case hasBool:
		r.Value.Kind, r.Value.Bool, ok = KindBool, t.kind == tokenTrue, t.kind == tokenTrue || t.kind == tokenFalse
	case hasText:
		r.Value.Kind, r.Value.Text, ok = KindText, d.string(t), t.kind == tokenString
	case hasNull:
		ok = t.kind == tokenTrue
	case hasUnit:
		r.Unit, ok = d.string(t), t.kind == tokenString
	case hasRaw:
		r.Raw, ok = d.string(t), t.kind == tokenString
	case hasSource:
		r.Source, ok = d.source(t)
	case hasSent:
		r.Sent, ok = d.time(t)
	case hasReceived:
		r.Received, ok = d.time(t)
	case hasGCID:
		r.GCID, ok = d.gcid(t)
	default:
		ok = true
	}
	return ok
}

func (d *Decoder) open(what string) error {
	if d.scan.peek() != '{' {
		return fmt.Errorf("%w %s: not a JSON object", ErrDecode, what)
	}
	d.scan.pos++
	return nil
}

func (d *Decoder) close(what string) error {
	if d.scan.reason == "" {
		if d.scan.peek(); d.scan.pos < len(d.scan.data) {
			d.scan.fail(ReasonInvalidJSON, "more after the JSON")
		}
	}
	if d.scan.reason != "" {
		f := d.scan.fault()
		return fmt.Errorf("%w %s: %s: %s", ErrDecode, what, f.Reason, f.Text)
	}
	return nil
}

// release drops what belongs to the caller or is too big to keep.
func (d *Decoder) release() {
	d.scan.data = nil
	if cap(d.buf) > maxScratchBytes {
		d.buf = nil
	}
	if cap(d.scan.buf) > maxScratchBytes {
		d.scan.buf = nil
	}
}

func (d *Decoder) wrong(what string, f fields, how string) error {
	return fmt.Errorf("%w %s: %s %s", ErrDecode, what, f.name(what), how)
}

func (f fields) name(what string) string {
	switch f {
	case hasVIN:
		return "vin"
	case hasDescriptor:
		return "descriptor"
	case hasTime:
		return "time"
	case hasNumber:
		return "number"
	case hasBool:
		return "bool"
	case hasText:
		return "text"
	case hasNull:
		return "null"
	case hasUnit:
		return "unit"
	case hasRaw:
		return "raw"
	case hasSource:
		if what == "gap" {
			return "cause"
		}
		return "source"
	case hasSent:
		return "sent"
	case hasReceived:
		return "received"
	case hasGCID:
		return "gcid"
	default:
		return "member"
	}
}

// string gives the text of a string token, empty for any other.
func (d *Decoder) string(t token) string {
	if t.kind != tokenString {
		return ""
	}
	if !t.escaped {
		return d.in.get(t.raw)
	}
	d.buf = appendUnescaped(d.buf[:0], t.raw)
	return d.in.get(d.buf)
}

func (d *Decoder) time(t token) (time.Time, bool) {
	if t.kind != tokenString || t.escaped || len(t.raw) == 0 || t.raw[len(t.raw)-1]|0x20 != 'z' {
		return time.Time{}, false
	}
	return parseTime(t.raw)
}

func (d *Decoder) vin(t token) (VIN, bool) {
	s := d.string(t)
	return VIN(s), validVIN(s)
}

func (d *Decoder) gcid(t token) (GCID, bool) {
	s := d.string(t)
	return GCID(s), validGCID(s)
}

func (d *Decoder) source(t token) (Source, bool) {
	switch s := Source(d.string(t)); s {
	case SourceStream, SourceREST, SourceArchive:
		return s, true
	}
	return "", false
}
