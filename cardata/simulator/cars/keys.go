package cars

// form says how a key's value looks on the wire.
type form uint8

const (
	number   form = iota // 78.5
	quoted               // "0.0"
	jsonBool             // false
	asn                  // "ASN_isFalse"
	vocab                // own two words for false and true
	enum                 // one of several words
	text                 // free text, JSON or XML
)

// who is a set of models.
type who uint8

const (
	bev who = 1 << iota
	nk
	i3
	phev
	ice
	electric = bev | nk | i3
	plugins  = electric | phev
	fuelled  = phev | ice
	every    = plugins | ice
)

func (m Model) who() who {
	switch m {
	case ICE:
		return ice
	case PHEV:
		return phev
	case NK:
		return nk
	case I3:
		return i3
	default:
		return bev
	}
}

// when is the set of phases, beside the wakings, in which a key is sent.
type when uint16

const (
	onStart when = 1 << iota
	onDrive
	onPosition
	onArrive
	onDoor
	onPlug
	onStatus
	onCharge
	seldom // on a waking now and then only
	atTripEnd
	onState = onStart | onArrive
)

// key is one descriptor as a car sends it.
type key struct {
	name     string // without the leading "vehicle."
	unit     string // on the wire
	truth    string // canonical unit
	form     form
	decimals uint8
	who      who
	when     when
	words    []string
	sentinel string // text that stands for nothing, where the catalogue names one
	standard bool   // every car of the model has it, though it is not sent often
	number   func(m *moment) float64
	index    func(m *moment) int // of words; for booleans 0 is false, 1 is true
	text     func(m *moment) string

	descriptor string
	quotedNone []byte   // the sentinel as JSON
	wire       [][]byte // the words as JSON
}

//nolint:gochecknoglobals // constant table, never written after it is built
var keys = buildKeys()

// Positions in the table that the model itself needs.
const (
	keyLatitude = iota
	keyLongitude
	keyMileage
	keyElectricRange
)

func buildKeys() []key {
	ks := positionKeys()
	ks = append(ks, driveKeys()...)
	ks = append(ks, bodyKeys()...)
	ks = append(ks, cabinKeys()...)
	ks = append(ks, chargeKeys()...)
	ks = append(ks, portKeys()...)
	ks = append(ks, serviceKeys()...)
	ks = append(ks, tripKeys()...)
	for i := range ks {
		k := &ks[i]
		k.descriptor = "vehicle." + k.name
		switch k.form {
		case jsonBool:
			k.wire = [][]byte{[]byte("false"), []byte("true")}
		case asn:
			k.words, k.sentinel = []string{"ASN_isFalse", "ASN_isTrue"}, "ASN_isUnknown"
		case number, quoted, vocab, enum, text:
		}
		for _, w := range k.words {
			k.wire = append(k.wire, appendJSON(nil, w))
		}
		if k.sentinel != "" {
			k.quotedNone = appendJSON(nil, k.sentinel)
		}
	}
	return ks
}

// appendJSON writes a JSON string; what the models say is plain text.
func appendJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pick chooses the words' index that holds for a day.
func pick(n int, tag uint64) func(*moment) int {
	return func(m *moment) int { return int(m.daily(tag) * float64(n)) }
}

// fixed chooses the words' index that holds for the car's life.
func fixed(n int, tag uint64) func(*moment) int {
	return func(m *moment) int { return int(m.option(tag) * float64(n)) }
}

func first(*moment) int { return 0 }

func zero(*moment) float64 { return 0 }

func flag(name string, f form, w who, on when, is func(m *moment) bool, words ...string) key {
	return key{name: name, form: f, who: w, when: on, words: words, index: func(m *moment) int { return truth(is(m)) }}
}

func choice(name string, w who, on when, index func(*moment) int, words ...string) key {
	return key{name: name, form: enum, who: w, when: on, words: words, index: index}
}

func measure(name, unit, canonical string, decimals uint8, w who, on when, f func(*moment) float64) key {
	return key{name: name, unit: unit, truth: canonical, form: number, decimals: decimals, who: w, when: on, number: f}
}

func words(name string, w who, on when, f func(*moment) string) key {
	return key{name: name, form: text, who: w, when: on, text: f}
}

// always marks a key that no car of the model lacks.
func (k key) always() key {
	k.standard = true
	return k
}

// optional reports whether equipment decides about a key. What is sent on the
// road, while charging and after trips is standard.
func (k key) optional() bool {
	const often = onDrive | onPosition | onArrive | onCharge | seldom | atTripEnd
	return !k.standard && k.when&often == 0
}

// or names the sentinel the catalogue lists for a key.
func (k key) or(sentinel string) key {
	k.sentinel = sentinel
	return k
}
