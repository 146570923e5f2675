package parquet

import (
	"slices"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// tableWriter makes the files of one table of one day, one after the other.
type tableWriter struct {
	d       *Dataset
	t       *Table
	reader  rowReader
	cols    []*column // reused from file to file; nil for table wide
	pending [][]value // rows of the present vehicle
	token   string

	file  *fileWriter   // nil until there is a row
	reads *readingsFile // the same file, for table readings
	spool *spool        // for table wide
}

func newTableWriter(d *Dataset, t *Table, z *zones) *tableWriter {
	w := &tableWriter{d: d, t: t, reader: rowReader{t, d.cfg.Profile.Columns(t), d.mask, z}}
	if t.PerDescriptor {
		return w
	}
	if w.cols = d.spare[t.Name]; w.cols != nil {
		delete(d.spare, t.Name) // two days may be open at once
		return w
	}
	for _, c := range w.reader.cols {
		w.cols = append(w.cols, &column{Column: c})
	}
	return w
}

func (w *tableWriter) layout() *fileLayout {
	return &fileLayout{table: w.t.Name, description: w.t.Description, sort: w.t.Sort, time: w.t.Day, settings: w.d.settings}
}

func (w *tableWriter) startVehicle(token string) {
	w.token = token
	if w.spool != nil {
		w.spool.vehicle(token)
	}
}

// readings takes a block whose profile has been applied.
func (w *tableWriter) readings(token string, d *descriptor, b *schema.ReadingBlock) error {
	if w.t.Source != SourceReadings {
		return nil
	}
	if w.t.PerDescriptor {
		if w.spool == nil {
			s, err := newSpool(w.d.temp)
			if err != nil {
				return err
			}
			w.spool = s
			s.vehicle(token)
		}
		return w.spool.add(d, b)
	}
	if w.reads == nil {
		if err := w.create(); err != nil {
			return err
		}
		w.reads = newReadingsFile(w.file)
	}
	return w.reads.add(token, d, b)
}

func (w *tableWriter) create() error {
	f, err := newFileWriter(w.d.temp, w.layout(), w.cols)
	w.file = f
	return err
}

// endVehicle writes the vehicle's rows, which came in any order.
func (w *tableWriter) endVehicle() error {
	if len(w.pending) == 0 {
		return nil
	}
	for _, row := range w.pending {
		w.reader.localise(row)
	}
	w.sort()
	if w.file == nil {
		if err := w.create(); err != nil {
			return err
		}
	}
	for _, row := range w.pending {
		if w.file.full() {
			if err := w.file.endGroup(); err != nil {
				return err
			}
		}
		addRow(w.file, row)
	}
	clear(w.pending)
	w.pending = w.pending[:0]
	return nil
}

func (w *tableWriter) sort() {
	keys := make([]int, 0, len(w.t.Sort))
	for _, name := range w.t.Sort {
		if i := w.reader.index(name); i >= 0 {
			keys = append(keys, i)
		}
	}
	slices.SortStableFunc(w.pending, func(a, b []value) int {
		for _, k := range keys {
			if c := a[k].compare(b[k]); c != 0 {
				return c
			}
		}
		return 0
	})
}

func addRow(f *fileWriter, row []value) {
	for i := range row {
		v, c := &row[i], f.cols[i]
		if !v.set && !c.Required {
			continue
		}
		switch c.Type {
		case Text:
			c.addText(f.rows, v.text)
		case Number:
			c.addNumber(f.rows, v.f)
		case Bool:
			c.addBool(f.rows, v.b)
		case Int, Timestamp, LocalTime:
			c.addInt(f.rows, v.i)
		}
	}
	f.rows++
}

// finish ends the file at hand; finished has none when there were no rows.
func (w *tableWriter) finish() (finished, error) {
	if w.spool != nil {
		if err := w.pivot(); err != nil {
			return finished{}, err
		}
	}
	f := w.file
	if f == nil {
		return finished{}, nil
	}
	if err := f.finish(); err != nil {
		return finished{}, err
	}
	w.file, w.reads = nil, nil
	return f.finished(), nil
}

// pivot writes table wide from the spool.
func (w *tableWriter) pivot() error {
	s := w.spool
	defer func() {
		s.discard()
		w.spool = nil
	}()
	had := make(map[string]Type)
	for _, c := range w.d.manifest.table(w.t.Name).Columns {
		if typ, ok := parseType(c.Type); ok {
			had[c.Name] = typ
		}
	}
	cols, where := wideSchema(s, w.reader.cols, had, func(name string) schema.Entry {
		e, _ := w.d.cfg.Catalogue.Lookup(schema.Descriptor(name))
		return e
	})
	f, err := newFileWriter(w.d.temp, w.layout(), cols)
	if err != nil {
		return err
	}
	w.file = f
	wide := &wideFile{fileWriter: f, where: where}
	for _, v := range s.vehicles {
		if v.readings == 0 {
			continue
		}
		blocks, err := s.read(v)
		if err != nil {
			return err
		}
		if err := wide.vehicle(v.vin, blocks); err != nil {
			return err
		}
	}
	return nil
}

// discard drops the file at hand and gives the columns' memory to the next day.
func (w *tableWriter) discard() {
	if w.cols != nil {
		w.d.spare[w.t.Name] = w.cols
		w.cols = nil
	}
	if w.file != nil {
		w.file.out.discard()
		w.file = nil
	}
	if w.spool != nil {
		w.spool.discard()
		w.spool = nil
	}
}
