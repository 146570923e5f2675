package auth

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStoreKeepsSetAndPrevious(t *testing.T) {
	s := newStore(t, setN(1))
	if err := s.Save(setN(2)); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, s); got != "refresh-2" {
		t.Errorf("stored = %s, want the last set", got)
	}
	prev, err := OpenStore(s.Path() + ".previous").Load()
	if err != nil || prev.RefreshToken != "refresh-1" {
		t.Errorf("previous: %v, want the set before", err)
	}
	for _, p := range []string{s.Path(), s.Path() + ".previous"} {
		fi, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s = %v, want 0600", filepath.Base(p), fi.Mode())
		}
	}
	if _, err := os.Stat(s.Path() + ".tmp"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("temporary file is left: %v", err)
	}
	b, err := os.ReadFile(s.Path())
	if err != nil || !strings.Contains(string(b), `"version": 1`) || b[len(b)-1] != '\n' {
		t.Errorf("file has no version or is not cut to its length: %q", b)
	}
}

func TestStoreRefusesLooseModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing here")
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o644, 0o601} {
		s := newStore(t, setN(1))
		if err := os.Chmod(s.Path(), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(); !errors.Is(err, ErrStoreMode) || !strings.Contains(err.Error(), "chmod 600 "+s.Path()) {
			t.Errorf("Load of a file with %v: %v, want ErrStoreMode with the remedy", mode, err)
		}
		if err := s.Save(setN(2)); !errors.Is(err, ErrStoreMode) {
			t.Errorf("Save over a file with %v: %v, want ErrStoreMode", mode, err)
		}
	}
	s := newStore(t, setN(1))
	if err := os.Chmod(filepath.Dir(s.Path()), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(); !errors.Is(err, ErrStoreMode) {
		t.Errorf("Load in a world-writable directory: %v, want ErrStoreMode", err)
	}
	if err := s.Save(setN(2)); !errors.Is(err, ErrStoreMode) {
		t.Errorf("Save in a world-writable directory: %v, want ErrStoreMode", err)
	}
	if _, err := Stores(filepath.Dir(s.Path())); !errors.Is(err, ErrStoreMode) {
		t.Errorf("Stores of a world-writable directory: %v, want ErrStoreMode", err)
	}
	if err := PrepareDir(filepath.Dir(s.Path())); !errors.Is(err, ErrStoreMode) {
		t.Errorf("PrepareDir of a world-writable directory: %v, want ErrStoreMode", err)
	}
}

func TestStoreSaysSoWhenTheFileIsBroken(t *testing.T) {
	good, err := encode(setN(1), 1)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"empty":              {},
		"torn":               good[:len(good)/2],
		"zeros":              make([]byte, 4096),
		"newer version":      []byte(strings.Replace(string(good), `"version": 1`, `"version": 2`, 1)),
		"no refresh token":   []byte(strings.Replace(string(good), "refresh-1", "", 1)),
		"no account":         []byte(strings.Replace(string(good), testGCID, "../../etc", 1)),
		"something else":     []byte(`[1,2]`),
		"two objects behind": append(good, good...),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, setN(1))
			if err := s.Save(setN(2)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.Path(), b, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := s.Load()
			if !errors.Is(err, ErrStoreBroken) || !strings.Contains(err.Error(), s.Path()) || !strings.Contains(err.Error(), "is spent") {
				t.Errorf("Load: %v, want ErrStoreBroken naming the file and the spent previous one", err)
			}
		})
	}
}

func TestStoreOnAFullDiskKeepsWhatItHas(t *testing.T) {
	s := newStore(t, setN(1))
	s.write = func(f *os.File, b []byte) (int, error) {
		n, _ := f.Write(b[:len(b)/2])
		return n, syscall.ENOSPC
	}
	err := s.Save(setN(2))
	if !errors.Is(err, ErrNotSaved) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Save: %v, want ErrNotSaved with its cause", err)
	}
	if got := stored(t, s); got != "refresh-1" {
		t.Errorf("stored = %s, want the set before", got)
	}
	s.write = (*os.File).Write
	if err := s.Save(setN(3)); err != nil || stored(t, s) != "refresh-3" {
		t.Errorf("Save with room again: %v", err)
	}
}

func TestStoreRecoversASaveCutOffBeforeTheRename(t *testing.T) {
	tests := map[string]struct {
		revision int64
		pad      int
		want     string
	}{
		"newer and complete is taken":  {2, 0, "refresh-2"},
		"newer, not yet cut, is taken": {2, 5000, "refresh-2"},
		"older is left":                {1, 0, "refresh-1"},
		"torn is left":                 {2, -40, "refresh-1"},
		"reserved but empty is left":   {0, 0, "refresh-1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, setN(1))
			b, err := encode(setN(2), tt.revision)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.revision == 0:
				b = make([]byte, reserveBytes)
			case tt.pad < 0:
				b = b[:len(b)+tt.pad]
			default:
				b = slices.Concat(b, make([]byte, tt.pad))
			}
			if err := os.WriteFile(s.Path()+".tmp", b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.recover(); err != nil {
				t.Fatal(err)
			}
			if got := stored(t, s); got != tt.want {
				t.Errorf("stored = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestStoresNamesTheBrokenAndGivesTheRest(t *testing.T) {
	dir := t.TempDir()
	ids := []string{"00000000-0000-4000-8000-000000000003", "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"}
	for _, id := range ids {
		set := setN(1)
		set.GCID = "" // filled in below
		b, err := encode(set, 1)
		if err != nil {
			t.Fatal(err)
		}
		b = []byte(strings.Replace(string(b), `"gcid": ""`, `"gcid": "`+id+`"`, 1))
		if err := os.WriteFile(filepath.Join(dir, id+".json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ids[2]+".json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "00000000-0000-4000-8000-000000000009.json")
	b, err := encode(setN(1), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{foreign, filepath.Join(dir, "notes.json"), filepath.Join(dir, ids[0]+".json.previous")} {
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stores, err := Stores(dir)
	var got []string
	for _, s := range stores {
		got = append(got, strings.TrimSuffix(filepath.Base(s.Path()), ".json"))
	}
	if strings.Join(got, " ") != ids[1]+" "+ids[0] {
		t.Errorf("Stores = %v, want the two good ones, sorted", got)
	}
	if !errors.Is(err, ErrStoreBroken) || !strings.Contains(err.Error(), ids[2]) || !strings.Contains(err.Error(), foreign) {
		t.Errorf("Stores error = %v, want both bad files named", err)
	}
	if stores, err := Stores(filepath.Join(dir, "missing")); len(stores) != 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stores of a missing directory = %v, %v", stores, err)
	}
}

func TestStoreLockHoldsBetweenStores(t *testing.T) {
	s := newStore(t, setN(1))
	unlock, err := s.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
	defer cancel()
	if _, err := OpenStore(s.Path()).Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second Lock: %v, want to wait for the first", err)
	}
	unlock()
	again, err := OpenStore(s.Path()).Lock(t.Context())
	if err != nil {
		t.Fatalf("Lock after unlock: %v", err)
	}
	again()
}
