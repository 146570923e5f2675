package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A flipped bit anywhere costs at most the record it is in, never delivers a
// wrong one, and is reported unless it is in the last record, which looks torn.
func TestBitFlipsNeverDeliverAWrongRecord(t *testing.T) {
	dir := crashed(t, 6)
	path, size := onlySegment(t, dir)
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for off := range size {
		flipped := copyDir(t, dir, all)
		b := append([]byte(nil), intact...)
		b[off] ^= 1 << (off % 8)
		if err := os.WriteFile(filepath.Join(flipped, filepath.Base(path)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		j := openUnsynced(t, flipped, Config{})
		recs, lost := readAll(t, j, 1)
		want := 5
		if off < segmentHeaderBytes {
			want = 6
		}
		if len(recs) != want {
			t.Errorf("flip at %d: %d records, want %d", off, len(recs), want)
		}
		for _, r := range recs {
			if r.text != string(numbered(int(r.Number-1))) {
				t.Errorf("flip at %d: record %d is %q", off, r.Number, r.text)
			}
		}
		if recs[len(recs)-1].Number == 6 && want == 5 {
			if len(lost) != 1 || lost[0].Next-lost[0].Number != 1 {
				t.Errorf("flip at %d: reported %v, want one record lost", off, lost)
			}
			if aside, _ := filepath.Glob(filepath.Join(flipped, "*.corrupt")); len(aside) != 1 {
				t.Errorf("flip at %d: put aside %v, want one file", off, aside)
			}
		}
		mustClose(t, j)
	}
}

// sealedSegments gives a directory with several sealed segments of ten 1 kB records or so.
func sealedSegments(tb testing.TB) (dir string, names []string, last uint64) {
	tb.Helper()
	j := mustOpen(tb, tb.TempDir(), Config{MaxBytes: 1 << 20, SegmentBytes: 10 << 10})
	last = mustAppend(tb, j, 100, func(i int) []byte { return append(numbered(i), make([]byte, 1000)...) })
	mustClose(tb, j)
	dir = copyDir(tb, j.dir, all)
	names, _ = filepath.Glob(filepath.Join(dir, "*.seg"))
	if len(names) < 5 {
		tb.Fatalf("only %d segments", len(names))
	}
	return dir, names, last
}

func TestDamageInTheMiddleIsReportedOnceAndReadingGoesOn(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, path string){
		"a record overwritten": func(t *testing.T, path string) {
			t.Helper()
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(make([]byte, 600), 3000); err != nil {
				t.Fatal(err)
			}
		},
		"cut inside a record": func(t *testing.T, path string) {
			t.Helper()
			if err := os.Truncate(path, 5000); err != nil {
				t.Fatal(err)
			}
		},
		"cut to its header": func(t *testing.T, path string) {
			t.Helper()
			if err := os.Truncate(path, segmentHeaderBytes); err != nil {
				t.Fatal(err)
			}
		},
		"emptied": func(t *testing.T, path string) {
			t.Helper()
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		},
		"removed": func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, names, last := sealedSegments(t)
			harm(t, names[2])
			j := mustOpen(t, dir, Config{MaxBytes: 1 << 20, SegmentBytes: 10 << 10})
			recs, lost := readAll(t, j, 1)
			if len(lost) != 1 {
				t.Fatalf("reported %v, want one place", lost)
			}
			missing := lost[0].Next - lost[0].Number
			if uint64(len(recs))+missing != last || j.Stats().LostRecords.Load() != int64(missing) {
				t.Errorf("%d read and %d reported lost, want %d together", len(recs), missing, last)
			}
			for _, r := range recs {
				if r.Number >= lost[0].Number && r.Number < lost[0].Next {
					t.Errorf("record %d delivered, and reported lost", r.Number)
				}
			}
			if recs[len(recs)-1].Number != last {
				t.Errorf("reading ended at %d, want %d", recs[len(recs)-1].Number, last)
			}
			scanned := 0
			if err := j.Scan(1, func(Record) error { scanned++; return nil }); err != nil || scanned != len(recs) {
				t.Errorf("Scan gave %d records, %v, want %d", scanned, err, len(recs))
			}
		})
	}
}

func TestRecordsMissingAfterAnOrderlyCloseAreReported(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Config{})
	mustAppend(t, j, 10, numbered)
	mustClose(t, j)
	path, size := onlySegment(t, j.dir)
	if err := os.Truncate(path, size-40); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, j.dir, Config{})
	mustAppend(t, j, 1, numbered)
	mustFlush(t, j)
	recs, lost := readAll(t, j, 1)
	if len(lost) != 1 || lost[0].Next != 11 || uint64(len(recs)) != 1+lost[0].Number-1 {
		t.Errorf("%d records, reported %v", len(recs), lost)
	}
}

func TestDamageInTheActiveSegmentIsSkippedWhileItGrows(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Config{})
	mustAppend(t, j, 10, numbered)
	mustFlush(t, j)
	path, size := onlySegment(t, j.dir)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("damaged"), size-8); err != nil {
		t.Fatal(err)
	}
	r, err := j.Reader(1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 9 {
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, err = r.Next(t.Context())
	if c, ok := errors.AsType[*CorruptError](err); !ok || c.Number != 10 || c.Next != 11 {
		t.Fatalf("Next on the damage = %v", err)
	}
	if _, ok, err := r.TryNext(); ok || err != nil {
		t.Fatalf("TryNext behind it = %v, %v, want nothing", ok, err)
	}
	mustAppend(t, j, 1, numbered)
	if rec, err := r.Next(t.Context()); err != nil || rec.Number != 11 {
		t.Errorf("Next after an append = %d, %v, want 11", rec.Number, err)
	}
}
