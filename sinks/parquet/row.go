package parquet

import (
	"cmp"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// value is one cell of a row of a small table.
type value struct {
	set  bool
	b    bool
	i    int64
	f    float64
	text string
}

func textValue(s string) value       { return value{set: true, text: s} }
func timeValue(us int64) value       { return value{set: true, i: us} }
func numberValue(f float64) value    { return value{set: f-f == 0, f: f} }
func boolValue(b bool) value         { return value{set: true, b: b} }
func optionalText(s string) value    { return value{set: s != "", text: s} }
func (v value) orNull(ok bool) value { v.set = v.set && ok; return v }

// compare puts nulls first.
func (v value) compare(w value) int {
	if v.set != w.set {
		if v.set {
			return 1
		}
		return -1
	}
	return cmp.Or(strings.Compare(v.text, w.text), cmp.Compare(v.i, w.i), cmp.Compare(v.f, w.f))
}

// rowReader makes rows of a small table from cells, with the profile applied.
type rowReader struct {
	t     *Table
	cols  []Column // that the profile allows
	mask  *mask
	zones *zones
}

// read gives the rows that r is; most tables have one.
func (rr *rowReader) read(vin schema.VIN, r Cells) [][]value {
	if rr.t.expand == expandFacts {
		return rr.facts(vin, r)
	}
	row := make([]value, len(rr.cols))
	for i := range rr.cols {
		row[i] = rr.cell(&rr.cols[i], vin, r)
	}
	rr.place(row)
	rr.zone(row)
	return [][]value{row}
}

func (rr *rowReader) cell(c *Column, vin schema.VIN, r Cells) value {
	switch {
	case c.Privacy == PrivacyVIN:
		return optionalText(rr.mask.vin(vin))
	case c.from.as == asTime:
		return timeValue(microseconds(r.Time()))
	case c.from.zone != nil:
		return value{} // by localise, once the zone is known
	}
	name := cmp.Or(c.from.field, c.Name)
	switch c.Type {
	case Text:
		s, ok := r.Text(name)
		return rr.text(c, s).orNull(ok)
	case Number:
		f, ok := r.Float(name)
		return numberValue(f).orNull(ok)
	case Bool:
		b, ok := r.Bool(name)
		return boolValue(b).orNull(ok)
	case Int:
		n, ok := r.Int(name)
		return timeValue(n).orNull(ok)
	case Timestamp, LocalTime:
		ms, ok := r.Int(name)
		us, fits := fromMS(ms)
		return timeValue(us).orNull(ok && fits)
	}
	return value{}
}

func (rr *rowReader) text(c *Column, s string) value {
	switch c.Privacy {
	case PrivacyGCID:
		return textValue(rr.mask.gcid(s))
	case PrivacyWords:
		return textValue(s).orNull(rr.mask.word(s))
	case PrivacyKeep, PrivacyVIN, PrivacyPlace, PrivacyDrop:
	}
	return textValue(s)
}

func (rr *rowReader) index(name string) int {
	for i := range rr.cols {
		if rr.cols[i].Name == name {
			return i
		}
	}
	return -1
}

// place rounds or cuts the coordinates of the row.
func (rr *rowReader) place(row []value) {
	lat, lon := rr.index("latitude"), rr.index("longitude")
	if lat < 0 || lon < 0 || rr.mask.full() {
		return
	}
	a, b, ok := rr.mask.place(row[lat].f, row[lon].f)
	ok = ok && row[lat].set && row[lon].set
	row[lat], row[lon] = numberValue(a).orNull(ok), numberValue(b).orNull(ok)
}

// zone learns the zone of a session; a text that names none is not written with
// profile pseudonymous.
func (rr *rowReader) zone(row []value) {
	i := rr.index("time_zone")
	if i < 0 || !row[i].set {
		return
	}
	loc := rr.zones.load(row[i].text)
	if loc == nil && !rr.mask.full() {
		row[i] = value{}
	}
	if start := rr.index("start"); start >= 0 {
		rr.zones.session(row[start].i, row[i].text)
	}
}

// localise fills the columns of local time, when all sessions of the vehicle are
// known.
func (rr *rowReader) localise(row []value) {
	var loc *time.Location
	if i := rr.index("time_zone"); i >= 0 {
		loc = rr.zones.load(row[i].text)
	} else if i := rr.index("session"); i >= 0 && row[i].set {
		loc = rr.zones.of(row[i].i)
	}
	if loc == nil {
		return
	}
	for i := range rr.cols {
		z := rr.cols[i].from.zone
		if z == nil {
			continue
		}
		if of := rr.index(z.column); of >= 0 && row[of].set {
			_, offset := time.UnixMicro(row[of].i).In(loc).Zone()
			row[i] = timeValue(row[of].i + int64(offset)*1_000_000)
		}
	}
}

// facts makes a row of each field whose name ends in its type.
func (rr *rowReader) facts(vin schema.VIN, r Cells) [][]value {
	kind, _ := r.Text("kind")
	var rows [][]value
	for _, column := range r.Columns() {
		dot := strings.LastIndexByte(column, '.')
		if dot <= 0 || !rr.mask.fact(kind, column[:dot]) {
			continue
		}
		row := make([]value, len(rr.cols))
		v, at := rr.fact(r, column, column[dot+1:])
		if !v.set || at < 0 {
			continue
		}
		for name, cell := range map[string]value{
			"vin": textValue(rr.mask.vin(vin)), "kind": textValue(kind),
			"time": timeValue(microseconds(r.Time())), "fact": textValue(column[:dot]),
		} {
			row[rr.index(name)] = cell
		}
		row[at] = v
		rows = append(rows, row)
	}
	return rows
}

func (rr *rowReader) fact(r Cells, column, typ string) (value, int) {
	switch typ {
	case "number":
		f, ok := r.Float(column)
		return numberValue(f).orNull(ok), rr.index("number")
	case "bool":
		b, ok := r.Bool(column)
		return boolValue(b).orNull(ok), rr.index("bool")
	case "text":
		s, ok := r.Text(column)
		return textValue(s).orNull(ok && rr.mask.label(s)), rr.index("text")
	}
	return value{}, -1
}

// zones knows the time zones of sessions of one vehicle.
type zones struct {
	loaded   map[string]*time.Location // nil: there is none of that name
	sessions map[int64]string          // by start, microseconds
}

func newZones() *zones {
	return &zones{loaded: make(map[string]*time.Location), sessions: make(map[int64]string)}
}

func (z *zones) session(startUS int64, zone string) { z.sessions[startUS] = zone }

func (z *zones) of(startUS int64) *time.Location { return z.load(z.sessions[startUS]) }

// load finds a zone by its IANA name.
func (z *zones) load(name string) *time.Location {
	loc, known := z.loaded[name]
	if !known {
		if name != "" && name != "Local" {
			if l, err := time.LoadLocation(name); err == nil {
				loc = l
			}
		}
		z.loaded[name] = loc
	}
	return loc
}
