package parquet

import (
	"slices"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// wideColumns says in which column of table wide a descriptor's values stand, by
// their kind; -1 where no value of the kind occurs.
type wideColumns [4]int

// wideSchema gives the columns of table wide for what the spool holds, those of
// the table first, then by name. had are the types of columns that the dataset has
// already: a descriptor keeps its column's type for good, whatever a later
// catalogue says.
func wideSchema(s *spool, first []Column, had map[string]Type, entry func(name string) schema.Entry) ([]*column, []wideColumns) {
	var cols []*column
	for _, c := range first {
		cols = append(cols, &column{Column: c})
	}
	type use struct {
		descriptor int
		kind       schema.Kind
	}
	uses := make(map[*column][]use)
	add := func(c Column, u ...use) {
		added := &column{Column: c}
		cols = append(cols, added)
		uses[added] = u
	}
	for i, d := range s.names {
		e := entry(d.name)
		base, typed := wideType(d, had)
		for _, k := range []schema.Kind{schema.KindNumber, schema.KindBool, schema.KindText} {
			typ := typeOfKind(k)
			c := Column{Name: d.name, Type: typ, Description: describeWide(&e)}
			if k == schema.KindNumber {
				c.Unit = e.Unit
			}
			switch {
			case typed && typ == base:
				add(c, use{i, k})
			case s.kinds[i].has(k):
				c.Name += "__" + k2suffix(k)
				add(c, use{i, k})
			}
		}
	}
	slices.SortStableFunc(cols[len(first):], func(a, b *column) int { return strings.Compare(a.Name, b.Name) })
	where := make([]wideColumns, len(s.names))
	for i := range where {
		where[i] = wideColumns{-1, -1, -1, -1}
	}
	for at, c := range cols {
		for _, u := range uses[c] {
			where[u.descriptor][u.kind] = at
		}
	}
	return cols, where
}

// wideType gives the type of the descriptor's own column; false when it has none.
func wideType(d *descriptor, had map[string]Type) (Type, bool) {
	if t, known := had[d.name]; known {
		return t, true
	}
	switch d.typ {
	case schema.TypeNumber:
		return Number, true
	case schema.TypeBool:
		return Bool, true
	case schema.TypeText:
		return Text, true
	case schema.TypeUnknown:
	}
	return 0, false
}

func typeOfKind(k schema.Kind) Type {
	switch k {
	case schema.KindNumber:
		return Number
	case schema.KindBool:
		return Bool
	case schema.KindText:
		return Text
	case schema.KindNull:
	}
	return 0
}

func k2suffix(k schema.Kind) string {
	switch k {
	case schema.KindNumber:
		return "number"
	case schema.KindBool:
		return "bool"
	case schema.KindText, schema.KindNull:
	}
	return "text"
}

func describeWide(e *schema.Entry) string {
	var parts []string
	for _, s := range []string{e.Category, strings.Join(e.Words, "|"), e.Note} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, "; ")
}

// wideFile writes table wide from a spool.
type wideFile struct {
	*fileWriter
	where []wideColumns
	rows  []int64 // scratch: times of the vehicle at hand
}

// vehicle appends the rows of one vehicle, and so holds one vehicle-day at a time.
func (f *wideFile) vehicle(vin string, blocks []spoolBlock) error {
	if f.full() {
		if err := f.endGroup(); err != nil {
			return err
		}
	}
	times := f.rows[:0]
	for i := range blocks {
		times = append(times, blocks[i].times...)
	}
	slices.Sort(times)
	times = slices.Compact(times)
	f.rows = times
	f.cols[0].addTexts(f.fileWriter.rows, len(times), vin)
	f.cols[1].ints = append(f.cols[1].ints, times...)
	for i := range blocks {
		f.block(&blocks[i], times)
	}
	f.fileWriter.rows += len(times)
	return nil
}

// block puts the values of one descriptor into their rows. Of two in the same
// microsecond the later counts; table readings has both.
func (f *wideFile) block(b *spoolBlock, times []int64) {
	row := 0
	for i, us := range b.times {
		if i+1 < len(b.times) && b.times[i+1] == us {
			continue
		}
		n, _ := slices.BinarySearch(times[row:], us)
		row += n
		v := &b.values[i]
		at := f.where[b.number][v.Kind]
		if at < 0 {
			continue // nothing reported
		}
		c := f.cols[at]
		switch v.Kind {
		case schema.KindNumber:
			c.addNumber(f.fileWriter.rows+row, v.Number)
		case schema.KindBool:
			c.addBool(f.fileWriter.rows+row, v.Bool)
		case schema.KindText:
			c.addText(f.fileWriter.rows+row, v.Text)
		case schema.KindNull:
		}
	}
}
