package parquet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

var errKilled = errors.New("killed")

// mortal is a target whose process dies at one step: before it, after it, or in
// the middle of a publish, when a temporary file lies there half written.
type mortal struct {
	parquet.Target
	root  string
	left  int // steps until death
	after bool
	torn  bool
	dead  bool
}

func (m *mortal) step(do func() error, path string) error {
	if m.dead {
		return errKilled
	}
	if m.left--; m.left > 0 {
		return do()
	}
	m.dead = true
	if m.after {
		_ = do()
	}
	if m.torn {
		name := filepath.Join(m.root, filepath.FromSlash(path)+".tmp")
		_ = os.MkdirAll(filepath.Dir(name), 0o750)
		_ = os.WriteFile(name, []byte("PAR1 torn"), 0o600)
	}
	return errKilled
}

func (m *mortal) Publish(ctx context.Context, path, local string) error {
	return m.step(func() error { return m.Target.Publish(ctx, path, local) }, path)
}

func (m *mortal) Remove(ctx context.Context, path string) error {
	return m.step(func() error { return m.Target.Remove(ctx, path) }, path)
}

func (m *mortal) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	if m.dead {
		return nil, errKilled
	}
	return m.Target.Open(ctx, path)
}

func dayOf(values ...float64) []car {
	b := schema.ReadingBlock{VIN: vinA, Descriptor: soc}
	for i, v := range values {
		b.Append(noon.Add(time.Duration(i)*time.Second).UnixNano(), num(v))
	}
	return []car{{vin: vinA, readings: []schema.ReadingBlock{b}}}
}

// TestKilledAtAnyStep exports a first version of a day, then one with other
// readings and without gaps, and dies at each step in turn.
func TestKilledAtAnyStep(t *testing.T) {
	first := dayOf(1, 2)
	first[0].rows = map[string][]cells{"gaps": {{"time": noon, "gcid": gcid, "cause": "crash"}}}
	second := dayOf(1, 2, 3)
	wants := map[bool]map[string]string{true: finalState(t, second), false: finalState(t, first, second)}
	for _, fresh := range []bool{true, false} {
		for _, how := range []mortal{{}, {after: true}, {torn: true}} {
			for n := 1; ; n++ {
				root := t.TempDir()
				if !fresh {
					s := open(t, root, full)
					s.export(t, day, "first", first...)
					s.close(t)
				}
				m := how
				m.Target, m.root, m.left = target(t, root), root, n
				killed := run(t, &m, second)
				name := fmt.Sprintf("fresh %v, after %v, torn %v, step %d", fresh, how.after, how.torn, n)
				readable(t, name, root, fresh)
				s := open(t, root, full)
				touched := s.Touched(parquet.Partition{Table: "readings", Day: day})
				if got := len(rowsIf(t, root, part("readings"))); touched == "second" && got != 3 {
					t.Errorf("%s: the day counts as done with %d rows", name, got)
				}
				s.export(t, day, "second", second...)
				s.close(t)
				if got := contents(t, root); !maps.Equal(got, wants[fresh]) {
					t.Errorf("%s: after the second run there are %q, want %q", name, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(wants[fresh])))
				}
				clean(t, root)
				if !killed {
					break
				}
			}
		}
	}
}

func finalState(t *testing.T, days ...[]car) map[string]string {
	t.Helper()
	root := t.TempDir()
	s := open(t, root, full)
	for _, d := range days {
		s.export(t, day, "second", d...)
	}
	s.close(t)
	return contents(t, root)
}

// run exports until it is killed.
func run(t *testing.T, m *mortal, cars []car) (killed bool) {
	t.Helper()
	d, err := parquet.Open(t.Context(), m, full)
	if err != nil {
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		return true
	}
	_, err = export(t.Context(), d, day, "second", cars...)
	err = errors.Join(err, d.Close(t.Context()))
	if err != nil && !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	return err != nil
}

// readable says whether everything a reader would glob is the old file or the new.
func readable(t *testing.T, name, root string, fresh bool) {
	t.Helper()
	for path := range contents(t, root) {
		if !strings.HasSuffix(path, ".parquet") {
			continue
		}
		n := len(rows(t, root, path))
		old := map[string]int{part("readings"): 2, part("wide"): 2, part("gaps"): 1}[path]
		if n != old && n != 3 || fresh && n != 3 {
			t.Errorf("%s: %s has %d rows", name, path, n)
		}
	}
}

func rowsIf(t *testing.T, root, path string) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(path))); err != nil {
		return nil
	}
	return rows(t, root, path)
}

func TestEqualInputGivesEqualBytes(t *testing.T) {
	a, b := finalState(t, dayOf(1, 2, 3)), finalState(t, dayOf(1, 2, 3))
	if !maps.Equal(a, b) {
		t.Error("two exports of the same day differ")
	}
	if c := finalState(t, dayOf(9), dayOf(1, 2, 3)); !maps.Equal(a, c) {
		t.Error("a replaced day is not what it would have been at first")
	}
}

func TestAnEmptiedDayIsDeleted(t *testing.T) {
	s := open(t, t.TempDir(), full)
	s.export(t, day, "1", dayOf(1)...)
	if c := s.export(t, day, "1", dayOf(1)...); c.Same != 2 || c.Files != 0 || c.Rows != 2 {
		t.Errorf("the same day again: %+v, want 2 files that were there", c)
	}
	if c := s.export(t, day, "2", car{vin: vinA}); c.Removed != 2 || c.Files != 0 {
		t.Errorf("the emptied day: %+v, want 2 removed", c)
	}
	if got := s.Touched(parquet.Partition{Table: "readings", Day: day}); got != "2" {
		t.Errorf("Touched of the emptied day = %q, want 2", got)
	}
	s.close(t)
	if got := slices.Sorted(maps.Keys(contents(t, s.root))); !slices.Equal(got, []string{"_manifest.json"}) {
		t.Errorf("left are %q", got)
	}
	clean(t, s.root)
}

func TestAFailedPublishLeavesTheDayToBeDoneAgain(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, full)
	s.export(t, day, "first", dayOf(1)...)
	s.close(t)
	full2 := &fullDisk{Target: target(t, root)}
	d, err := parquet.Open(t.Context(), full2, full)
	if err != nil {
		t.Fatal(err)
	}
	full2.full = true
	if _, err := export(t.Context(), d, day, "second", dayOf(1, 2)...); !errors.Is(err, errFull) {
		t.Fatalf("export = %v, want the target's error", err)
	}
	full2.full = false
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, root, part("readings")); len(got) != 1 {
		t.Errorf("%d rows, want the old one", len(got))
	}
	s = open(t, root, full)
	if got := s.Touched(parquet.Partition{Table: "readings", Day: day}); got != "" {
		t.Errorf("Touched = %q, want the day to count as changed", got)
	}
	s.export(t, day, "second", dayOf(1, 2)...)
	s.close(t)
	clean(t, root)
}

var errFull = errors.New("no space left on device")

type fullDisk struct {
	parquet.Target
	full bool
}

func (f *fullDisk) Publish(ctx context.Context, path, local string) error {
	if f.full && strings.HasSuffix(path, ".parquet") {
		return errFull
	}
	return f.Target.Publish(ctx, path, local)
}

func TestAFullTempFolderIsAnError(t *testing.T) {
	cfg := full
	cfg.TempDir = filepath.Join(t.TempDir(), "none")
	if _, err := parquet.Open(t.Context(), target(t, t.TempDir()), cfg); err == nil {
		t.Error("Open without a temporary folder is nil")
	}
}

func TestNothingIsPublishedWithoutTheLock(t *testing.T) {
	root := t.TempDir()
	lost := make(chan struct{})
	d, err := parquet.Open(t.Context(), &leased{target(t, root), lost}, full)
	if err != nil {
		t.Fatal(err)
	}
	close(lost)
	if _, err := export(t.Context(), d, day, "1", dayOf(1)...); !errors.Is(err, parquet.ErrLost) {
		t.Errorf("export = %v, want ErrLost", err)
	}
	if err := d.Close(t.Context()); !errors.Is(err, parquet.ErrLost) {
		t.Errorf("Close = %v, want ErrLost", err)
	}
	if got := contents(t, root); len(got) != 0 {
		t.Errorf("published: %q", slices.Sorted(maps.Keys(got)))
	}
}

type leased struct {
	parquet.Target
	lost chan struct{}
}

func (l *leased) Lock(ctx context.Context) (func() error, <-chan struct{}, error) {
	unlock, _, err := l.Target.Lock(ctx)
	return unlock, l.lost, err
}

func TestOneWriterAtATime(t *testing.T) {
	s := open(t, t.TempDir(), full)
	if _, err := parquet.Open(t.Context(), target(t, s.root), full); !errors.Is(err, parquet.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("second Open = %v, want ErrLocked and who", err)
	}
}
