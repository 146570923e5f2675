package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var epoch = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

func mustOpen(tb testing.TB, dir string, cfg Config) *Journal {
	tb.Helper()
	j, err := Open(dir, cfg)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(func() { _ = j.Close() })
	return j
}

func mustAppend(tb testing.TB, j *Journal, n int, data func(i int) []byte) (last uint64) {
	tb.Helper()
	for i := range n {
		number, err := j.Append(false, epoch.Add(time.Duration(i)*time.Second), data(i))
		if err != nil {
			tb.Fatalf("Append %d: %v", i, err)
		}
		last = number
	}
	return last
}

func mustFlush(tb testing.TB, j *Journal) {
	tb.Helper()
	if err := j.Flush(tb.Context()); err != nil {
		tb.Fatalf("Flush: %v", err)
	}
}

func mustClose(tb testing.TB, j *Journal) {
	tb.Helper()
	if err := j.Close(); err != nil {
		tb.Fatalf("Close: %v", err)
	}
}

// got is a Record that keeps its data.
type got struct {
	Record
	text string
}

// readAll reads what is there, with the damage that was reported on the way.
func readAll(tb testing.TB, j *Journal, from uint64) (recs []got, lost []*CorruptError) {
	tb.Helper()
	r, err := j.Reader(from)
	if err != nil {
		tb.Fatalf("Reader: %v", err)
	}
	defer r.Close()
	for {
		rec, ok, err := r.TryNext()
		if c, isCorrupt := errors.AsType[*CorruptError](err); isCorrupt {
			lost = append(lost, c)
			continue
		}
		if err != nil {
			tb.Fatalf("TryNext: %v", err)
		}
		if !ok {
			return recs, lost
		}
		recs = append(recs, got{rec, string(rec.Data)})
	}
}

func numbered(i int) []byte { return fmt.Appendf(nil, "record %d", i) }

func TestRoundTripKeepsEverythingAcrossReopen(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Config{})
	if !j.Clean() || j.Tail() != 0 || j.First() != 1 || !j.LastAt().IsZero() {
		t.Errorf("new journal: clean %v, tail %d, first %d, last at %v", j.Clean(), j.Tail(), j.First(), j.LastAt())
	}
	at := epoch.Add(123456789 * time.Nanosecond)
	if n, err := j.Append(true, at, []byte("head "), nil, []byte("tail")); n != 1 || err != nil {
		t.Fatalf("Append = %d, %v, want 1", n, err)
	}
	if n, err := j.Append(false, at.Add(time.Second)); n != 2 || err != nil {
		t.Fatalf("Append of nothing = %d, %v, want 2", n, err)
	}
	big := strings.Repeat("x", 1<<20)
	if _, err := j.Append(false, at.Add(2*time.Second), []byte(big)); err != nil {
		t.Fatalf("Append of 1 MiB: %v", err)
	}
	mustClose(t, j)
	mustClose(t, j)
	if _, err := j.Append(false, at); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close = %v, want ErrClosed", err)
	}

	j = mustOpen(t, dir, Config{})
	recs, lost := readAll(t, j, 1)
	if len(recs) != 3 || lost != nil {
		t.Fatalf("read %d records, lost %v, want 3", len(recs), lost)
	}
	if r := recs[0]; r.Number != 1 || !r.Control || !r.At.Equal(at) || r.text != "head tail" {
		t.Errorf("first record = %+v", r)
	}
	if r := recs[1]; r.Number != 2 || r.Control || r.text != "" {
		t.Errorf("second record = %+v", r)
	}
	if recs[2].text != big {
		t.Errorf("third record has %d bytes, want 1 MiB as written", len(recs[2].text))
	}
	if !j.Clean() || j.Tail() != 3 || !j.LastAt().Equal(at.Add(2*time.Second)) {
		t.Errorf("reopened: clean %v, tail %d, last at %v", j.Clean(), j.Tail(), j.LastAt())
	}
	if n := mustAppend(t, j, 1, numbered); n != 4 {
		t.Errorf("number after an orderly close = %d, want 4", n)
	}
}

func TestOrderIsKeptPerGoroutine(t *testing.T) {
	const workers, each = 8, 5000
	j := mustOpen(t, t.TempDir(), Config{SegmentBytes: 64 << 10})
	r, err := j.Reader(1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var b [16]byte
			for i := range each {
				binary.LittleEndian.PutUint64(b[:], uint64(w))
				binary.LittleEndian.PutUint64(b[8:], uint64(i))
				if _, err := j.Append(false, epoch, b[:8], b[8:]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var seen [workers]uint64
	for want := uint64(1); want <= workers*each; want++ {
		rec, err := r.Next(t.Context())
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		w, i := binary.LittleEndian.Uint64(rec.Data), binary.LittleEndian.Uint64(rec.Data[8:])
		if rec.Number != want || i != seen[w] {
			t.Fatalf("record %d (want %d) of worker %d has %d, want %d", rec.Number, want, w, i, seen[w])
		}
		seen[w]++
		if tail := j.Tail(); rec.Number > tail {
			t.Fatalf("record %d read past the tail %d", rec.Number, tail)
		}
	}
	wg.Wait()
	if j.stats.CreatedSegments.Load() < 10 {
		t.Errorf("only %d segments, the test should cross many", j.stats.CreatedSegments.Load())
	}
}

func TestFullRefusesKeepsTheReserveAndAcceptsAgainBelow80Percent(t *testing.T) {
	cfg := Config{MaxBytes: 256 << 10, ReserveBytes: 32 << 10}
	j := mustOpen(t, t.TempDir(), cfg)
	data := make([]byte, 1000)
	var taken uint64
	for {
		n, err := j.Append(false, epoch, data)
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = n
	}
	if size := j.Size(); size < 200<<10 || size > 224<<10 {
		t.Errorf("full at %d bytes, want just under 224 KiB", size)
	}
	if !j.Full() {
		t.Error("Full() = false after ErrFull")
	}
	if _, err := j.Append(false, epoch); !errors.Is(err, ErrFull) {
		t.Errorf("an empty record while full = %v, want ErrFull", err)
	}
	controls := 0
	for ; ; controls++ {
		if _, err := j.Append(true, epoch, data); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if controls < 20 {
		t.Errorf("%d control records of 1 KB fit the reserve of 32 KiB, want at least 20", controls)
	}
	mustFlush(t, j)
	if size := dirBytes(t, j.dir); size > cfg.MaxBytes {
		t.Errorf("%d bytes on disk, over the limit %d", size, cfg.MaxBytes)
	}

	// Freed one by one, it stays shut until less than 80 % is used.
	for n := uint64(1); j.Full(); n++ {
		if n > taken {
			t.Fatal("still full with all committed")
		}
		if used := j.used(); used < (224<<10)*8/10 {
			t.Fatalf("still full at %d bytes", used)
		}
		if err := j.Commit(n); err != nil {
			t.Fatal(err)
		}
	}
	if used := j.used(); used >= (224<<10)*8/10 {
		t.Errorf("accepts again at %d bytes, want under 80 %%", used)
	}
	if _, err := j.Append(false, epoch, data); err != nil {
		t.Errorf("Append after the drain = %v", err)
	}
	recs, lost := readAll(t, j, j.Committed()+1)
	if want := int(taken) + controls - int(j.Committed()); len(recs) < want || lost != nil {
		t.Errorf("kept %d records (lost %v), want %d", len(recs), lost, want)
	}
}

func (j *Journal) used() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.usedLocked()
}

func dirBytes(tb testing.TB, dir string) (sum int64) {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, n := range names {
		info, err := os.Stat(n)
		if err != nil {
			tb.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

func TestEndlessStreamStaysWithinTheLimitWhenDrained(t *testing.T) {
	cfg := Config{MaxBytes: 256 << 10, KeepAcked: time.Hour}
	j := mustOpen(t, t.TempDir(), cfg)
	data := make([]byte, 900)
	var last uint64
	for range 20 {
		last = mustAppend(t, j, 100, func(int) []byte { return data })
		mustFlush(t, j)
		if err := j.Commit(last); err != nil {
			t.Fatal(err)
		}
		if size := dirBytes(t, j.dir); size > cfg.MaxBytes {
			t.Fatalf("%d bytes on disk, limit %d", size, cfg.MaxBytes)
		}
	}
	if j.stats.EarlySegments.Load() == 0 {
		t.Error("no segment was given up early, though KeepAcked is longer than the test")
	}
	if j.stats.RefusedRecords.Load() != 0 {
		t.Error("records refused although all was acknowledged")
	}
}

// Writers outrun a reader that commits as it goes, in a journal far smaller than
// what passes through: every accepted record comes once, in order.
func TestNothingAcceptedIsLostUnderPressure(t *testing.T) {
	const workers, each = 4, 1000
	j := mustOpen(t, t.TempDir(), Config{MaxBytes: 128 << 10, KeepAcked: time.Hour, SyncInterval: time.Millisecond})
	r, err := j.Reader(1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			data := make([]byte, 200)
			for range each {
				for {
					_, err := j.Append(false, epoch, data)
					if err == nil {
						break
					}
					if !errors.Is(err, ErrFull) {
						t.Error(err)
						return
					}
					<-time.After(time.Millisecond)
				}
			}
		})
	}
	for want := uint64(1); want <= workers*each; want++ {
		rec, err := r.Next(t.Context())
		if err != nil || rec.Number != want {
			t.Fatalf("Next = %d, %v, want %d", rec.Number, err, want)
		}
		if want%100 == 0 {
			if err := j.Commit(want); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	if j.stats.DeletedSegments.Load() == 0 {
		t.Error("no segment deleted, the test should press harder")
	}
}

func TestTooLargeRecordsAreRefused(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Config{MaxBytes: 64 << 10})
	if _, err := j.Append(false, epoch, make([]byte, 64<<10)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Append = %v, want ErrTooLarge", err)
	}
	if n, err := j.Append(false, epoch, make([]byte, 4<<10)); n != 1 || err != nil {
		t.Errorf("Append after it = %d, %v, want number 1", n, err)
	}
}

func TestCommitIsMonotoneAndNeverPassesTheSyncedEnd(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Config{Sync: SyncInterval, SyncInterval: time.Hour})
	last := mustAppend(t, j, 10, numbered)
	if err := j.Commit(last); !errors.Is(err, ErrNotSynced) {
		t.Errorf("Commit of unsynced records = %v, want ErrNotSynced", err)
	}
	mustFlush(t, j)
	for _, n := range []uint64{3, 7, 5, 0} {
		if err := j.Commit(n); err != nil {
			t.Errorf("Commit(%d) = %v", n, err)
		}
	}
	if c := j.Committed(); c != 7 {
		t.Errorf("Committed = %d, want 7", c)
	}
	if err := j.Commit(last + 1); !errors.Is(err, ErrNotSynced) {
		t.Errorf("Commit past the tail = %v, want ErrNotSynced", err)
	}
	mustClose(t, j)
	if c := mustOpen(t, dir, Config{}).Committed(); c != 7 {
		t.Errorf("Committed after reopening = %d, want 7", c)
	}
}

func TestReaderNeverPassesTheSyncedEnd(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Config{SyncInterval: time.Hour})
	mustAppend(t, j, 5, numbered)
	waitWritten(t, j, 5)
	if recs, _ := readAll(t, j, 1); len(recs) != 0 {
		t.Errorf("%d records readable before the sync, want 0", len(recs))
	}
	mustFlush(t, j)
	if recs, _ := readAll(t, j, 1); len(recs) != 5 {
		t.Errorf("%d records readable after the sync, want 5", len(recs))
	}
}

// waitWritten waits until that number is in a file.
func waitWritten(tb testing.TB, j *Journal, number uint64) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		j.mu.Lock()
		written := j.written
		j.mu.Unlock()
		if written >= number {
			return
		}
		select {
		case <-tick.C:
		case <-tb.Context().Done():
			tb.Fatal("never written")
		}
	}
}

func TestUnderSyncNeverReadersSeeWhatIsWritten(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Config{Sync: SyncNever})
	mustAppend(t, j, 5, numbered)
	mustFlush(t, j)
	if recs, _ := readAll(t, j, 1); len(recs) != 5 {
		t.Errorf("%d records readable, want 5", len(recs))
	}
	if n := j.stats.Syncs.Load(); n != 0 {
		t.Errorf("%d syncs, want 0", n)
	}
}

func TestNextWaitsEndsWithCtxAndAfterClose(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Config{Sync: SyncAlways})
	r, err := j.Reader(1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with ended ctx = %v, want context.Canceled", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		rec, err := r.Next(t.Context())
		if err != nil || string(rec.Data) != "record 0" {
			t.Errorf("Next = %q, %v", rec.Data, err)
		}
		if _, err = r.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Next at the end of a closed journal = %v, want ErrClosed", err)
		}
	})
	mustAppend(t, j, 1, numbered)
	mustFlush(t, j)
	mustClose(t, j)
	wg.Wait()
}

func TestOneProcessHoldsTheDirectory(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Config{})
	if _, err := Open(dir, Config{}); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open = %v, want ErrLocked", err)
	}
	mustClose(t, j)
	mustClose(t, mustOpen(t, dir, Config{}))
}

func TestConfigFaultsAreRefused(t *testing.T) {
	for name, cfg := range map[string]Config{
		"negative limit": {MaxBytes: -1},
		"tiny limit":     {MaxBytes: 1000},
		"unknown policy": {Sync: 9},
		"negative wait":  {GroupWait: -1},
	} {
		if _, err := Open(t.TempDir(), cfg); err == nil {
			t.Errorf("%s: Open gave no error", name)
		}
	}
}

func TestAppendAndNextAllocateNothing(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Config{GroupWait: time.Hour, GroupBytes: 1 << 30})
	payload, topic := make([]byte, 250), []byte("0000/WBY00000000000001")
	for range 2 { // both buffers of the double buffer grow once
		mustAppend(t, j, 3000, func(int) []byte { return payload })
		mustFlush(t, j)
	}
	if n := testing.AllocsPerRun(2000, func() {
		if _, err := j.Append(false, epoch, topic, payload); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Append allocates %v times", n)
	}
	mustFlush(t, j)
	r, err := j.Reader(1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n := testing.AllocsPerRun(5000, func() {
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Next allocates %v times", n)
	}
}
