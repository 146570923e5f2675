package schema

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sense is what a word or the name of a descriptor speaks of, and whether it
// denies it: "UNLOCKED" is (topicLocked, negative).
type sense struct {
	topic    topic
	negative bool
}

type topic uint8

const (
	topicNone    topic = iota
	topicGeneric       // true, active, on: says yes or no to whatever the name asks
	topicOpen
	topicLocked
	topicChosen
	topicConnected
	topicPlugged
)

// wordSense reads one word of a boolean's vocabulary. What counts is the end:
// FLAP_UNLOCKED, DIRECT_CHG_ONCE_NOT_ACTIVE, ASN_isTrue.
func wordSense(w string) sense {
	var buf [64]byte
	if len(w) > len(buf) {
		return sense{}
	}
	last, before := splitWord(buf[:0], w)
	s := lastSense(last)
	if s.topic != topicNone && (string(before) == "not" || string(before) == "no") {
		s.negative = !s.negative
	}
	return s
}

// splitWord gives the last two parts of w in lower case; parts end at "_",
// "-", "." and spaces.
func splitWord(buf []byte, w string) (last, before []byte) {
	for i := range len(w) {
		c := w[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c == '-' || c == ' ' || c == '.' {
			c = '_'
		}
		buf = append(buf, c)
	}
	end := bytes.LastIndexByte(buf, '_')
	if end < 0 {
		return buf, nil
	}
	before = buf[:end]
	return buf[end+1:], before[bytes.LastIndexByte(before, '_')+1:]
}

func lastSense(last []byte) sense {
	switch string(last) {
	case "true", "istrue", "active", "on", "yes", "enabled":
		return sense{topicGeneric, false}
	case "false", "isfalse", "inactive", "off", "no", "disabled", "notactive", "deactive":
		return sense{topicGeneric, true}
	case "open", "opened":
		return sense{topicOpen, false}
	case "closed", "close":
		return sense{topicOpen, true}
	case "locked":
		return sense{topicLocked, false}
	case "unlocked", "notlocked":
		return sense{topicLocked, true}
	case "chosen":
		return sense{topicChosen, false}
	case "notchosen":
		return sense{topicChosen, true}
	case "connected":
		return sense{topicConnected, false}
	case "disconnected", "notconnected":
		return sense{topicConnected, true}
	case "plugged":
		return sense{topicPlugged, false}
	case "unplugged", "notplugged":
		return sense{topicPlugged, true}
	}
	return sense{}
}

// nameSense reads what the name of a boolean descriptor asks: isOpen asks for
// topicOpen, isAutomaticOpenAndCloseActive for topicGeneric.
func nameSense(d string) sense {
	name := d[strings.LastIndexByte(d, '.')+1:]
	start := strings.LastIndexFunc(name, unicode.IsUpper) // the last word of a camelCase name
	if start > 0 {
		name = name[start:]
	}
	s := wordSense(name)
	if s.topic == topicNone {
		s.topic = topicGeneric
	}
	return s
}

// truth says what word answers to the question s that a descriptor's name asks:
// CLOSED is false for isOpen and would be true for isClosed. A word of another
// topic gives no answer.
func (s sense) truth(word string) (value, ok bool) {
	w := wordSense(word)
	switch {
	case w.topic == topicNone:
		return false, false
	case w.topic == s.topic && s.topic != topicGeneric:
		return w.negative == s.negative, true
	case w.topic == topicGeneric && s.topic == topicGeneric && s.negative && !isTrueFalse(word):
		return w.negative, true // isInactive: INACTIVE
	case w.topic == topicGeneric:
		return !w.negative, true
	case s.topic == topicGeneric && w.topic != topicOpen && w.topic != topicLocked:
		return !w.negative, true // isSingleImmediateCharging: CHOSEN
	}
	return false, false
}

func isTrueFalse(w string) bool {
	w = strings.ToLower(w)
	return strings.HasSuffix(w, "true") || strings.HasSuffix(w, "false")
}

// isSentinel says whether w stands for "nothing reported" wherever it occurs
// (CarData API, section "Value types").
func isSentinel(w string) bool {
	switch len(w) {
	case 0:
		return true
	case len("-NA-"):
		return strings.EqualFold(w, "-NA-")
	case len("INVALID"):
		return strings.EqualFold(w, "INVALID") || strings.EqualFold(w, "UNKNOWN")
	case len("ASN_unknown"):
		return strings.EqualFold(w, "ASN_unknown")
	case len("ASN_isUnknown"):
		return strings.EqualFold(w, "ASN_isUnknown")
	}
	return false
}

// clean takes out what cannot be seen and trims: BMW's own catalogue has
// zero-width and no-break spaces inside descriptors (CarData API, section
// "Changes and defects").
func clean(s string) string {
	if isClean(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !invisible(r) {
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}

// isClean says that every character can be seen and is ASCII, so that nothing
// is left to do. Spaces inside are left to the slow way.
func isClean[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// appendClean is clean for bytes into caller-owned memory.
func appendClean(dst, s []byte) []byte {
	start := len(dst)
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		leading := len(dst) == start && unicode.IsSpace(r)
		if !invisible(r) && !leading {
			dst = append(dst, s[:n]...)
		}
		s = s[n:]
	}
	for len(dst) > start {
		r, n := utf8.DecodeLastRune(dst[start:])
		if !unicode.IsSpace(r) {
			break
		}
		dst = dst[:len(dst)-n]
	}
	return dst
}

// invisible covers controls, formatting characters (zero-width spaces and
// joiners, byte order mark, direction marks, soft hyphen) and no-break spaces.
func invisible(r rune) bool {
	if r < 0x20 || r == 0x7f {
		return true
	}
	if r < 0x80 {
		return false
	}
	return r == 0xa0 || r == 0x202f || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Cc, r)
}
