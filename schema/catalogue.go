package schema

import (
	_ "embed" // the catalogue is data, not code
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Type is how the values of a descriptor are read.
type Type uint8

// The types. The zero Type says that the catalogue does not know: a value is a
// number if it reads as one, else what its JSON type says.
const (
	TypeUnknown Type = iota
	TypeNumber
	TypeBool
	TypeText
)

// String names the type as data dictionaries do.
func (t Type) String() string {
	switch t {
	case TypeUnknown:
		return "unknown"
	case TypeNumber:
		return "number"
	case TypeBool:
		return "bool"
	case TypeText:
		return "text"
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// Entry is one descriptor of the catalogue (CarData API, section "Telematics
// catalogue"). Its slices are shared; treat them as read-only.
type Entry struct {
	Descriptor Descriptor
	// Type decides the field of a reading. A boolean with other than two words
	// once its sentinels are out is TypeText: three states are no bool.
	Type Type
	// Unit is canonical, see CanonicalUnit; empty when the catalogue names none.
	Unit       string
	Datatype   string // as in the catalogue: float, uint8, boolean, string, …; may be empty
	Streamable bool   // may arrive by MQTT; the others come by REST alone
	Category   string
	// Words are the documented values without the sentinels. The set is open:
	// other words occur and are passed on.
	Words []string
	// TrueWord and FalseWord are set for TypeBool.
	TrueWord, FalseWord string
	// Sentinels are the words of this row that mean "nothing reported". Those
	// that mean it for every descriptor count as well, listed or not.
	Sentinels    []string
	Min, Max     string   // as displayed by the catalogue; some are plainly wrong, so never clamp
	Range        string   // display text
	VehicleTypes []string // such as BEV, ICE, PHEV
	Note         string
	// Distance says that values are distances. They arrive in km, in miles or
	// without a unit; without one the unit is km and the reading keeps Raw.
	Distance bool
}

// row is an Entry with what normalising needs at hand.
type row struct {
	Entry
	sense sense // what the descriptor's name asks, for TypeBool
}

// Catalogue types the descriptors. It does not change after loading and is
// safe for concurrent use.
type Catalogue struct {
	version string
	rows    map[string]*row
	sorted  []*row
}

//go:embed catalogue.csv
var embeddedCatalogue string

// EmbeddedCatalogue names the edition that Default reads.
const EmbeddedCatalogue = "2026-07"

// Default reads the catalogue that is built in. Each call parses it anew, so
// call it once and pass the result on.
func Default() *Catalogue {
	c, err := LoadCatalogue(strings.NewReader(embeddedCatalogue), EmbeddedCatalogue)
	if err != nil {
		panic(fmt.Sprintf("BUG: embedded catalogue: %v", err))
	}
	return c
}

// Version says which catalogue this is: its name, its size and the start of its
// content's hash, such as "2026-07 295 descriptors sha256:1a2b3c4d".
func (c *Catalogue) Version() string { return c.version }

// Len is the number of descriptors.
func (c *Catalogue) Len() int { return len(c.sorted) }

// Lookup gives the entry of a descriptor.
func (c *Catalogue) Lookup(d Descriptor) (Entry, bool) {
	r, ok := c.rows[string(d)]
	if !ok {
		return Entry{Descriptor: d}, false
	}
	return r.Entry, true
}

// All gives the entries sorted by descriptor.
func (c *Catalogue) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, r := range c.sorted {
			if !yield(r.Entry) {
				return
			}
		}
	}
}

func (c *Catalogue) add(r *row) {
	c.rows[string(r.Descriptor)] = r
	c.sorted = append(c.sorted, r)
}

func (c *Catalogue) sort() {
	slices.SortFunc(c.sorted, func(a, b *row) int { return strings.Compare(string(a.Descriptor), string(b.Descriptor)) })
}
