package schema

import (
	"strings"
	"time"
)

// point is the object behind a descriptor.
type point struct {
	kind      tokenKind
	timeKind  tokenKind // tokenString when there is a text
	time      time.Time
	timeOK    bool
	timeText  string // only when it is no time
	value     token
	unitKind  tokenKind
	unit      string // canonical
	unitText  string // as sent, set when the value must be converted
	unitFault bool
}

const (
	// earliestUnix is 2000-01-01T00:00:00Z: no car measured before.
	earliestUnix = 946684800

	maxUnits = 1024
)

// data reads the points, each into a reading, a skip or a fault.
func (n *Normalizer) data(res *Result) {
	s := &n.scan
	if s.peek() != '{' {
		t := s.value(1)
		if n.body.data != tokenObject {
			n.body.data = t.kind
		}
		return
	}
	n.body.data = tokenObject
	s.pos++
	for first := true; ; first = false {
		name, more := s.next(first)
		if !more {
			return
		}
		n.body.points++
		r, d := n.descriptor(name)
		n.readPoint()
		if s.reason != "" {
			return
		}
		n.take(res, r, d)
	}
}

// descriptor finds the row of a name; an unknown one has none. An empty
// descriptor says that the name is none.
func (n *Normalizer) descriptor(name []byte) (*row, Descriptor) {
	if r, ok := n.cat.rows[string(name)]; ok {
		return r, r.Descriptor
	}
	if len(name) > 8*MaxDescriptorBytes {
		return nil, ""
	}
	if !isClean(name) {
		n.word = appendClean(n.word[:0], name)
		name = n.word
		if r, ok := n.cat.rows[string(name)]; ok {
			return r, r.Descriptor
		}
	}
	if len(name) > MaxDescriptorBytes {
		return nil, ""
	}
	return nil, Descriptor(n.names.get(name))
}

// readPoint reads one point; of a member that occurs twice the last counts.
func (n *Normalizer) readPoint() {
	s, p := &n.scan, &n.point
	*p = point{}
	if s.peek() != '{' {
		p.kind = s.value(2).kind
		return
	}
	p.kind = tokenObject
	s.pos++
	for first := true; ; first = false {
		name, more := s.next(first)
		if !more {
			return
		}
		switch string(name) {
		case "timestamp":
			n.pointTime(s.value(3))
		case "value":
			p.value = s.value(3)
		case "unit":
			n.pointUnit(s.value(3))
		default:
			s.value(3)
		}
		if s.reason != "" {
			return
		}
	}
}

func (n *Normalizer) pointTime(t token) {
	p := &n.point
	p.timeKind, p.timeOK, p.timeText = t.kind, false, ""
	switch t.kind {
	case tokenAbsent, tokenNull:
		return
	case tokenString:
		b := n.unescaped(t)
		if !isClean(b) {
			n.word = appendClean(n.word[:0], b)
			b = n.word
		}
		if len(b) == 0 {
			p.timeKind = tokenNull
			return
		}
		if p.time, p.timeOK = parseTime(b); !p.timeOK {
			p.timeText = excerpt(b)
		}
	default:
		p.timeText = excerpt(t.raw)
	}
}

func (n *Normalizer) pointUnit(t token) {
	p := &n.point
	p.unitKind, p.unit, p.unitText, p.unitFault = t.kind, "", "", false
	switch t.kind {
	case tokenAbsent, tokenNull:
		return
	case tokenString:
	default:
		p.unitFault = true
		return
	}
	b := n.unescaped(t)
	if len(b) > 4*maxUnitBytes {
		p.unitFault = true
		return
	}
	u, ok := n.units[string(b)]
	if !ok {
		if len(n.units) >= maxUnits {
			clear(n.units)
		}
		text := string(b)
		u = CanonicalUnit(text)
		n.units[text] = u
	}
	p.unit, p.unitFault = u, len(u) > maxUnitBytes
	if _, _, converted := toMetric(0, u); converted {
		n.word = appendClean(n.word[:0], b)
		p.unitText = n.texts.get(n.word)
	}
}

// excerpt is the start of foreign bytes for a fault's text.
func excerpt(b []byte) string {
	const most = 64
	if len(b) > most {
		return strings.ToValidUTF8(string(b[:most]), "") + "…"
	}
	return string(b)
}

// take makes of the point at hand a reading, a skip or a fault.
func (n *Normalizer) take(res *Result, r *row, d Descriptor) {
	reason, text := n.check(d)
	if reason != "" {
		res.Faults = append(res.Faults, Fault{Descriptor: d, Reason: reason, Text: text})
		return
	}
	p := &n.point
	null := p.value.kind == tokenAbsent || p.value.kind == tokenNull
	if p.timeKind != tokenString {
		if null {
			res.Skipped = append(res.Skipped, d)
			return
		}
		res.Faults = append(res.Faults, Fault{Descriptor: d, Reason: ReasonTimeMissing, Text: "a value without a time"})
		return
	}
	res.Readings = append(res.Readings, Reading{Descriptor: d, Time: p.time})
	rd := &res.Readings[len(res.Readings)-1]
	misfit, ok := n.value(rd, r)
	if !ok {
		res.Readings = res.Readings[:len(res.Readings)-1]
		res.Faults = append(res.Faults, Fault{Descriptor: d, Reason: ReasonTextTooLong, Text: "the value is longer than 65536 bytes"})
		return
	}
	if misfit {
		res.Misfits++
	}
}

func (n *Normalizer) check(d Descriptor) (Reason, string) {
	p := &n.point
	switch {
	case d == "":
		return ReasonInvalidDescriptor, "the descriptor must be 1 to 256 bytes that can be seen"
	case p.kind != tokenObject:
		return ReasonInvalidPoint, "the point is not an object"
	case p.unitFault:
		return ReasonInvalidPoint, "the unit is not a short text"
	case p.timeText != "":
		return ReasonTimeInvalid, "not a time: " + p.timeText
	case p.timeOK && (p.time.Unix() < earliestUnix || p.time.After(n.latest)):
		return ReasonTimeOutOfRange, "measured " + p.time.Format(time.RFC3339) + ", before 2000 or a day after arrival"
	}
	return "", ""
}
