package parquet_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

var update = flag.Bool("update", false, "write docs/data-dictionary.md and testdata/schema.golden anew")

// TestDataDictionary holds docs/data-dictionary.md to the definitions.
func TestDataDictionary(t *testing.T) {
	golden(t, filepath.Join("..", "..", "docs", "data-dictionary.md"), parquet.DataDictionary(schema.Default()))
}

// TestColumnsAreOnlyEverAdded holds the definitions to those that were released:
// what stands in the golden file must still be there. -update adds the new ones.
func TestColumnsAreOnlyEverAdded(t *testing.T) {
	name := filepath.Join("testdata", "schema.golden")
	var now bytes.Buffer
	have := make(map[string]bool)
	for _, table := range parquet.Tables() {
		for _, c := range table.Columns {
			line := fmt.Sprintf("%s %s %s required=%v %q", table.Name, c.Name, c.Type, c.Required, c.Unit)
			have[line] = true
			now.WriteString(line + "\n")
		}
	}
	before, err := os.ReadFile(name)
	if err != nil && !*update {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(before)) {
		if !have[strings.TrimSuffix(line, "\n")] {
			t.Errorf("gone or changed, and files have it: %s", line)
		}
	}
	if !t.Failed() {
		golden(t, name, now.Bytes())
	}
}

func golden(t *testing.T, name string, now []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, now, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, now) {
		t.Errorf("%s is not what the code says; run go test ./sinks/parquet -update", name)
	}
}
