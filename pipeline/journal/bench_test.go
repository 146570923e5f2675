package journal

import (
	"fmt"
	"testing"
	"time"
)

const benchRecord = 270 // bytes of a usual message

// appendDraining commits as it goes, so that the journal stays within its bytes.
func appendDraining(j *Journal, topic, payload []byte, at time.Time) error {
	n, err := j.Append(false, at, topic, payload)
	if err == nil && n%(1<<16) == 0 {
		err = j.Commit(j.Tail())
	}
	return err
}

func BenchmarkJournalAppend(b *testing.B) {
	topic, payload := make([]byte, 54), make([]byte, benchRecord-54)
	for _, goroutines := range []int{1, 4} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			j := mustOpen(b, b.TempDir(), Config{MaxBytes: 4 << 30, SyncInterval: 50 * time.Millisecond})
			at := time.Now()
			b.SetBytes(benchRecord)
			b.ReportAllocs()
			b.SetParallelism(goroutines)
			b.ResetTimer()
			if goroutines == 1 {
				for b.Loop() {
					if err := appendDraining(j, topic, payload, at); err != nil {
						b.Fatal(err)
					}
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := appendDraining(j, topic, payload, at); err != nil {
							b.Error(err)
						}
					}
				})
			}
			if err := j.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(j.stats.WrittenGroups.Load()), "groups")
			b.ReportMetric(float64(j.stats.Syncs.Load()), "syncs")
		})
	}
}

// fill writes that many bytes of usual records and closes the journal.
func fill(tb testing.TB, dir string, bytes int64) (last uint64) {
	tb.Helper()
	j := mustOpen(tb, dir, Config{MaxBytes: 4 << 30})
	data := make([]byte, benchRecord)
	for j.Size() < bytes {
		last = mustAppend(tb, j, 1000, func(int) []byte { return data })
	}
	mustClose(tb, j)
	return last
}

func BenchmarkJournalRead(b *testing.B) {
	dir := b.TempDir()
	last := fill(b, dir, 256<<20)
	j := mustOpen(b, dir, Config{MaxBytes: 4 << 30})
	r, err := j.Reader(1)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchRecord)
	b.ReportAllocs()
	for b.Loop() {
		rec, err := r.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if rec.Number == last {
			_ = r.Close()
			if r, err = j.Reader(1); err != nil {
				b.Fatal(err)
			}
		}
	}
	_ = r.Close()
}

// openToFirst opens an unclean journal and reads its first uncommitted record.
func openToFirst(tb testing.TB, dir string, committed uint64) *Journal {
	tb.Helper()
	if err := realDisk().savePosition(dir, position{committed: committed, ceiling: 1 << 40}); err != nil {
		tb.Fatal(err)
	}
	j := mustOpen(tb, dir, Config{MaxBytes: 4 << 30})
	r, err := j.Reader(j.Committed() + 1)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	if rec, err := r.Next(tb.Context()); err != nil || rec.Number != committed+1 {
		tb.Fatalf("first record %d, %v, want %d", rec.Number, err, committed+1)
	}
	return j
}

func TestRestartIsQuickHoweverMuchIsKept(t *testing.T) {
	dir := t.TempDir()
	last := fill(t, dir, 48<<20)
	start := time.Now()
	j := openToFirst(t, dir, last/2)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("first record after %v, want under 2 s", d)
	}
	if j.Tail() != last {
		t.Errorf("tail %d, want %d", j.Tail(), last)
	}
}

func BenchmarkJournalRestart1GiB(b *testing.B) {
	dir := b.TempDir()
	last := fill(b, dir, 1<<30)
	for b.Loop() {
		mustClose(b, openToFirst(b, dir, last/2))
	}
}
