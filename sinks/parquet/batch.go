package parquet

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
)

// batch brings a column to arrow's column writer, some thousand rows at a time.
// It is scratch memory, kept between columns.
type batch struct {
	levels [batchRows]int16 // 1 where there is a value
	ids    [batchRows]int32 // with holes where there is none
	valid  [batchRows / 8]byte
}

// write brings all rows of c.
func (b *batch) write(cw file.ColumnChunkWriter, c *column, rows int) error {
	dict := dictArray(&c.dict)
	defer dict.Release()
	if c.Type == Text {
		if err := putDictionary(cw, dict); err != nil {
			return err
		}
	}
	done := 0 // values
	for from := 0; from < rows; from += batchRows {
		n := min(batchRows, rows-from)
		levels, count := b.mark(c, done, from, n)
		if err := b.values(cw, c, done, count, levels, n); err != nil {
			return err
		}
		done += count
	}
	if done != c.values() {
		return fmt.Errorf("%d values for %d rows", c.values(), rows)
	}
	return nil
}

// mark sets the levels of n rows and counts their values.
func (b *batch) mark(c *column, done, from, n int) (levels []int16, values int) {
	if c.Required {
		return nil, n
	}
	levels = b.levels[:n]
	clear(levels)
	for _, row := range c.at[done:] {
		i := int(row) - from
		if i >= n {
			break
		}
		levels[i] = 1
		values++
	}
	return levels, values
}

func (b *batch) values(cw file.ColumnChunkWriter, c *column, done, count int, levels []int16, rows int) error {
	var n int64
	var err error
	switch w := cw.(type) {
	case *file.ByteArrayColumnChunkWriter:
		return b.texts(w, c, done, count, levels, rows)
	case *file.Int64ColumnChunkWriter:
		n, err = w.WriteBatch(c.ints[done:done+count], levels, nil)
	case *file.Float64ColumnChunkWriter:
		n, err = w.WriteBatch(c.nums[done:done+count], levels, nil)
	case *file.BooleanColumnChunkWriter:
		n, err = w.WriteBatch(c.bools[done:done+count], levels, nil)
	default:
		panic(fmt.Sprintf("BUG: no column is %T", cw))
	}
	if err == nil && n != int64(count) {
		err = fmt.Errorf("%d of %d values written", n, count)
	}
	return err
}

func (b *batch) texts(w *file.ByteArrayColumnChunkWriter, c *column, done, count int, levels []int16, rows int) error {
	ids := c.ids[done : done+count]
	var valid *memory.Buffer
	if levels != nil && count < rows {
		ids, valid = b.spread(ids, levels)
	}
	data := array.NewData(arrow.PrimitiveTypes.Int32, rows,
		[]*memory.Buffer{valid, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(ids))}, nil, rows-count, 0)
	defer data.Release()
	arr := array.NewInt32Data(data)
	defer arr.Release()
	if stats := w.PageStatistics(); stats != nil {
		stats.IncNulls(int64(rows - count))
		stats.IncNumValues(int64(count))
	}
	return w.WriteDictIndices(arr, levels, nil)
}

// spread puts ids where levels says that there are values.
func (b *batch) spread(ids []int32, levels []int16) ([]int32, *memory.Buffer) {
	clear(b.valid[:])
	next := 0
	for i, l := range levels {
		if l == 0 {
			continue
		}
		b.ids[i] = ids[next]
		b.valid[i/8] |= 1 << (i % 8)
		next++
	}
	return b.ids[:len(levels)], memory.NewBufferBytes(b.valid[:(len(levels)+7)/8])
}

// dictArray shows the texts of d to arrow without a copy.
func dictArray(d *dictionary) *array.String {
	offsets := d.offsets
	if len(offsets) == 0 {
		offsets = []int32{0}
	}
	data := array.NewData(arrow.BinaryTypes.String, d.len(), []*memory.Buffer{
		nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)), memory.NewBufferBytes(d.bytes),
	}, nil, 0, 0)
	defer data.Release()
	return array.NewStringData(data)
}

// putDictionary gives the writer all texts at once. Each is used in this chunk, so
// its statistics are those of the dictionary.
func putDictionary(cw file.ColumnChunkWriter, dict *array.String) error {
	if dict.Len() == 0 {
		return nil
	}
	enc, ok := cw.CurrentEncoder().(interface {
		PutDictionary(values arrow.Array) error
	})
	if !ok {
		panic("BUG: a text column without a dictionary")
	}
	if err := enc.PutDictionary(dict); err != nil {
		return fmt.Errorf("put the dictionary: %w", err)
	}
	if stats := cw.PageStatistics(); stats != nil {
		return stats.UpdateFromArrow(dict, false)
	}
	return nil
}
