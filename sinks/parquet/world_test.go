package parquet_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pq "github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/dir"
)

const (
	vinA = schema.VIN("WBY00000000000001")
	vinB = schema.VIN("WBY00000000000002")
	gcid = "00000000-0000-4000-8000-000000000001"

	soc     = schema.Descriptor("vehicle.drivetrain.electricEngine.charging.level")
	moving  = schema.Descriptor("vehicle.isMoving")
	status  = schema.Descriptor("vehicle.drivetrain.electricEngine.charging.status")
	unknown = schema.Descriptor("vehicle.zz.notInTheCatalogue")
)

var (
	day  = mustDate("2026-11-24")
	noon = day.Start().Add(12 * time.Hour)
	full = parquet.Config{Profile: parquet.Profile{Name: parquet.Full}, Catalogue: schema.Default()}
)

func mustDate(s string) parquet.Date {
	d, err := parquet.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

func num(f float64) schema.Value { return schema.Value{Kind: schema.KindNumber, Number: f} }
func yes(b bool) schema.Value    { return schema.Value{Kind: schema.KindBool, Bool: b} }
func word(s string) schema.Value { return schema.Value{Kind: schema.KindText, Text: s} }

// cells is a row of a measurement.
type cells map[string]any

func (c cells) Columns() []string { return slices.Sorted(maps.Keys(c)) }
func (c cells) Time() int64       { return c["time"].(time.Time).UnixNano() }

func (c cells) Float(n string) (float64, bool) {
	switch v := c[n].(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	}
	return 0, false
}

func (c cells) Int(n string) (int64, bool) {
	switch v := c[n].(type) {
	case int:
		return int64(v), true
	case time.Time:
		return v.UnixMilli(), true
	}
	return 0, false
}

func (c cells) Bool(n string) (value, ok bool) {
	value, ok = c[n].(bool)
	return value, ok
}

func (c cells) Text(n string) (string, bool) {
	s, ok := c[n].(string)
	return s, ok
}

// car is what one vehicle did on a day.
type car struct {
	vin       schema.VIN
	readings  []schema.ReadingBlock
	positions []derive.Position
	rows      map[string][]cells
}

func block(vin schema.VIN, d schema.Descriptor, start time.Time, values ...schema.Value) schema.ReadingBlock {
	b := schema.ReadingBlock{VIN: vin, Descriptor: d}
	for i, v := range values {
		b.Append(start.Add(time.Duration(i)*time.Second).UnixNano(), v)
	}
	return b
}

// export writes a day as the exporter does.
func export(ctx context.Context, d *parquet.Dataset, date parquet.Date, touched string, cars ...car) (parquet.Committed, error) {
	var tables []string
	for _, t := range parquet.Tables() {
		if t.Partitioned() {
			tables = append(tables, t.Name)
		}
	}
	w, err := d.Begin(date, tables...)
	if err != nil {
		return parquet.Committed{}, err
	}
	defer w.Abort()
	byVIN := make(map[schema.VIN]car)
	var vins []schema.VIN
	for _, c := range cars {
		byVIN[c.vin] = c
		vins = append(vins, c.vin)
	}
	d.SortVehicles(vins)
	for _, vin := range vins {
		if err := give(w, byVIN[vin]); err != nil {
			return parquet.Committed{}, err
		}
	}
	return w.Commit(ctx, func(string, schema.VIN) string { return touched })
}

func give(w *parquet.Day, c car) error {
	if err := w.Vehicle(c.vin); err != nil {
		return err
	}
	for i := range c.readings {
		if err := w.Readings(&c.readings[i]); err != nil {
			return err
		}
	}
	if err := w.Positions(c.positions); err != nil {
		return err
	}
	for _, table := range slices.Sorted(maps.Keys(c.rows)) {
		for _, r := range c.rows[table] {
			if err := w.Row(table, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// set is a dataset in a folder of the test.
type set struct {
	*parquet.Dataset
	root string
}

func open(t *testing.T, root string, cfg parquet.Config) set {
	t.Helper()
	d, err := parquet.Open(t.Context(), target(t, root), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close(context.Background()) })
	return set{d, root}
}

func target(t *testing.T, root string) *dir.Target {
	t.Helper()
	tg, err := dir.New(root)
	if err != nil {
		t.Fatal(err)
	}
	return tg
}

func (s set) export(t *testing.T, date parquet.Date, touched string, cars ...car) parquet.Committed {
	t.Helper()
	c, err := export(t.Context(), s.Dataset, date, touched, cars...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s set) close(t *testing.T) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// clean fails the test for each finding of Verify.
func clean(t *testing.T, root string) {
	t.Helper()
	found, err := parquet.Verify(t.Context(), target(t, root), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error("Verify:", f)
	}
}

// contents are all files of a folder but the lock's.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), "_lock") {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p)
		out[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// rows reads a file with arrow's own reader: a line for each row, such as
// "vin=WBY… number=1.5", without what is null.
func rows(t *testing.T, root, path string) []string {
	t.Helper()
	r, err := file.OpenParquetFile(filepath.Join(root, filepath.FromSlash(path)), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var out []string
	for g := range r.NumRowGroups() {
		rg := r.RowGroup(g)
		lines := make([]string, rg.NumRows())
		for i := range rg.NumColumns() {
			c, err := rg.Column(i)
			if err != nil {
				t.Fatal(err)
			}
			readColumn(t, c, lines)
		}
		out = append(out, lines...)
	}
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

func readColumn(t *testing.T, c file.ColumnChunkReader, lines []string) {
	t.Helper()
	n := int64(len(lines))
	levels := make([]int16, n)
	var total int64
	var err error
	var at func(i int) any
	switch c := c.(type) {
	case *file.ByteArrayColumnChunkReader:
		v := make([]pq.ByteArray, n)
		at = func(i int) any { return string(v[i]) }
		total, _, err = readAll(n, func(k int64, done, values int64) (int64, int, error) {
			return c.ReadBatch(k, v[values:], levels[done:], nil)
		}, func(from, to int) { // the reader's memory is its own
			for i := from; i < to; i++ {
				v[i] = slices.Clone(v[i])
			}
		})
	case *file.Int64ColumnChunkReader:
		v := make([]int64, n)
		at = func(i int) any { return v[i] }
		if strings.Contains(c.Descriptor().LogicalType().String(), "Timestamp") {
			at = func(i int) any { return time.UnixMicro(v[i]).UTC().Format("2006-01-02T15:04:05.999999") }
		}
		total, _, err = readAll(n, func(k int64, done, values int64) (int64, int, error) {
			return c.ReadBatch(k, v[values:], levels[done:], nil)
		}, nil)
	case *file.Float64ColumnChunkReader:
		v := make([]float64, n)
		at = func(i int) any { return v[i] }
		total, _, err = readAll(n, func(k int64, done, values int64) (int64, int, error) {
			return c.ReadBatch(k, v[values:], levels[done:], nil)
		}, nil)
	case *file.BooleanColumnChunkReader:
		v := make([]bool, n)
		at = func(i int) any { return v[i] }
		total, _, err = readAll(n, func(k int64, done, values int64) (int64, int, error) {
			return c.ReadBatch(k, v[values:], levels[done:], nil)
		}, nil)
	default:
		t.Fatalf("column %s is %T", c.Descriptor().Name(), c)
	}
	if err != nil || total != n {
		t.Fatalf("column %s: %d of %d rows: %v", c.Descriptor().Name(), total, n, err)
	}
	next := 0
	for i := range lines {
		if c.Descriptor().MaxDefinitionLevel() > 0 && levels[i] == 0 {
			continue
		}
		lines[i] += fmt.Sprintf(" %s=%v", c.Descriptor().Name(), at(next))
		next++
	}
}

func readAll(n int64, read func(n, done, values int64) (int64, int, error), got func(from, to int)) (done, values int64, err error) {
	for done < n {
		k, v, err := read(n-done, done, values)
		if err != nil || k == 0 {
			return done, values, err
		}
		if got != nil {
			got(int(values), int(values)+v)
		}
		done += k
		values += int64(v)
	}
	return done, values, nil
}

// equalLines compares rows.
func equalLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s has rows\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func part(table string) string { return table + "/date=" + day.String() + "/part-0.parquet" }
