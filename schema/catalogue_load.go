package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	maxCatalogueBytes  = 16 << 20
	maxCatalogueFaults = 100
)

// The columns of the catalogue, found by header name. Others are ignored.
const (
	colDescriptor   = "descriptor"
	colUnit         = "unit"
	colDatatype     = "datatype"
	colStreamable   = "streamable"
	colCategory     = "category"
	colWords        = "enum_values"
	colMin          = "min"
	colMax          = "max"
	colRange        = "value_range"
	colSentinels    = "sentinels"
	colVehicleTypes = "vehicle_types"
	colNote         = "note"
)

// LoadCatalogue reads a catalogue in the form of the embedded one: CSV with a
// header line, columns in any order, lists separated by "|". The columns
// descriptor, unit, datatype, streamable and enum_values must be there. name
// goes into the version. The error lists all faults with their lines.
func LoadCatalogue(r io.Reader, name string) (*Catalogue, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxCatalogueBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read catalogue %s: %w", name, err)
	}
	if len(data) > maxCatalogueBytes {
		return nil, fmt.Errorf("catalogue %s: more than %d bytes", name, maxCatalogueBytes)
	}
	l := catalogueLoader{
		name:  name,
		lines: make(map[string]int),
		cat:   &Catalogue{rows: make(map[string]*row)},
	}
	l.read(bytes.TrimPrefix(data, []byte("\ufeff")))
	if len(l.faults) > 0 {
		return nil, errors.Join(l.faults...)
	}
	l.cat.sort()
	l.cat.version = fmt.Sprintf("%s %d descriptors sha256:%x", name, l.cat.Len(), sha256.Sum256(data))
	l.cat.version = l.cat.version[:len(l.cat.version)-2*sha256.Size+8]
	return l.cat, nil
}

type catalogueLoader struct {
	name   string
	cols   map[string]int
	fields []string       // of the line at hand
	line   int            // its number
	lines  map[string]int // where a descriptor was first seen
	cat    *Catalogue
	faults []error
}

func (l *catalogueLoader) fault(format string, args ...any) {
	if len(l.faults) < maxCatalogueFaults {
		l.faults = append(l.faults, fmt.Errorf("catalogue %s:%d: %w", l.name, l.line, fmt.Errorf(format, args...)))
	}
}

func (l *catalogueLoader) read(data []byte) {
	c := csv.NewReader(bytes.NewReader(data))
	c.FieldsPerRecord = -1
	l.line = 1
	header, err := c.Read()
	if err != nil {
		l.fault("no header: %w", err)
		return
	}
	l.header(header)
	for len(l.faults) < maxCatalogueFaults {
		fields, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// After a broken quote nothing says where the next row begins.
			if pe, ok := errors.AsType[*csv.ParseError](err); ok {
				l.line = pe.Line
				err = pe.Err
			}
			l.fault("%w", err)
			return
		}
		l.line, _ = c.FieldPos(0)
		if len(fields) != len(header) {
			l.fault("%d columns, want %d as in the header", len(fields), len(header))
			continue
		}
		l.fields = fields
		l.row()
	}
	if len(l.lines) == 0 && len(l.faults) == 0 {
		l.fault("no descriptors")
	}
}

func (l *catalogueLoader) header(names []string) {
	l.cols = make(map[string]int, len(names))
	for i, n := range names {
		n = strings.ToLower(clean(n))
		if _, dup := l.cols[n]; dup {
			l.fault("column %q occurs twice", n)
		}
		l.cols[n] = i
	}
	for _, n := range []string{colDescriptor, colUnit, colDatatype, colStreamable, colWords} {
		if _, ok := l.cols[n]; !ok {
			l.fault("column %q is missing", n)
		}
	}
}

func (l *catalogueLoader) field(name string) string {
	i, ok := l.cols[name]
	if !ok {
		return ""
	}
	return clean(l.fields[i])
}

func (l *catalogueLoader) list(name string) []string {
	var out []string
	for w := range strings.SplitSeq(l.field(name), "|") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

func (l *catalogueLoader) row() {
	d := l.field(colDescriptor)
	if d == "" || len(d) > MaxDescriptorBytes {
		l.fault("descriptor must be 1 to %d bytes, got %d", MaxDescriptorBytes, len(d))
		return
	}
	if first, dup := l.lines[d]; dup {
		l.fault("descriptor %q is on line %d already", d, first)
		return
	}
	l.lines[d] = l.line

	unit := l.field(colUnit)
	r := &row{}
	r.Entry = Entry{
		Descriptor:   Descriptor(d),
		Unit:         CanonicalUnit(unit),
		Datatype:     l.field(colDatatype),
		Category:     l.field(colCategory),
		Min:          l.field(colMin),
		Max:          l.field(colMax),
		Range:        l.field(colRange),
		VehicleTypes: l.list(colVehicleTypes),
		Note:         l.field(colNote),
	}
	if r.Unit == unitMile {
		r.Unit = unitKilometre // readings are converted, so this is what they carry
	}
	if len(unit) > maxUnitBytes {
		l.fault("unit of %q is longer than %d bytes", d, maxUnitBytes)
	}
	var err error
	if r.Streamable, err = strconv.ParseBool(strings.ToLower(l.field(colStreamable))); err != nil {
		l.fault("streamable of %q must be true or false, got %q", d, l.field(colStreamable))
	}
	l.words(r)
	l.typed(r)
	if r.Type == TypeNumber || r.Type == TypeUnknown {
		if r.Unit == "" && isDistance(d, r.Range) && r.Type == TypeNumber {
			r.Unit = unitKilometre
		}
		r.Distance = r.Unit == unitKilometre
	}
	l.cat.add(r)
}

// words parts the documented values from the sentinels among them.
func (l *catalogueLoader) words(r *row) {
	r.Sentinels = l.list(colSentinels)
	for _, w := range l.list(colWords) {
		if isSentinel(w) || containsFold(r.Sentinels, w) {
			if !containsFold(r.Sentinels, w) {
				r.Sentinels = append(r.Sentinels, w)
			}
			continue
		}
		r.Words = append(r.Words, w)
	}
}

func (l *catalogueLoader) typed(r *row) {
	switch r.Datatype {
	case "":
		r.Type = TypeUnknown
	case "string":
		r.Type = TypeText
	case "float", "double", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64":
		r.Type = TypeNumber
	case "boolean":
		l.boolean(r)
	default:
		l.fault("datatype %q of %q is not known", r.Datatype, r.Descriptor)
	}
}

func (l *catalogueLoader) boolean(r *row) {
	r.sense = nameSense(string(r.Descriptor))
	switch len(r.Words) {
	case 0:
		r.Type, r.TrueWord, r.FalseWord = TypeBool, "true", "false"
		return
	case 1:
		l.fault("boolean %q has one word alone, %q: name both or none", r.Descriptor, r.Words[0])
		return
	case 2:
	default:
		r.Type = TypeText
		return
	}
	a, okA := r.sense.truth(r.Words[0])
	b, okB := r.sense.truth(r.Words[1])
	if !okA || !okB || a == b {
		l.fault("boolean %q: which of %q and %q means true?", r.Descriptor, r.Words[0], r.Words[1])
		return
	}
	r.Type, r.TrueWord, r.FalseWord = TypeBool, r.Words[0], r.Words[1]
	if b {
		r.TrueWord, r.FalseWord = r.FalseWord, r.TrueWord
	}
}

func containsFold(list []string, w string) bool {
	for _, s := range list {
		if strings.EqualFold(s, w) {
			return true
		}
	}
	return false
}
