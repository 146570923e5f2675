package schema

import (
	"strings"
	"time"
)

// Normalizer turns payloads into readings. It holds scratch memory, so it
// belongs to one goroutine; the catalogue may be shared.
type Normalizer struct {
	cat   *Catalogue
	scan  scanner
	names interner // unknown descriptors and identities
	texts interner // values and raw texts
	units map[string]string

	gcid   string    // the last one found valid: nearly always the next as well
	latest time.Time // measured times after this are out of range
	body   envelope
	point  point
	text   []byte // a string value without its escapes, or compact JSON
	word   []byte // a value without invisible characters, or the raw text in the making
}

// envelope is what a payload says about itself.
type envelope struct {
	vin, gcid  identity
	sent       time.Time
	data       tokenKind
	points     int
	identified bool
}

// identity is a vin or entityId member.
type identity struct {
	kind tokenKind
	text string
}

const (
	// clockSkew is how far ahead of arrival a measurement may lie: keys stamped
	// with the request time come a little from the future.
	clockSkew = 24 * time.Hour

	maxIdentityBytes = 64
	// maxScratchBytes is what is kept for the next payload; one huge payload must
	// not hold its memory for good.
	maxScratchBytes = 256 << 10
)

// NewNormalizer returns a Normalizer that types by c.
func NewNormalizer(c *Catalogue) *Normalizer {
	return &Normalizer{cat: c, names: newInterner(), texts: newInterner(), units: make(map[string]string)}
}

// Stream normalises one MQTT payload into res (CarData API, section
// "Message"). It never fails: what cannot be used is a Fault. Readings keep the
// order of the payload.
func (n *Normalizer) Stream(res *Result, in Input) {
	if in.Source == "" {
		in.Source = SourceStream
	}
	n.payload(res, &in, "data")
}

// Telematic normalises the answer of the REST call telematicData into res
// (CarData API, section "Endpoints"). The answer names no vehicle, so in.VIN
// must be set. An empty in.Source is SourceREST, and SourceStream for Stream.
func (n *Normalizer) Telematic(res *Result, in Input) {
	if in.Source == "" {
		in.Source = SourceREST
	}
	n.payload(res, &in, "telematicData")
}

func (n *Normalizer) payload(res *Result, in *Input, data string) {
	res.Reset()
	received := in.Received.Round(0).UTC()
	n.latest = received.Add(clockSkew)
	if received.IsZero() {
		n.latest = time.Unix(maxUnix, 0)
	}
	n.body = envelope{}
	n.scan.reset(in.Payload)
	n.envelope(res, data)
	if n.scan.reason == "" {
		n.verdict(in)
	}
	n.release()
	if n.scan.reason != "" {
		f := n.scan.fault()
		if n.body.identified {
			f.Text = n.scan.what // a fault of meaning has no place in the text
		}
		res.Reset()
		res.Faults = append(res.Faults, f)
		return
	}
	vin, gcid := in.VIN, in.GCID
	if vin == "" {
		vin = VIN(n.body.vin.text)
	}
	if gcid == "" {
		gcid = GCID(n.body.gcid.text)
	}
	for i := range res.Readings {
		r := &res.Readings[i]
		r.VIN, r.GCID, r.Source, r.Sent, r.Received = vin, gcid, in.Source, n.body.sent, received
	}
}

// release drops what belongs to the caller or is too big to keep.
func (n *Normalizer) release() {
	n.scan.data, n.point.value = nil, token{}
	if cap(n.text) > maxScratchBytes {
		n.text = nil
	}
	if cap(n.word) > maxScratchBytes {
		n.word = nil
	}
	if cap(n.scan.buf) > maxScratchBytes {
		n.scan.buf = nil
	}
}

// verdict decides about the message as a whole once its JSON is known to be
// good.
func (n *Normalizer) verdict(in *Input) {
	n.body.identified = true
	vin, gcid := &n.body.vin, &n.body.gcid
	switch {
	case vin.kind != tokenAbsent && vin.kind != tokenNull && (vin.kind != tokenString || !validVIN(vin.text)):
		n.scan.fail(ReasonInvalidVIN, "the vin of the body is none")
	case gcid.kind != tokenAbsent && gcid.kind != tokenNull && (gcid.kind != tokenString || !n.validGCID(gcid.text)):
		n.scan.fail(ReasonInvalidGCID, "the entityId of the body is no UUID")
	case in.VIN != "" && vin.text != "" && vin.text != string(in.VIN):
		n.scan.fail(ReasonVINMismatch, "the body names another vehicle than the topic")
	case in.GCID != "" && gcid.text != "" && gcid.text != string(in.GCID) && !strings.EqualFold(gcid.text, string(in.GCID)):
		n.scan.fail(ReasonGCIDMismatch, "the body names another account than the topic")
	case in.GCID != "" && !n.validGCID(string(in.GCID)):
		n.scan.fail(ReasonInvalidGCID, "the GCID of the topic is no UUID")
	case in.VIN == "" && vin.text == "":
		n.scan.fail(ReasonInvalidVIN, "neither topic nor body name a vehicle")
	case in.VIN != "" && vin.text == "" && !validVIN(string(in.VIN)):
		n.scan.fail(ReasonInvalidVIN, "the VIN of the topic is none")
	case n.body.data == tokenAbsent || n.body.data == tokenNull:
		n.scan.fail(ReasonNoData, "no data")
	case n.body.data != tokenObject:
		n.scan.fail(ReasonNotAnObject, "data is not an object")
	case n.body.points == 0:
		n.scan.fail(ReasonNoData, "data is empty")
	}
}

func (n *Normalizer) validGCID(s string) bool {
	if s == n.gcid {
		return s != ""
	}
	if !validGCID(s) {
		return false
	}
	n.gcid = s
	return true
}

// envelope reads the payload to its end. Members may come in any order, so the
// readings get vehicle, account and envelope time afterwards.
func (n *Normalizer) envelope(res *Result, data string) {
	s := &n.scan
	if s.peek() != '{' {
		if s.value(0); s.reason == "" {
			n.end()
		}
		if s.reason == "" {
			s.fail(ReasonNotAnObject, "the payload is not an object, it ends")
		}
		return
	}
	s.pos++
	for first := true; ; first = false {
		name, more := s.next(first)
		if !more {
			break
		}
		switch string(name) {
		case "vin":
			n.identity(&n.body.vin)
		case "entityId":
			n.identity(&n.body.gcid)
		case "timestamp":
			n.body.sent = time.Time{}
			if t := s.value(1); t.kind == tokenString {
				n.body.sent, _ = parseTime(n.unescaped(t))
			}
		case data:
			n.data(res)
		default:
			s.value(1)
		}
		if s.reason != "" {
			return
		}
	}
	if s.reason == "" {
		n.end()
	}
}

func (n *Normalizer) end() {
	n.scan.peek()
	if n.scan.pos < len(n.scan.data) {
		n.scan.fail(ReasonInvalidJSON, "more after the JSON")
	}
}

func (n *Normalizer) identity(id *identity) {
	t := n.scan.value(1)
	id.kind, id.text = t.kind, ""
	if t.kind != tokenString {
		return
	}
	b := n.unescaped(t)
	if len(b) == 0 || len(b) > maxIdentityBytes {
		id.text = "-" // no identity, and told from an absent one
		return
	}
	id.text = n.names.get(b)
}

// unescaped gives the text of a string token, valid until the next call.
func (n *Normalizer) unescaped(t token) []byte {
	if !t.escaped {
		return t.raw
	}
	n.text = appendUnescaped(n.text[:0], t.raw)
	return n.text
}
