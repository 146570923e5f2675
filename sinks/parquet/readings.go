package parquet

import (
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// descriptor is what the files need to know of one.
type descriptor struct {
	name string
	unit string
	typ  schema.Type
	// drop and noText are the profile's: nothing of it, no text of it.
	drop, noText bool
}

// describe looks descriptors up, each once.
type describe struct {
	catalogue *schema.Catalogue
	masked    bool
	known     map[schema.Descriptor]*descriptor
}

func (d *describe) get(name schema.Descriptor) *descriptor {
	if out, known := d.known[name]; known {
		return out
	}
	e, inCatalogue := d.catalogue.Lookup(name)
	out := &descriptor{name: string(name), unit: e.Unit, typ: e.Type}
	if d.masked {
		out.drop = !KeepsDescriptor(&e, inCatalogue)
		out.noText = e.Type == schema.TypeNumber || e.Type == schema.TypeBool // it does not fit: free text
	}
	d.known[name] = out
	return out
}

// readingsFile writes table readings.
type readingsFile struct {
	*fileWriter
	vin, descriptor, time, number, boolean, text, unit *column
}

func newReadingsFile(w *fileWriter) *readingsFile {
	c := w.cols // in the order of readingsTable
	return &readingsFile{w, c[0], c[1], c[2], c[3], c[4], c[5], c[6]}
}

// pieceRows bounds what is added between two looks at the row group's size.
const pieceRows = 16 << 10

// add appends a block whose profile has been applied.
func (f *readingsFile) add(vin string, d *descriptor, b *schema.ReadingBlock) error {
	for from := 0; from < b.Len(); {
		if f.full() {
			if err := f.endGroup(); err != nil {
				return err
			}
		}
		to := min(b.Len(), from+pieceRows, from+groupRows-f.rows)
		f.piece(vin, d, b.Times[from:to], b.Values[from:to])
		from = to
	}
	return nil
}

func (f *readingsFile) piece(vin string, d *descriptor, times []int64, values []schema.Value) {
	row, n := f.rows, len(times)
	f.vin.addTexts(row, n, vin)
	f.descriptor.addTexts(row, n, d.name)
	if d.unit != "" {
		f.unit.addTexts(row, n, d.unit)
	}
	for _, ns := range times {
		f.time.ints = append(f.time.ints, microseconds(ns))
	}
	for i := range values {
		switch v := &values[i]; v.Kind {
		case schema.KindNumber:
			f.number.addNumber(row+i, v.Number)
		case schema.KindBool:
			f.boolean.addBool(row+i, v.Bool)
		case schema.KindText:
			f.text.addText(row+i, v.Text)
		case schema.KindNull:
		}
	}
	f.rows += n
}
