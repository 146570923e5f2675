package schema

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// scanner reads JSON strictly as RFC 8259 says, in one pass and without
// allocating. It stands here in place of jsontext because a token at a time
// costs about three times as much per payload; a fuzz target holds both to the
// same verdict and the same values. Duplicate names are let through: BMW's
// shape does not forbid them, and dropping a message for them would lose data.
type scanner struct {
	data   []byte
	pos    int
	reason Reason // why it stopped; empty while all is well
	what   string
	buf    []byte // for names with escapes
}

func (s *scanner) reset(data []byte) {
	s.data, s.pos, s.reason, s.what = data, 0, "", ""
}

func (s *scanner) fail(reason Reason, what string) {
	if s.reason == "" {
		s.reason, s.what = reason, what
	}
}

// fault words the sticky error for a person.
func (s *scanner) fault() Fault {
	return Fault{Reason: s.reason, Text: fmt.Sprintf("%s at byte %d", s.what, s.pos)}
}

// tokenKind is the first byte of a token, with '0' for every number.
type tokenKind byte

const (
	tokenAbsent tokenKind = 0
	tokenNull   tokenKind = 'n'
	tokenTrue   tokenKind = 't'
	tokenFalse  tokenKind = 'f'
	tokenNumber tokenKind = '0'
	tokenString tokenKind = '"'
	tokenObject tokenKind = '{'
	tokenArray  tokenKind = '['
)

// token is one value. raw points into the payload: between the quotes of a
// string, else the whole literal.
type token struct {
	kind    tokenKind
	escaped bool
	raw     []byte
}

// peek skips white space and gives the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// next moves to the next member of an object whose opening brace is read, and
// gives its name. It says false at the closing brace and on a fault.
func (s *scanner) next(first bool) (name []byte, more bool) {
	c := s.peek()
	if c == '}' {
		s.pos++
		return nil, false
	}
	if !first {
		if c != ',' {
			s.unexpected("want , or }")
			return nil, false
		}
		s.pos++
		c = s.peek()
	}
	if c != '"' {
		s.unexpected("want a member name")
		return nil, false
	}
	raw, escaped := s.str()
	if s.reason != "" {
		return nil, false
	}
	if s.peek() != ':' {
		s.unexpected("want :")
		return nil, false
	}
	s.pos++
	if escaped {
		s.buf = appendUnescaped(s.buf[:0], raw)
		return s.buf, true
	}
	return raw, true
}

func (s *scanner) unexpected(want string) {
	if s.pos >= len(s.data) {
		want = "the JSON ends early"
	}
	s.fail(ReasonInvalidJSON, want)
}

// value reads one value whole. depth is that of the containers around it.
func (s *scanner) value(depth int) token {
	c := s.peek()
	start := s.pos
	switch {
	case c == '"':
		raw, escaped := s.str()
		return token{tokenString, escaped, raw}
	case c == '-' || ('0' <= c && c <= '9'):
		s.number()
		return token{kind: tokenNumber, raw: s.data[start:s.pos]}
	case c == 'n':
		return s.literal("null", tokenNull)
	case c == 't':
		return s.literal("true", tokenTrue)
	case c == 'f':
		return s.literal("false", tokenFalse)
	case c == '{':
		s.object(depth + 1)
		return token{kind: tokenObject, raw: s.data[start:s.pos]}
	case c == '[':
		s.array(depth + 1)
		return token{kind: tokenArray, raw: s.data[start:s.pos]}
	}
	s.unexpected("want a value")
	return token{}
}

func (s *scanner) literal(word string, kind tokenKind) token {
	end := s.pos + len(word)
	if end > len(s.data) || string(s.data[s.pos:end]) != word {
		s.fail(ReasonInvalidJSON, "want "+word)
		return token{}
	}
	t := token{kind: kind, raw: s.data[s.pos:end]}
	s.pos = end
	return t
}

// enter notes that a container of this depth begins.
func (s *scanner) enter(depth int) bool {
	if depth > MaxDepth {
		s.fail(ReasonTooDeep, "nested too deep")
		return false
	}
	s.pos++
	return true
}

func (s *scanner) object(depth int) {
	if !s.enter(depth) {
		return
	}
	for first := true; ; first = false {
		if _, more := s.next(first); !more {
			return
		}
		if s.value(depth); s.reason != "" {
			return
		}
	}
}

func (s *scanner) array(depth int) {
	if !s.enter(depth) {
		return
	}
	for first := true; ; first = false {
		c := s.peek()
		if c == ']' && first {
			s.pos++
			return
		}
		if !first {
			if c == ']' {
				s.pos++
				return
			}
			if c != ',' {
				s.unexpected("want , or ]")
				return
			}
			s.pos++
		}
		if s.value(depth); s.reason != "" {
			return
		}
	}
}

func (s *scanner) number() {
	if s.data[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == '0' {
		s.pos++
	} else if !s.digits() {
		return
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if !s.digits() {
			return
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		s.digits()
	}
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos]-'0' <= 9 {
		s.pos++
	}
	if s.pos == start {
		s.unexpected("want a digit")
		return false
	}
	return true
}

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
