package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

// rows reads all files of a table, in the order of their paths.
func rows(t *testing.T, root, table string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for path := range files(t, root) {
		if strings.HasPrefix(path, table+"/") && strings.HasSuffix(path, ".parquet") {
			all = append(all, readFile(t, filepath.Join(root, path))...)
		}
	}
	return all
}

func readFile(t *testing.T, path string) []map[string]any {
	t.Helper()
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := r.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	list := make([]map[string]any, table.NumRows())
	for i := range list {
		list[i] = map[string]any{}
	}
	for c := range int(table.NumCols()) {
		name, at := table.Schema().Field(c).Name, 0
		for _, chunk := range table.Column(c).Data().Chunks() {
			for i := range chunk.Len() {
				if !chunk.IsNull(i) {
					list[at][name] = cell(chunk, i)
				}
				at++
			}
		}
	}
	return list
}

func cell(a arrow.Array, i int) any {
	switch a := a.(type) {
	case *array.Float64:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Boolean:
		return a.Value(i)
	case *array.String:
		return strings.Clone(a.Value(i))
	case *array.Timestamp:
		return a.Value(i).ToTime(arrow.Microsecond).UTC()
	case *array.Dictionary:
		return cell(a.Dictionary(), a.GetValueIndex(i))
	}
	return a.ValueStr(i)
}

// files gives the hash of every file of a dataset but its lock.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "_lock") {
			return err
		}
		b, err := os.ReadFile(path)
		sum := sha256.Sum256(b)
		name, _ := filepath.Rel(root, path)
		sums[filepath.ToSlash(name)] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}
