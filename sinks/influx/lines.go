package influx

import (
	"errors"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

var (
	errNoTime    = errors.New("no time")
	errNotFinite = errors.New("number is not finite")
	errNotUTF8   = errors.New("text is not valid UTF-8")
	errNoKind    = errors.New("value of unknown kind")
)

// lines is a batch in line protocol, reused between writes. Each line knows the
// item of the caller's batch it came from.
type lines struct {
	enc    lineprotocol.Encoder
	buf    []byte
	ends   []int // end of line i in buf
	owners []int // index of line i's item in the caller's batch

	texts []pendingText // of the line being written
	tail  []byte        // scratch of end

	days   []dayKey // seen in this batch, in order of first sight
	dayset map[dayKey]struct{}

	zip    *zipper
	unread atomic.Int32 // request bodies over buf that the transport has not closed
}

// pendingText is a text whose empty quotes are in the buffer.
type pendingText struct {
	at   int // of the closing quote
	text string
}

type dayKey struct {
	vin schema.VIN
	day int64 // days since 1970
}

// reset empties l and keeps its memory.
func (l *lines) reset() {
	l.rewind()
	clear(l.texts)
	clear(l.days)
	l.days = l.days[:0]
	clear(l.dayset)
}

// rewind drops the lines. A body that the transport still reads (the server may
// answer before it has read all) keeps the old memory.
func (l *lines) rewind() {
	if l.unread.Load() != 0 {
		l.buf = nil
	}
	l.buf, l.ends, l.owners = l.buf[:0], l.ends[:0], l.owners[:0]
}

// span gives the bytes of lines lo to hi-1.
func (l *lines) span(lo, hi int) []byte {
	from := 0
	if lo > 0 {
		from = l.ends[lo-1]
	}
	return l.buf[from:l.ends[hi-1]]
}

// addDay notes that the batch hits the UTC day of t.
func (l *lines) addDay(vin schema.VIN, t time.Time) {
	k := dayKey{vin, daysSinceEpoch(t)}
	if n := len(l.days); n > 0 && l.days[n-1] == k {
		return
	}
	if _, seen := l.dayset[k]; seen {
		return
	}
	if l.dayset == nil {
		l.dayset = make(map[dayKey]struct{})
	}
	l.dayset[k] = struct{}{}
	l.days = append(l.days, k)
}

func daysSinceEpoch(t time.Time) int64 {
	s := t.Unix()
	d := s / 86400
	if s%86400 < 0 {
		d--
	}
	return d
}

func dayStart(day int64) time.Time { return time.Unix(day*86400, 0).UTC() }

// reading appends the line of r.
func (l *lines) reading(owner int, r *schema.Reading) error {
	e := l.start("reading")
	e.AddTag("descriptor", string(r.Descriptor))
	e.AddTag("vin", string(r.VIN))
	switch r.Value.Kind {
	case schema.KindNumber:
		v, finite := lineprotocol.FloatValue(r.Value.Number)
		if !finite {
			return errNotFinite
		}
		e.AddField("number", v)
	case schema.KindBool:
		e.AddField("bool", lineprotocol.BoolValue(r.Value.Bool))
	case schema.KindText:
		l.text("text", r.Value.Text)
	case schema.KindNull:
		e.AddField("absent", lineprotocol.BoolValue(true))
	default:
		return errNoKind
	}
	return l.end(owner, r.Time)
}

// gap appends the line of g for one of its cars, or without a car when vin is empty.
func (l *lines) gap(owner int, g *schema.Gap, vin schema.VIN) error {
	seconds, _ := lineprotocol.FloatValue(g.End.Sub(g.Start).Seconds()) // a Duration is finite
	e := l.start("gap")
	e.AddTag("gcid", string(g.GCID))
	if vin != "" {
		e.AddTag("vin", string(vin))
	}
	e.AddField("end", lineprotocol.IntValue(g.End.UnixMilli()))
	e.AddField("seconds", seconds)
	l.text("cause", string(g.Cause))
	return l.end(owner, g.Start)
}

// day appends the mark that a write hit this day of this table.
func (l *lines) day(owner int, d *Day) error {
	e := l.start("day")
	e.AddTag("table", d.Table)
	if d.VIN != "" {
		e.AddTag("vin", string(d.VIN))
	}
	e.AddField("touched", lineprotocol.IntValue(d.Touched.UnixMilli()))
	return l.end(owner, dayStart(daysSinceEpoch(d.Day)))
}

// freshness appends the mark of one minute of one car.
func (l *lines) freshness(owner int, f *Freshness) error {
	e := l.start("freshness")
	e.AddTag("vin", string(f.VIN))
	e.AddField("lag_ms", lineprotocol.IntValue(f.LagMS))
	e.AddField("readings", lineprotocol.IntValue(f.Readings))
	return l.end(owner, f.Minute.Truncate(time.Minute))
}

func (l *lines) start(measurement string) *lineprotocol.Encoder {
	clear(l.texts)
	l.texts = l.texts[:0]
	l.enc.SetBuffer(l.buf) // also clears the error of an earlier line
	l.enc.StartLine(measurement)
	return &l.enc
}

// text adds a string field; end fills it in. The encoder itself writes line
// feed, tab and carriage return as \n, \t and \r, which no InfluxDB turns back:
// they take these characters as they are between quotes, and know only \" and \\.
func (l *lines) text(field, text string) {
	l.enc.AddField(field, lineprotocol.Value{}) // the empty string
	l.texts = append(l.texts, pendingText{len(l.enc.Bytes()) - 1, text})
}

// end closes the line; on an error the line is not in l.
func (l *lines) end(owner int, t time.Time) error {
	if t.IsZero() {
		return errNoTime // the encoder would leave the time to the server
	}
	for i := range l.texts {
		if !utf8.ValidString(l.texts[i].text) {
			return errNotUTF8
		}
	}
	l.enc.EndLine(t)
	if err := l.enc.Err(); err != nil {
		return err
	}
	b := l.enc.Bytes()
	if len(l.texts) > 0 {
		b = l.fill(b)
	}
	l.buf = b
	l.ends = append(l.ends, len(b))
	l.owners = append(l.owners, owner)
	return nil
}

// fill puts the pending texts between their quotes.
func (l *lines) fill(b []byte) []byte {
	first := l.texts[0].at
	l.tail = append(l.tail[:0], b[first:]...)
	b = b[:first]
	for i, p := range l.texts {
		end := len(l.tail)
		if i+1 < len(l.texts) {
			end = l.texts[i+1].at - first
		}
		b = appendQuotedText(b, p.text)
		b = append(b, l.tail[p.at-first:end]...)
	}
	return b
}

// appendQuotedText appends what stands between the quotes of a string field.
func appendQuotedText(dst []byte, s string) []byte {
	from := 0
	for i := range len(s) {
		if s[i] != '"' && s[i] != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		dst = append(dst, '\\')
		from = i
	}
	return append(dst, s[from:]...)
}
