package schema

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The limits of FactsOf.
const (
	// MaxFacts is the most facts of one record: each is a field in the stores.
	MaxFacts = 1000
	// MaxFactNameBytes is the longest name of a fact.
	MaxFactNameBytes = 256
)

// ErrFacts is wrapped by every error of FactsOf.
var ErrFacts = errors.New("schema: facts")

// FactsOf flattens one JSON answer of BMW into facts, sorted by name; the same
// content gives the same facts, in whatever order its members stand. Members
// become snake_case, arrays of plain values one text with commas, other arrays
// are counted from 0. null is a fact without a value.
//
// Left out is what is no fact of the car: its VIN and account, page tokens, the
// localised captions of the tyre diagnosis and the zeros it puts for tyres that
// nobody registered (CarData API, section "REST", "smartMaintenanceTyreDiagnosis").
// Two quantities of basicData that come as text become numbers.
//
// Errors wrap ErrFacts. Those about single facts (too many, a name or a text too
// long) come with all the other facts, which are good; only raw that is no JSON
// object or array gives none.
func FactsOf(raw []byte, kind VehicleKind) ([]Fact, error) {
	f := flattener{kind: kind}
	f.scan.reset(raw)
	c := f.scan.peek()
	if c != '{' && c != '[' {
		return nil, fmt.Errorf("%w of %s: not a JSON object or array", ErrFacts, kind)
	}
	top := f.scan.value(0)
	if f.scan.reason == "" {
		if f.scan.peek(); f.scan.pos < len(raw) {
			f.scan.fail(ReasonInvalidJSON, "more after the JSON")
		}
	}
	if f.scan.reason != "" {
		fault := f.scan.fault()
		return nil, fmt.Errorf("%w of %s: %s: %s", ErrFacts, kind, fault.Reason, fault.Text)
	}
	f.walk(top, false)
	return f.sorted()
}

// flattener walks JSON that is known to be good.
type flattener struct {
	kind   VehicleKind
	scan   scanner
	name   []byte // of the value at hand
	facts  []Fact
	names  map[string]int // index in facts
	beyond int            // facts over the limit
	long   int            // facts too long
}

// walk brings in what t holds. unregistered says that t belongs to a tyre that
// nobody registered, so that zeros are fillers.
func (f *flattener) walk(t token, unregistered bool) {
	switch t.kind {
	case tokenObject:
		f.object(t)
	case tokenArray:
		f.array(t)
	case tokenString:
		f.text(string(appendUnescaped(nil, t.raw)))
	case tokenNumber:
		v, _, ok := parseNumber(t.raw)
		switch {
		case !ok:
			f.text(string(t.raw))
		case v != 0 || !unregistered:
			f.add(Value{Kind: KindNumber, Number: v})
		}
	case tokenTrue, tokenFalse:
		if t.kind == tokenTrue || !unregistered {
			f.add(Value{Kind: KindBool, Bool: t.kind == tokenTrue})
		}
	case tokenNull:
		f.add(Value{})
	case tokenAbsent:
	}
}

// part is one member or element of a container.
type part struct {
	name  string
	value token
}

func (f *flattener) object(t token) {
	parts := f.members(t)
	unregistered := f.kind == VehicleTyres && has(parts, "label") && !has(parts, "value")
	for _, p := range parts {
		if f.skips(p.name) {
			continue
		}
		f.nested(p, unregistered)
	}
}

func has(parts []part, name string) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.name == name })
}

// skips says whether a member is no fact of the car.
func (f *flattener) skips(name string) bool {
	switch name {
	case "vin", "gcid", "vehicle_id_with_gcid", "next_token":
		return true
	case "label":
		return f.kind == VehicleTyres
	}
	return false
}

func (f *flattener) array(t token) {
	parts := f.elements(t)
	plain := func(p part) bool { return p.value.kind != tokenObject && p.value.kind != tokenArray }
	if len(f.name) == 0 || !slices.ContainsFunc(parts, plain) {
		for _, p := range parts {
			f.nested(p, false)
		}
		return
	}
	words := make([]string, len(parts))
	for i, p := range parts {
		words[i] = string(p.value.raw)
		if p.value.escaped {
			words[i] = string(appendUnescaped(nil, p.value.raw))
		}
	}
	f.add(Value{Kind: KindText, Text: strings.Join(words, ",")})
}

func (f *flattener) nested(p part, unregistered bool) {
	end := len(f.name)
	if end > 0 {
		f.name = append(f.name, '.')
	}
	f.name = append(f.name, p.name...)
	f.walk(p.value, unregistered)
	f.name = f.name[:end]
}

// members lists the members of an object. Its bytes have been checked.
func (f *flattener) members(t token) []part {
	s := scanner{data: t.raw, pos: 1}
	var parts []part
	for first := true; ; first = false {
		name, more := s.next(first)
		if !more {
			return parts
		}
		p := part{name: snake(name)}
		p.value = s.value(0)
		parts = append(parts, p)
	}
}

func (f *flattener) elements(t token) []part {
	s := scanner{data: t.raw, pos: 1}
	var parts []part
	for s.peek() != ']' {
		if s.data[s.pos] == ',' {
			s.pos++
		}
		parts = append(parts, part{strconv.Itoa(len(parts)), s.value(0)})
	}
	return parts
}

func (f *flattener) text(s string) {
	if f.kind == VehicleBasicData {
		switch string(f.name) {
		case "hvs_max_energy_absolute", "reess_nominal_capacity_gross": // kWh and Ah, as text
			if v, _, ok := parseNumber([]byte(strings.TrimSpace(s))); ok {
				f.add(Value{Kind: KindNumber, Number: v})
				return
			}
		}
	}
	f.add(Value{Kind: KindText, Text: s})
}

// add keeps one fact; of two with the same name the later counts.
func (f *flattener) add(v Value) {
	if len(f.name) == 0 || len(f.name) > MaxFactNameBytes || len(v.Text) > MaxTextBytes {
		f.long++
		return
	}
	if i, known := f.names[string(f.name)]; known {
		f.facts[i].Value = v
		return
	}
	if len(f.facts) == MaxFacts {
		f.beyond++
		return
	}
	if f.names == nil {
		f.names = make(map[string]int)
	}
	name := string(f.name)
	f.names[name] = len(f.facts)
	f.facts = append(f.facts, Fact{name, v})
}

func (f *flattener) sorted() ([]Fact, error) {
	slices.SortFunc(f.facts, func(a, b Fact) int { return strings.Compare(a.Name, b.Name) })
	var errs []error
	if f.beyond > 0 {
		errs = append(errs, fmt.Errorf("%w of %s: %d more than %d", ErrFacts, f.kind, f.beyond, MaxFacts))
	}
	if f.long > 0 {
		errs = append(errs, fmt.Errorf("%w of %s: %d with a name or text that is too long", ErrFacts, f.kind, f.long))
	}
	return f.facts, errors.Join(errs...)
}

// snake gives a member's name in snake_case: a capital begins a word when it
// follows a small letter or digit, or ends a run of capitals. What is no ASCII
// letter or digit becomes one underscore.
func snake(name []byte) string {
	var b strings.Builder
	for i, c := range name {
		capital := 'A' <= c && c <= 'Z'
		switch {
		case capital:
			after := i > 0 && (isSmall(name[i-1]) || isDigit(name[i-1]))
			ends := i > 0 && i+1 < len(name) && isCapital(name[i-1]) && isSmall(name[i+1])
			if after || ends {
				b.WriteByte('_')
			}
			b.WriteByte(c | 0x20)
		case isSmall(c) || isDigit(c):
			b.WriteByte(c)
		case i == 0 || name[i-1] != c && (isSmall(name[i-1]) || isDigit(name[i-1]) || isCapital(name[i-1])):
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

func isSmall(c byte) bool   { return 'a' <= c && c <= 'z' }
func isCapital(c byte) bool { return 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool   { return '0' <= c && c <= '9' }

// validFactName says whether FactsOf could have given the name.
func validFactName(s string) bool {
	if s == "" || len(s) > MaxFactNameBytes {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isSmall(c) && !isDigit(c) && c != '_' && c != '.' {
			return false
		}
	}
	return true
}
