package parquet

import (
	"encoding/binary"
	"fmt"
	"math"

	pq "github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/metadata"
	pqschema "github.com/apache/arrow/go/v17/parquet/schema"
)

const (
	// createdBy has the form that readers look for; it names no build, so that
	// equal rows give equal bytes whatever machine wrote them.
	createdBy = "cardata-pipeline version 1.0.0 (build 1)"
	magic     = "PAR1"

	// duckRows is DuckDB's unit of parallel reading; a row group is a multiple.
	duckRows = 122_880
	// groupRows rows make a row group: memory is this many rows, not a file's.
	groupRows = 4 * duckRows
	// groupDictBytes of distinct text end a row group early.
	groupDictBytes = 16 << 20

	batchRows = 8192
	pageBytes = 1 << 20
)

// fileWriter writes one Parquet file, a row group at a time. Rows are added to its
// columns by whoever owns it, and counted by rows. It builds on arrow's column
// writers; arrow's file writer has no sorting columns and loses errors.
type fileWriter struct {
	out    *output
	sorted []int // columns that rows are sorted by
	props  *pq.WriterProperties
	meta   *metadata.FileMetaDataBuilder
	pager  file.PageWriter
	cols   []*column
	rows   int // in the row group at hand
	total  int64
	groups int16
	time   int // column of the partition's time, -1 when there is none
	minUS  int64
	maxUS  int64
	batch  batch
}

// newFileWriter starts a file in dir. cols are used and reset by the writer.
func newFileWriter(dir string, l *fileLayout, cols []*column) (*fileWriter, error) {
	useZstd()
	out, err := newOutput(dir)
	if err != nil {
		return nil, err
	}
	props := writerProperties(cols)
	root, kv, err := l.parquetSchema(cols)
	if err != nil {
		out.discard()
		return nil, err
	}
	w := &fileWriter{
		out: out, props: props, cols: cols, time: -1,
		meta:  metadata.NewFileMetadataBuilder(pqschema.NewSchema(root), props, kv),
		minUS: math.MaxInt64, maxUS: math.MinInt64,
	}
	for _, name := range l.sort {
		for i, c := range cols {
			if c.Name == name {
				w.sorted = append(w.sorted, i)
			}
		}
	}
	for i, c := range cols {
		c.reset()
		if c.Name == l.time {
			w.time = i
		}
	}
	if _, err := out.Write([]byte(magic)); err != nil {
		out.discard()
		return nil, err
	}
	return w, nil
}

// writerProperties turns off what depends on the data: a dictionary is never
// given up half way, because row groups end before one grows too large.
func writerProperties(cols []*column) *pq.WriterProperties {
	opts := []pq.WriterProperty{
		pq.WithCreatedBy(createdBy), pq.WithVersion(pq.V2_6), pq.WithDataPageVersion(pq.DataPageV1),
		pq.WithCompression(compress.Codecs.Zstd), pq.WithStats(true), pq.WithDictionaryDefault(false),
		pq.WithDictionaryPageSizeLimit(math.MaxInt32), pq.WithBatchSize(batchRows), pq.WithDataPageSize(pageBytes),
	}
	for _, c := range cols {
		switch c.Type {
		case Text:
			opts = append(opts, pq.WithDictionaryFor(c.Name, true))
		case Timestamp, LocalTime, Int:
			opts = append(opts, pq.WithEncodingFor(c.Name, pq.Encodings.DeltaBinaryPacked))
		case Number, Bool:
		}
	}
	return pq.NewWriterProperties(opts...)
}

// full says whether the row group should end before more rows come.
func (w *fileWriter) full() bool {
	if w.rows >= groupRows {
		return true
	}
	n := 0
	for _, c := range w.cols {
		n += len(c.dict.bytes)
	}
	return n >= groupDictBytes
}

// endGroup writes the rows at hand as one row group.
func (w *fileWriter) endGroup() error {
	if w.rows == 0 {
		return nil
	}
	if w.time >= 0 {
		for _, us := range w.cols[w.time].ints {
			w.minUS, w.maxUS = min(w.minUS, us), max(w.maxUS, us)
		}
	}
	rg := w.meta.AppendRowGroup()
	var written int64
	for i, c := range w.cols {
		n, err := w.chunk(rg.NextColumnChunk(), i, c)
		if err == nil {
			err = w.out.err
		}
		if err != nil {
			return fmt.Errorf("write column %s: %w", c.Name, err)
		}
		written += n
		c.reset()
	}
	rg.SetNumRows(w.rows)
	if err := rg.Finish(written, w.groups); err != nil {
		return fmt.Errorf("finish a row group: %w", err)
	}
	w.total += int64(w.rows)
	w.groups++
	w.rows = 0
	return nil
}

func (w *fileWriter) chunk(meta *metadata.ColumnChunkMetaDataBuilder, i int, c *column) (int64, error) {
	var err error
	if w.pager == nil {
		w.pager, err = file.NewPageWriter(w.out, compress.Codecs.Zstd, 0, meta, w.groups, int16(i), w.props.Allocator(), false, nil, nil)
	} else {
		err = w.pager.Reset(w.out, compress.Codecs.Zstd, 0, meta, w.groups, int16(i), nil, nil)
	}
	if err != nil {
		return 0, err
	}
	cw := file.NewColumnChunkWriter(meta, w.pager, w.props)
	if err := w.batch.write(cw, c, w.rows); err != nil {
		_ = cw.Close()
		return 0, err
	}
	if err := cw.Close(); err != nil {
		return 0, err
	}
	return cw.TotalBytesWritten(), nil
}

// finish writes the footer and closes the file.
func (w *fileWriter) finish() error {
	if err := w.endGroup(); err != nil {
		return err
	}
	meta, err := w.meta.Finish()
	if err != nil {
		return fmt.Errorf("make the footer: %w", err)
	}
	w.declareOrder(meta)
	n, err := meta.WriteTo(w.out, nil)
	if err != nil {
		return fmt.Errorf("write the footer: %w", err)
	}
	tail := binary.LittleEndian.AppendUint32(nil, uint32(n))
	if _, err := w.out.Write(append(tail, magic...)); err != nil {
		return err
	}
	return w.out.finish()
}

// declareOrder notes the sort order for readers that use it.
func (w *fileWriter) declareOrder(meta *metadata.FileMetaData) {
	for _, rg := range meta.RowGroups {
		for _, i := range w.sorted {
			s := grow(&rg.SortingColumns)
			s.ColumnIdx = int32(i)
			s.NullsFirst = true
		}
	}
}

// grow appends a new element; its type is internal to arrow, so it has no name here.
func grow[T any](list *[]*T) *T {
	v := new(T)
	*list = append(*list, v)
	return v
}
