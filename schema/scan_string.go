package schema

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// str reads a string whose opening quote is at pos and gives what is between
// the quotes.
func (s *scanner) str() (raw []byte, escaped bool) {
	s.pos++
	start := s.pos
	for {
		s.pos += plainRun(s.data[s.pos:])
		if s.pos >= len(s.data) {
			s.unexpected("want a closing quote")
			return nil, false
		}
		switch c := s.data[s.pos]; {
		case c == '"':
			raw = s.data[start:s.pos]
			s.pos++
			return raw, escaped
		case c == '\\':
			escaped = true
			if !s.escape() {
				return nil, false
			}
		case c < 0x20:
			s.fail(ReasonInvalidJSON, "control character in a string")
			return nil, false
		default:
			r, n := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && n == 1 {
				s.fail(ReasonInvalidUTF8, "invalid UTF-8")
				return nil, false
			}
			s.pos += n
		}
	}
}

// escape checks the escape sequence at pos and steps over it. Half of a
// surrogate pair is no character, so it counts as invalid UTF-8.
func (s *scanner) escape() bool {
	if s.pos+1 >= len(s.data) {
		s.pos = len(s.data)
		s.unexpected("want an escape")
		return false
	}
	switch s.data[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return true
	case 'u':
	default:
		s.fail(ReasonInvalidJSON, "unknown escape")
		return false
	}
	u, ok := hex4(s.data[s.pos+2:])
	if !ok {
		s.fail(ReasonInvalidJSON, "want four hex digits")
		return false
	}
	if u < 0xd800 || u > 0xdfff {
		s.pos += 6
		return true
	}
	rest := s.data[s.pos+6:]
	if u <= 0xdbff && len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
		if low, ok := hex4(rest[2:]); ok && 0xdc00 <= low && low <= 0xdfff {
			s.pos += 12
			return true
		}
	}
	s.fail(ReasonInvalidUTF8, "half a surrogate pair")
	return false
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var u rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	return u, true
}

// appendUnescaped resolves the escapes of a string that str has checked.
func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c = raw[i+1]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			u, _ := hex4(raw[i+2:])
			i += 6
			if 0xd800 <= u && u <= 0xdfff {
				low, _ := hex4(raw[i+2:])
				u = (u-0xd800)<<10 + (low - 0xdc00) + 0x10000
				i += 6
			}
			dst = utf8.AppendRune(dst, u)
			continue
		}
		dst = append(dst, c)
		i += 2
	}
	return dst
}

// appendCompact copies checked JSON without the white space between tokens.
func appendCompact(dst, raw []byte) []byte {
	quoted := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case quoted && c == '\\':
			dst = append(dst, c)
			i++
			c = raw[i]
		case c == '"':
			quoted = !quoted
		case !quoted && c <= ' ':
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// plainRun counts the leading bytes that need no thought inside a string:
// ASCII that is no quote, backslash or control. Eight bytes at a time.
func plainRun(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		m := (x | (x - ones*0x20) | (quote-ones)&^quote | (slash-ones)&^slash) & highs
		if m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return i
		}
	}
	return i
}
