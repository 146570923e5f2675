package parquet

import (
	"slices"
)

// Type is how a column is stored.
type Type uint8

// The types of columns.
const (
	Text      Type = iota + 1 // UTF-8, dictionary-encoded
	Number                    // double
	Int                       // 64-bit integer
	Bool                      // boolean
	Timestamp                 // timestamp[us, UTC]
	LocalTime                 // timestamp[us] without a zone: what a clock at the place showed
)

// String names the type as the manifest and the data dictionary do.
func (t Type) String() string {
	if int(t) < len(typeNames()) {
		return typeNames()[t]
	}
	return "type?"
}

func typeNames() []string {
	return []string{"", "text", "double", "int64", "bool", "timestamp[us, UTC]", "timestamp[us]"}
}

func parseType(s string) (Type, bool) {
	i := slices.Index(typeNames(), s)
	return Type(max(i, 0)), i > 0
}

// Column is one column of a table.
type Column struct {
	Name        string
	Type        Type
	Unit        string // canonical unit as in schema.CanonicalUnit; empty when none
	Description string
	Required    bool // never null

	// Privacy says what the profile pseudonymous does with it.
	Privacy Privacy
	from    from // where a row of a measurement has it
}

// Source says what rows of a table are made from.
type Source uint8

// The sources. Those of SourceMeasurement are filled by Day.Row.
const (
	SourceReadings    Source = iota + 1 // Day.Readings
	SourcePositions                     // Day.Positions
	SourceMeasurement                   // Day.Row: a measurement with a field for each column
	SourceCatalogue                     // by the dataset itself
)

// Table is the definition of one table: everything that writes, checks or
// documents it reads this alone. A new table is one more definition in Tables.
type Table struct {
	Name        string
	Description string
	Columns     []Column
	// Sort names the columns by which rows are sorted within a file.
	Sort []string
	// Day names the column whose UTC day decides the partition; empty when the
	// table has no partitions.
	Day string
	// Marks are the tables of measurement `day` whose marks say that a day of this
	// table may have changed.
	Marks []string
	// Source says which method of Day fills it, Measurement which measurement its
	// rows are; a row's time there is column Day.
	Source      Source
	Measurement string
	// PerDescriptor says that descriptors add columns: they differ between files.
	PerDescriptor bool

	expand expander // one row of the measurement is several of the table
}

// Partitioned says whether the table has a file for each day.
func (t *Table) Partitioned() bool { return t.Day != "" }

// Column gives the column of that name.
func (t *Table) Column(name string) (Column, bool) {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 {
		return Column{}, false
	}
	return t.Columns[i], true
}

// Cells is one row of a measurement. Tags are columns as fields are. Its methods
// are those of a row of sinks/influx; it is read within the call it is passed to.
type Cells interface {
	Columns() []string
	Time() int64 // nanoseconds since 1970 UTC
	Float(column string) (float64, bool)
	Int(column string) (int64, bool)
	Bool(column string) (value, ok bool)
	Text(column string) (string, bool)
}

// TableByName finds a definition.
func TableByName(name string) (Table, bool) {
	all := Tables()
	i := slices.IndexFunc(all, func(t Table) bool { return t.Name == name })
	if i < 0 {
		return Table{}, false
	}
	return all[i], true
}

// TableNames lists the tables in the order of Tables.
func TableNames() []string {
	all := Tables()
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	return names
}
