package schema

import "fmt"

// scanner reads JSON strictly as RFC 8259 says, in one pass and without
// allocating. It stands here in place of jsontext because a token at a time
// costs 1.8 times as much per payload (BenchmarkScanner against
// BenchmarkTokensOfJSONText); a fuzz target holds both to the
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
