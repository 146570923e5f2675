package parquet

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// DataDictionary describes all tables and the catalogue's descriptors in Markdown.
func DataDictionary(c *schema.Catalogue) []byte {
	var b bytes.Buffer
	b.WriteString(`# Data dictionary

What stands in the Parquet dataset that ` + "`export`" + ` writes. This file is written from the table definitions and the catalogue by ` + "`make docs`" + `.

- One file for each table and UTC day: ` + "`<table>/date=YYYY-MM-DD/part-0.parquet`" + `; with ` + "`CARDATA_EXPORT_VIN_LEVEL=true`" + `, one for each vehicle below it (` + "`vin=…`" + `).
- Times are microseconds UTC; a column ` + "`…_local`" + ` is what a clock at the place showed, and has no zone.
- Descriptions and units also stand in the metadata of files and columns (pyarrow: ` + "`schema.field(…).metadata`" + `).
- Columns are only ever added: read several days by name (DuckDB: ` + "`union_by_name=true`" + `).
- Names that begin with ` + "`_`" + ` are not data. ` + "`_manifest.json`" + ` lists all files with rows, bytes, SHA-256 and time range.
- Profile ` + "`pseudonymous`" + `: what the column *pseudonymous* says; blank is kept.
`)
	for _, t := range Tables() {
		describeTable(&b, &t)
	}
	describeRulings(&b)
	describeDescriptors(&b, c)
	return b.Bytes()
}

func describeTable(b *bytes.Buffer, t *Table) {
	fmt.Fprintf(b, "\n## %s\n\n%s. Sorted by %s", t.Name, cell(upper(t.Description)), strings.Join(t.Sort, ", "))
	if t.Partitioned() {
		fmt.Fprintf(b, "; the day is that of `%s`", t.Day)
	}
	switch t.Source {
	case SourceMeasurement:
		fmt.Fprintf(b, "; from measurement `%s`", t.Measurement)
	case SourceReadings, SourcePositions:
		b.WriteString("; from measurement `reading`")
	case SourceCatalogue:
	}
	b.WriteString(".\n\n| column | type | unit | null | pseudonymous | meaning |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, c := range t.Columns {
		null := "yes"
		if c.Required {
			null = "no"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", c.Name, c.Type, c.Unit, null, c.Privacy, cell(c.Description))
	}
	if t.PerDescriptor {
		b.WriteString("| *descriptor* | by its type below | by descriptor | yes | by descriptor | one column for each descriptor of the day |\n")
	}
}

// String says it as the data dictionary does.
func (p Privacy) String() string {
	switch p {
	case PrivacyKeep:
		return ""
	case PrivacyVIN, PrivacyGCID:
		return "token"
	case PrivacyPlace:
		return "left out or rounded"
	case PrivacyWords:
		return "words alone"
	case PrivacyDrop:
		return "left out"
	}
	return "?"
}

func describeRulings(b *bytes.Buffer) {
	b.WriteString(`
## Profile pseudonymous

VINs and GCIDs become tokens (keyed hash with your secret): the same secret gives the same tokens, in paths too. Of the readings, those of the
catalogue's numbers, booleans and documented words are kept, but for what this table says; what the catalogue does not know is left out, for a new key may
be a place. A text that does not have the form of a word (letters first, no spaces) is left out. Positions are left out (` + "`omit`" + `) or rounded with
the zones you name cut out (` + "`round`" + `); altitude and heading are left out.

| descriptor | kept | because |
| --- | --- | --- |
`)
	for _, r := range DescriptorRulings() {
		ruling(b, r)
	}
	b.WriteString("\n| fact of table vehicles | kept | because |\n| --- | --- | --- |\n")
	for _, r := range FactRulings() {
		ruling(b, r)
	}
	b.WriteString("\nFacts that no line fits are left out. Of two lines that fit, the first counts.\n")
}

func ruling(b *bytes.Buffer, r Ruling) {
	name, kept := r.Name, "no"
	if strings.HasSuffix(name, ".") {
		name += "…"
	}
	if r.Keep {
		kept = "yes"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, kept, r.Reason)
}

func describeDescriptors(b *bytes.Buffer, c *schema.Catalogue) {
	fmt.Fprintf(b, "\n## Descriptors\n\nCatalogue %s. Type `unknown`: table wide has `…__number`, `…__bool` and `…__text`, those that occur.\n\n"+
		"| descriptor | type | unit | stream | pseudonymous | words | note |\n| --- | --- | --- | --- | --- | --- | --- |\n", c.Version())
	for e := range c.All() {
		stream, kept := "", ""
		if e.Streamable {
			stream = "yes"
		}
		if !KeepsDescriptor(&e, true) {
			kept = "left out"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", e.Descriptor, e.Type, cell(e.Unit), stream, kept, cell(strings.Join(e.Words, ", ")), cell(e.Note))
	}
}

// cell keeps a text within its cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
