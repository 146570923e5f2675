package schema

const (
	maxInterned      = 8192
	maxInternedBytes = 128
)

// interner gives equal bytes the same string, so that a value seen before costs
// no allocation. It is bounded: when full it starts anew, and long texts, which
// rarely repeat, are copied.
type interner struct {
	m map[string]string
}

func newInterner() interner { return interner{m: make(map[string]string)} }

func (in *interner) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := in.m[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(b) > maxInternedBytes {
		return s
	}
	if len(in.m) >= maxInterned {
		clear(in.m)
	}
	in.m[s] = s
	return s
}
