package schema

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendReading appends r as one JSON object with members in a fixed order, the
// value of a record on the readings topic (ReadingSchema). Equal readings give
// equal bytes. A zero Sent and empty strings are left out. It does not allocate
// when dst has room. A number that is not finite, which normalising and
// decoding never produce, is written as null.
func AppendReading(dst []byte, r *Reading) []byte {
	dst = append(dst, `{"vin":`...)
	dst = appendString(dst, string(r.VIN))
	dst = append(dst, `,"descriptor":`...)
	dst = appendString(dst, string(r.Descriptor))
	dst = append(dst, `,"time":`...)
	dst = appendTime(dst, r.Time)
	dst = appendValue(dst, &r.Value)
	dst = appendMember(dst, `,"unit":`, r.Unit)
	dst = appendMember(dst, `,"raw":`, r.Raw)
	dst = appendMember(dst, `,"source":`, string(r.Source))
	if !r.Sent.IsZero() {
		dst = append(dst, `,"sent":`...)
		dst = appendTime(dst, r.Sent)
	}
	dst = append(dst, `,"received":`...)
	dst = appendTime(dst, r.Received)
	dst = appendMember(dst, `,"gcid":`, string(r.GCID))
	return append(dst, '}')
}

func appendValue(dst []byte, v *Value) []byte {
	switch v.Kind {
	case KindNumber:
		if isFinite(v.Number) {
			return appendNumber(append(dst, `,"number":`...), v.Number)
		}
	case KindBool:
		return strconv.AppendBool(append(dst, `,"bool":`...), v.Bool)
	case KindText:
		return appendString(append(dst, `,"text":`...), v.Text)
	case KindNull:
	}
	return append(dst, `,"null":true`...)
}

// AppendGap appends g as one JSON object with members in a fixed order, the
// value of a record on the gaps topic (GapSchema). VINs are in the order given.
func AppendGap(dst []byte, g *Gap) []byte {
	dst = append(dst, `{"gcid":`...)
	dst = appendString(dst, string(g.GCID))
	dst = append(dst, `,"vins":[`...)
	for i, v := range g.VINs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, string(v))
	}
	dst = append(dst, `],"start":`...)
	dst = appendTime(dst, g.Start)
	dst = append(dst, `,"end":`...)
	dst = appendTime(dst, g.End)
	dst = append(dst, `,"cause":`...)
	dst = appendString(dst, string(g.Cause))
	return append(dst, '}')
}

func appendMember(dst []byte, name, s string) []byte {
	if s == "" {
		return dst
	}
	return appendString(append(dst, name...), s)
}

// appendNumber writes the shortest decimal that reads back as f.
func appendNumber(dst []byte, f float64) []byte {
	if i := int64(f); f == float64(i) && -1e15 < f && f < 1e15 {
		return strconv.AppendInt(dst, i, 10) // so that -0 is 0 as well
	}
	format := byte('f')
	if abs := math.Abs(f); abs < 1e-6 || abs >= 1e21 {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}

// appendString quotes s. What is not UTF-8 becomes U+FFFD, as JSON is UTF-8.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = append(dst, s...)
	text := dst[len(dst)-len(s):]
	if plainRun(text) == len(text) {
		return append(dst, '"') // nearly always
	}
	dst = dst[:len(dst)-len(s)]
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n != 1 {
				i += n
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// appendTime writes RFC 3339 in UTC with as many fractional digits as needed,
// in quotes. Years outside 0 to 9999 have no such form and are cut to them.
func appendTime(dst []byte, t time.Time) []byte {
	unix, nsec := t.Unix(), t.Nanosecond()
	if unix < minUnix {
		unix, nsec = minUnix, 0
	} else if unix > maxUnix {
		unix, nsec = maxUnix, 999_999_999
	}
	days := unix / 86400
	sec := int(unix - days*86400)
	if sec < 0 {
		days--
		sec += 86400
	}
	year, month, day := dateOf(days)
	dst = append(dst, '"')
	dst = append2(dst, year/100)
	dst = append2(dst, year%100)
	dst = append2(append(dst, '-'), month)
	dst = append2(append(dst, '-'), day)
	dst = append2(append(dst, 'T'), sec/3600)
	dst = append2(append(dst, ':'), sec/60%60)
	dst = append2(append(dst, ':'), sec%60)
	if nsec != 0 {
		dst = append(dst, '.')
		for nsec > 0 {
			dst = append(dst, byte('0'+nsec/100_000_000))
			nsec = nsec % 100_000_000 * 10
		}
	}
	return append(dst, 'Z', '"')
}

func append2(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}
