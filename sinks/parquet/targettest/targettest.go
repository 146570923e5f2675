// Package targettest holds what every target of datasets must do.
package targettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// Suite makes targets for one kind of place.
type Suite struct {
	// New gives an empty place: each call of open is another process's view of it.
	New func(t *testing.T) (open func(t *testing.T) parquet.Target)
}

const part = "readings/date=2026-11-24/part-0.parquet"

// Run holds the target to its contract.
func Run(t *testing.T, s Suite) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, s Suite){
		"what was published is read back":              publishes,
		"publishing again replaces":                    replaces,
		"a local file may go after publishing":         keepsNoReference,
		"no such object is fs.ErrNotExist":             missing,
		"removing leaves the others":                   removes,
		"a list has all below a folder and no others":  lists,
		"a list ends with the error of its function":   listEnds,
		"one writer at a time":                         locks,
		"different paths at the same time":             concurrent,
		"a reader sees the old object or the new one":  whole,
		"a failed publish leaves the old object":       failedPublish,
		"a cancelled context publishes nothing":        cancelled,
		"hidden names of the dataset are kept as well": hidden,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

func (s Suite) one(t *testing.T) parquet.Target {
	t.Helper()
	return s.New(t)(t)
}

func local(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "local")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func put(t *testing.T, tg parquet.Target, path string, content []byte) {
	t.Helper()
	if err := tg.Publish(t.Context(), path, local(t, content)); err != nil {
		t.Fatalf("Publish(%s): %v", path, err)
	}
}

func get(ctx context.Context, tg parquet.Target, path string) ([]byte, error) {
	r, err := tg.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func want(t *testing.T, tg parquet.Target, path string, content []byte) {
	t.Helper()
	b, err := get(t.Context(), tg, path)
	if err != nil || !bytes.Equal(b, content) {
		t.Fatalf("%s has %d bytes (%v), want %d", path, len(b), err, len(content))
	}
}

func list(t *testing.T, tg parquet.Target, prefix string) map[string]int64 {
	t.Helper()
	found := make(map[string]int64)
	if err := tg.List(t.Context(), prefix, func(p string, n int64) error {
		found[p] = n
		return nil
	}); err != nil {
		t.Fatalf("List(%q): %v", prefix, err)
	}
	return found
}

func publishes(t *testing.T, s Suite) {
	t.Helper()
	open := s.New(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for path, content := range map[string][]byte{
		part: []byte("PAR1"), "_manifest.json": []byte("{}"), "catalogue/part-0.parquet": big,
		"wide/date=2026-11-24/vin=WBY00000000000001/part-0.parquet": nil,
	} {
		put(t, open(t), path, content)
		want(t, open(t), path, content)
	}
}

func replaces(t *testing.T, s Suite) {
	t.Helper()
	tg := s.one(t)
	put(t, tg, part, []byte("the first, which is longer"))
	put(t, tg, part, []byte("the second"))
	want(t, tg, part, []byte("the second"))
	if found := list(t, tg, ""); len(found) != 1 || found[part] != 10 {
		t.Errorf("List = %v, want the one object of 10 bytes", found)
	}
}

func keepsNoReference(t *testing.T, s Suite) {
	t.Helper()
	tg := s.one(t)
	name := local(t, []byte("content"))
	if err := tg.Publish(t.Context(), part, name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal("Publish must leave the local file:", err)
	}
	want(t, tg, part, []byte("content"))
}

func missing(t *testing.T, s Suite) {
	t.Helper()
	tg := s.one(t)
	if _, err := get(t.Context(), tg, part); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing = %v, want fs.ErrNotExist", err)
	}
	if err := tg.Remove(t.Context(), part); err != nil {
		t.Errorf("Remove of nothing = %v, want nil", err)
	}
	if found := list(t, tg, "readings"); len(found) != 0 {
		t.Errorf("List of nothing = %v", found)
	}
	if err := tg.Publish(t.Context(), part, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("Publish of no local file is nil")
	}
}

func removes(t *testing.T, s Suite) {
	t.Helper()
	tg := s.one(t)
	other := "readings/date=2026-11-25/part-0.parquet"
	put(t, tg, part, []byte("one"))
	put(t, tg, other, []byte("two"))
	for range 2 {
		if err := tg.Remove(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := get(t.Context(), tg, part); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open after Remove = %v, want fs.ErrNotExist", err)
	}
	want(t, tg, other, []byte("two"))
	put(t, tg, part, []byte("three"))
	want(t, tg, part, []byte("three"))
}

func lists(t *testing.T, s Suite) {
	t.Helper()
	tg := s.one(t)
	all := []string{
		"_manifest.json", "readings/date=2026-11-24/part-0.parquet", "readings/date=2026-11-25/part-0.parquet",
		"readings/date=2026-11-24/vin=A/part-0.parquet", "readings_old/date=2026-11-24/part-0.parquet",
	}
	for _, p := range all {
		put(t, tg, p, []byte(p))
	}
	for prefix, paths := range map[string][]string{
		"":                         all,
		"readings":                 all[1:4],
		"readings/date=2026-11-24": {all[1], all[3]},
		"readings/date=2026-11-2":  nil,
		"nothing":                  nil,
	} {
		found := list(t, tg, prefix)
		if got, want := slices.Sorted(maps.Keys(found)), slices.Sorted(slices.Values(paths)); !slices.Equal(got, want) {
			t.Errorf("List(%q) = %q, want %q", prefix, got, want)
		}
		for p, n := range found {
			if n != int64(len(p)) {
				t.Errorf("List(%q): %s has %d bytes, want %d", prefix, p, n, len(p))
			}
		}
	}
}

func listEnds(t *testing.T, s Suite) {
	t.Helper()
	tg := s.one(t)
	put(t, tg, part, nil)
	put(t, tg, "_manifest.json", nil)
	enough, calls := errors.New("enough"), 0
	err := tg.List(t.Context(), "", func(string, int64) error {
		calls++
		return enough
	})
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("List = %v after %d calls, want the function's error after 1", err, calls)
	}
}

func locks(t *testing.T, s Suite) {
	t.Helper()
	open := s.New(t)
	unlock, lost, err := open(t).Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := open(t).Lock(t.Context()); !errors.Is(err, parquet.ErrLocked) || len(err.Error()) <= len(parquet.ErrLocked.Error()) {
		t.Errorf("second Lock = %v, want ErrLocked and who holds it", err)
	}
	select {
	case <-lost:
		t.Error("the lock is lost while it is held")
	default:
	}
	for range 2 {
		if err := unlock(); err != nil {
			t.Errorf("unlock = %v", err)
		}
	}
	again, _, err := open(t).Lock(t.Context())
	if err != nil {
		t.Fatalf("Lock after unlock = %v", err)
	}
	if err := unlock(); err != nil { // an old unlock must not free the new lock
		t.Errorf("third unlock = %v", err)
	}
	if _, _, err := open(t).Lock(t.Context()); !errors.Is(err, parquet.ErrLocked) {
		t.Errorf("Lock while the second holder has it = %v, want ErrLocked", err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
}

func concurrent(t *testing.T, s Suite) {
	t.Helper()
	tg := s.one(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	names := make([]string, len(errs))
	for i := range errs {
		names[i] = local(t, []byte(fmt.Sprint("content ", i)))
		wg.Go(func() {
			p := fmt.Sprintf("readings/date=2026-11-24/vin=%d/part-0.parquet", i)
			for range 5 {
				errs[i] = errors.Join(errs[i], tg.Publish(t.Context(), p, names[i]))
			}
			if i%2 == 1 {
				errs[i] = errors.Join(errs[i], tg.Remove(t.Context(), p))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if found := list(t, tg, ""); len(found) != len(errs)/2 {
		t.Errorf("List = %v, want %d objects", found, len(errs)/2)
	}
}

// whole reads while another writes: no mixture, no part, no absence.
func whole(t *testing.T, s Suite) {
	t.Helper()
	open := s.New(t)
	a, b := bytes.Repeat([]byte{'a'}, 300_000), bytes.Repeat([]byte{'b'}, 200_000)
	writer, reader := open(t), open(t)
	put(t, writer, part, a)
	files := []string{local(t, a), local(t, b)}
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20 {
			failed = errors.Join(failed, writer.Publish(t.Context(), part, files[i%2]))
		}
	})
	for range 20 {
		got, err := get(t.Context(), reader, part)
		if err != nil || !bytes.Equal(got, a) && !bytes.Equal(got, b) {
			t.Errorf("read %d bytes beginning %.3q (%v), want one object whole", len(got), got, err)
			break
		}
	}
	wg.Wait()
	if failed != nil {
		t.Error(failed)
	}
}

func failedPublish(t *testing.T, s Suite) {
	t.Helper()
	tg := s.one(t)
	put(t, tg, part, []byte("old"))
	if err := tg.Publish(t.Context(), part, t.TempDir()); err == nil {
		t.Error("Publish of a folder is nil")
	}
	want(t, tg, part, []byte("old"))
	for p := range list(t, tg, "") {
		if strings.HasSuffix(p, ".parquet") && p != part {
			t.Errorf("%s was left behind, and a reader takes it for data", p)
		}
	}
}

func cancelled(t *testing.T, s Suite) {
	t.Helper()
	tg := s.one(t)
	put(t, tg, part, []byte("old"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tg.Publish(ctx, part, local(t, bytes.Repeat([]byte("new"), 1000))); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish = %v, want context.Canceled", err)
	}
	want(t, tg, part, []byte("old"))
}

func hidden(t *testing.T, s Suite) {
	t.Helper()
	tg := s.one(t)
	for _, p := range []string{"_manifest.json", "_pending.json"} {
		put(t, tg, p, []byte(p))
		want(t, tg, p, []byte(p))
		if _, found := list(t, tg, "")[p]; !found {
			t.Errorf("List has no %s", p)
		}
	}
}
