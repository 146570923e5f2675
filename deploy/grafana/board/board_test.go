package board

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the dashboards")

const folder = "../dashboards"

func TestFilesAreCurrent(t *testing.T) {
	boards := All()
	for name, d := range boards {
		want, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, name)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what this package makes (%v): run go test ./deploy/grafana/board -update", name, err)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if boards[f.Name()] == nil {
			t.Errorf("%s is made by nothing here", f.Name())
		}
	}
}
