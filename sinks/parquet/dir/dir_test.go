package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/dir"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/targettest"
)

func TestFolderKeepsTheContract(t *testing.T) {
	targettest.Run(t, targettest.Suite{New: func(t *testing.T) func(t *testing.T) parquet.Target {
		t.Helper()
		root := filepath.Join(t.TempDir(), "data", "set")
		return func(t *testing.T) parquet.Target {
			t.Helper()
			tg, err := dir.New(root)
			if err != nil {
				t.Fatal(err)
			}
			return tg
		}
	}})
}

func TestRemoveTakesEmptyFoldersAndLeftovers(t *testing.T) {
	tg, err := dir.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const p = "wide/date=2026-11-24/vin=A/part-0.parquet"
	local := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(local, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tg.Publish(t.Context(), p, local); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tg.Root(), filepath.FromSlash(p)+".tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tg.Remove(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(tg.Root())
	if err != nil || len(left) != 0 {
		t.Errorf("left are %v (%v), want nothing", left, err)
	}
}

func TestPathsStayInTheFolder(t *testing.T) {
	tg, err := dir.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"", "..", "../x", "/etc/passwd", "a/../../x", "a//b"} {
		if _, err := tg.Open(t.Context(), p); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Open(%q) = %v, want fs.ErrInvalid", p, err)
		}
	}
}

func TestAFolderThatCannotBeWrittenSaysSo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.New(filepath.Join(file, "dataset")); err == nil || !strings.Contains(err.Error(), "folder of the dataset") {
		t.Errorf("New below a file = %v, want an error about the folder", err)
	}
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.New(closed); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("New in a closed folder = %v, want fs.ErrPermission", err)
	}
}
