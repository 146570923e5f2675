package dataset

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export"
)

// python gives the interpreter of test/python's packages.
func python(tb testing.TB) string {
	tb.Helper()
	interpreter := os.Getenv("CARDATA_TEST_PYTHON")
	if interpreter == "" {
		if list := strings.Split(os.Getenv("CARDATA_TEST_REQUIRE"), ","); slices.Contains(list, "1") || slices.Contains(list, "python") {
			tb.Fatal("CARDATA_TEST_PYTHON must name an interpreter")
		}
		tb.Skip("CARDATA_TEST_PYTHON is not set")
	}
	return interpreter
}

// pyarrow, pandas, Polars and DuckDB read every table, with types, units and joins.
func TestOtherReadersAgree(t *testing.T) {
	interpreter := python(t)
	for name, change := range map[string]func(*export.Config){
		"a file for all":  func(*export.Config) {},
		"a file for each": func(c *export.Config) { c.ExportVINLevel = true },
		"pseudonymous": func(c *export.Config) {
			c.ExportProfile, c.ExportKey = "pseudonymous", "a key of sixteen bytes or more"
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			w.run(w.exporter(change), export.Selection{})
			out, err := exec.Command(interpreter, "../../../test/python/check_dataset.py", w.root).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "no faults") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// Files of a version that lacked a column are read beside the present ones.
func TestFilesOfTwoVersionsAreReadByName(t *testing.T) {
	interpreter := python(t)
	w := newWorld(t)
	w.fill()
	w.run(w.exporter(), export.Selection{})
	out, err := exec.Command(interpreter, "../../../test/python/check_union.py", w.root).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "no faults: readings, wide, positions") {
		t.Errorf("%v\n%s", err, out)
	}
}
