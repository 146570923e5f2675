package parquet

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	pq "github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/metadata"
	pqschema "github.com/apache/arrow/go/v17/parquet/schema"
)

// Keys of the metadata of files, and of columns in the Arrow schema.
const (
	metaTable       = "cardata.table"
	metaDescription = "description"
	metaUnit        = "unit"
	metaVersion     = "cardata.schema_version"
	metaSettings    = "cardata.settings" // JSON, as in the manifest
	arrowSchemaKey  = "ARROW:schema"

	// SchemaVersion counts changes of the files that are more than new columns.
	SchemaVersion = "1"
)

// fileLayout is what all files of a table have in common.
type fileLayout struct {
	table       string
	description string
	sort        []string
	time        string // column of the partition's time; empty when there is none
	settings    string // JSON of Settings
}

// parquetSchema makes the schema and the file's metadata. The Arrow schema, which
// pyarrow and others prefer, carries descriptions and units.
func (l *fileLayout) parquetSchema(cols []*column) (*pqschema.GroupNode, metadata.KeyValueMetadata, error) {
	fields := make(pqschema.FieldList, len(cols))
	arrowFields := make([]arrow.Field, len(cols))
	for i, c := range cols {
		node, err := parquetField(c.Column)
		if err != nil {
			return nil, nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		fields[i], arrowFields[i] = node, arrowField(c.Column)
	}
	root, err := pqschema.NewGroupNode("schema", pq.Repetitions.Required, fields, -1)
	if err != nil {
		return nil, nil, fmt.Errorf("schema of %s: %w", l.table, err)
	}
	kv := metadata.NewKeyValueMetadata()
	keys := []string{metaTable, metaDescription, metaVersion, metaSettings}
	values := []string{l.table, l.description, SchemaVersion, l.settings}
	for i := range keys {
		if err := kv.Append(keys[i], values[i]); err != nil {
			return nil, nil, err
		}
	}
	md := arrow.NewMetadata(keys, values)
	encoded, err := serializeSchema(arrow.NewSchema(arrowFields, &md))
	if err != nil {
		return nil, nil, err
	}
	return root, kv, kv.Append(arrowSchemaKey, encoded)
}

func serializeSchema(s *arrow.Schema) (string, error) {
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(s))
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("serialize the schema: %w", err)
	}
	return base64.StdEncoding.EncodeToString(buf.Bytes()), nil
}

func parquetField(c Column) (pqschema.Node, error) {
	rep := pq.Repetitions.Optional
	if c.Required {
		rep = pq.Repetitions.Required
	}
	var logical pqschema.LogicalType = pqschema.NoLogicalType{}
	physical := pq.Types.Int64
	switch c.Type {
	case Text:
		physical, logical = pq.Types.ByteArray, pqschema.StringLogicalType{}
	case Number:
		physical = pq.Types.Double
	case Bool:
		physical = pq.Types.Boolean
	case Timestamp:
		logical = pqschema.NewTimestampLogicalType(true, pqschema.TimeUnitMicros)
	case LocalTime:
		logical = pqschema.NewTimestampLogicalType(false, pqschema.TimeUnitMicros)
	case Int:
		logical = pqschema.NewIntLogicalType(64, true)
	}
	return pqschema.NewPrimitiveNodeLogical(c.Name, rep, logical, physical, -1, -1)
}

func arrowField(c Column) arrow.Field {
	f := arrow.Field{Name: c.Name, Nullable: !c.Required}
	switch c.Type {
	case Text:
		f.Type = arrow.BinaryTypes.String
	case Number:
		f.Type = arrow.PrimitiveTypes.Float64
	case Int:
		f.Type = arrow.PrimitiveTypes.Int64
	case Bool:
		f.Type = arrow.FixedWidthTypes.Boolean
	case Timestamp:
		f.Type = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case LocalTime:
		f.Type = &arrow.TimestampType{Unit: arrow.Microsecond}
	}
	var keys, values []string
	add := func(k, v string) {
		if v != "" {
			keys, values = append(keys, k), append(values, v)
		}
	}
	add(metaDescription, c.Description)
	add(metaUnit, c.Unit)
	f.Metadata = arrow.NewMetadata(keys, values)
	return f
}

// columnUnits reads the units back.
func columnUnits(encoded *string) (map[string]string, error) {
	units := make(map[string]string)
	if encoded == nil {
		return units, nil
	}
	b, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil {
		return nil, fmt.Errorf("arrow schema: %w", err)
	}
	r, err := ipc.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("arrow schema: %w", err)
	}
	defer r.Release()
	for _, f := range r.Schema().Fields() {
		if i := f.Metadata.FindKey(metaUnit); i >= 0 {
			units[f.Name] = f.Metadata.Values()[i]
		}
	}
	return units, nil
}
