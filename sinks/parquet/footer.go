package parquet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	pq "github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/metadata"
	pqschema "github.com/apache/arrow/go/v17/parquet/schema"
)

// footer is what a file says of itself.
type footer struct {
	table    string
	settings Settings
	columns  []ManifestColumn
	rows     int64
	bytes    int64
	sha256   string
	from, to string
}

var errFooter = errors.New("no file of this program")

// readFooter copies the object at path to a file in tempDir, because a footer
// stands at the end, and hashes it on the way. Errors about the content wrap
// errFooter, and come with bytes and sha256.
func readFooter(ctx context.Context, target Files, tempDir, path string) (footer, error) {
	var ft footer
	r, err := target.Open(ctx, path)
	if err != nil {
		return ft, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = r.Close() }()
	f, err := os.CreateTemp(tempDir, "check-*.tmp")
	if err != nil {
		return ft, fmt.Errorf("make a temporary file: %w", err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	h := sha256.New()
	ft.bytes, err = io.Copy(io.MultiWriter(f, h), r)
	if err != nil {
		return ft, fmt.Errorf("read %s: %w", path, err)
	}
	ft.sha256 = hex.EncodeToString(h.Sum(nil))
	if err := ft.read(f); err != nil {
		return ft, fmt.Errorf("%w: %s: %w", errFooter, path, err)
	}
	return ft, nil
}

func (ft *footer) read(f pq.ReaderAtSeeker) (err error) {
	defer func() {
		if p := recover(); p != nil { // arrow panics on some broken files
			err = fmt.Errorf("footer: %v", p)
		}
	}()
	r, err := file.NewParquetReader(f)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	md := r.MetaData()
	ft.rows = md.GetNumRows()
	kv := md.KeyValueMetadata()
	table, settings := kv.FindValue(metaTable), kv.FindValue(metaSettings)
	if table == nil || settings == nil {
		return errors.New("its metadata names no table")
	}
	ft.table = *table
	if err := json.Unmarshal([]byte(*settings), &ft.settings); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	units, err := columnUnits(kv.FindValue(arrowSchemaKey))
	if err != nil {
		return err
	}
	for i := range md.Schema.NumColumns() {
		c := md.Schema.Column(i)
		ft.columns = append(ft.columns, ManifestColumn{Name: c.Name(), Type: typeOf(c).String(), Unit: units[c.Name()]})
	}
	return ft.times(md)
}

// typeOf is the reverse of parquetField.
func typeOf(c *pqschema.Column) Type {
	switch c.PhysicalType() {
	case pq.Types.ByteArray:
		return Text
	case pq.Types.Double:
		return Number
	case pq.Types.Boolean:
		return Bool
	case pq.Types.Int64:
		ts, ok := c.LogicalType().(*pqschema.TimestampLogicalType)
		if !ok {
			ts2, ok2 := c.LogicalType().(pqschema.TimestampLogicalType)
			ts, ok = &ts2, ok2
		}
		switch {
		case !ok:
			return Int
		case ts.IsAdjustedToUTC():
			return Timestamp
		}
		return LocalTime
	}
	return 0
}

// times takes the range of the partition's time from the statistics.
func (ft *footer) times(md *metadata.FileMetaData) error {
	t, known := TableByName(ft.table)
	i := md.Schema.ColumnIndexByName(t.Day)
	if !known || t.Day == "" || i < 0 {
		return nil
	}
	from, to := int64(math.MaxInt64), int64(math.MinInt64)
	for g := range len(md.RowGroups) {
		chunk, err := md.RowGroup(g).ColumnChunk(i)
		if err != nil {
			return err
		}
		stats, err := chunk.Statistics()
		if err != nil {
			return err
		}
		s, ok := stats.(*metadata.Int64Statistics)
		if !ok || !s.HasMinMax() {
			return fmt.Errorf("no statistics of column %s", t.Day)
		}
		from, to = min(from, s.Min()), max(to, s.Max())
	}
	if from <= to {
		ft.from, ft.to = formatUS(from), formatUS(to)
	}
	return nil
}

func (ft *footer) file(path string) ManifestFile {
	return ManifestFile{Path: path, Rows: ft.rows, Bytes: ft.bytes, SHA256: ft.sha256, From: ft.from, To: ft.to}
}
