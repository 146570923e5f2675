package journal

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// faultyDisk is a disk whose space and sync can be taken away.
type faultyDisk struct {
	full      atomic.Bool  // no byte fits
	room      atomic.Int64 // with full: bytes of the next write that still fit
	syncFails atomic.Bool
}

func (f *faultyDisk) disk() disk {
	d := realDisk()
	d.writeAt = func(file *os.File, b []byte, off int64) (int, error) {
		if !f.full.Load() {
			return file.WriteAt(b, off)
		}
		n := int(min(f.room.Swap(0), int64(len(b))))
		if n > 0 {
			_, _ = file.WriteAt(b[:n], off)
		}
		return n, &os.PathError{Op: "write", Path: file.Name(), Err: syscall.ENOSPC}
	}
	d.sync = func(file *os.File) error {
		if f.syncFails.Load() {
			return &os.PathError{Op: "sync", Path: file.Name(), Err: syscall.EIO}
		}
		return file.Sync()
	}
	return d
}

func TestFullDiskKeepsWhatWaitsAndRecoversByItself(t *testing.T) {
	var f faultyDisk
	dir := t.TempDir()
	j, err := open(dir, Config{MaxBytes: 1 << 20, PendingBytes: 16 << 10}, f.disk())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	data := func(i int) []byte { return append(numbered(i), make([]byte, 500)...) }
	mustAppend(t, j, 10, data)
	mustFlush(t, j)

	f.room.Store(700) // the group is cut in mid-record
	f.full.Store(true)
	last := mustAppend(t, j, 5, data)
	for j.stats.WriteRetries.Load() == 0 {
		<-time.After(time.Millisecond)
	}
	refused := 0
	for range 100 { // memory fills, then it refuses and does not block
		n, err := j.Append(false, epoch, data(0))
		if errors.Is(err, ErrFull) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		last = n
	}
	if refused == 0 || refused == 100 {
		t.Errorf("%d of 100 refused, want those beyond the pending memory", refused)
	}
	if n, err := j.Append(true, epoch, []byte("control")); err != nil {
		t.Errorf("control record on a full disk = %v", err)
	} else {
		last = n
	}
	torn := copyDir(t, dir, all) // killed here, the next start finds the ten
	k := mustOpen(t, torn, Config{})
	if recs, lost := readAll(t, k, 1); len(recs) != 10 || lost != nil {
		t.Errorf("%d records after a kill on a full disk, lost %v, want 10", len(recs), lost)
	}

	f.full.Store(false)
	mustFlush(t, j)
	recs, lost := readAll(t, j, 1)
	if len(recs) != int(last) || lost != nil {
		t.Errorf("%d records after space came back, lost %v, want %d", len(recs), lost, last)
	}
	if _, err := j.Append(false, epoch, data(0)); err != nil {
		t.Errorf("Append after space came back = %v", err)
	}
}

func TestFullDiskTakesAcknowledgedSegments(t *testing.T) {
	var f faultyDisk
	j, err := open(t.TempDir(), Config{MaxBytes: 1 << 20, SegmentBytes: 10 << 10, KeepAcked: time.Hour}, f.disk())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	last := mustAppend(t, j, 60, func(int) []byte { return make([]byte, 1000) })
	mustFlush(t, j)
	if err := j.Commit(last); err != nil {
		t.Fatal(err)
	}
	if err := j.askSave(); err != nil {
		t.Fatal(err)
	}
	f.full.Store(true)
	mustAppend(t, j, 1, numbered)
	for j.stats.EarlySegments.Load() == 0 {
		<-time.After(time.Millisecond)
	}
	f.full.Store(false)
	mustFlush(t, j)
}

func TestCloseOnAFullDiskSaysWhatIsMissing(t *testing.T) {
	var f faultyDisk
	dir := t.TempDir()
	j, err := open(dir, Config{}, f.disk())
	if err != nil {
		t.Fatal(err)
	}
	f.full.Store(true)
	mustAppend(t, j, 1, numbered)
	if err := j.Close(); err == nil {
		t.Error("Close gave no error with a record unwritten")
	}
	if mustOpen(t, dir, Config{}).Clean() {
		t.Error("clean after it")
	}
}

func TestOpenOnAFullDiskStillReads(t *testing.T) {
	dir := crashed(t, 10)
	var f faultyDisk
	f.full.Store(true)
	j, err := open(dir, Config{}, f.disk())
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer j.Close()
	if recs, _ := readAll(t, j, 1); len(recs) != 10 {
		t.Errorf("%d records, want 10", len(recs))
	}
	n := mustAppend(t, j, 1, numbered)
	f.full.Store(false)
	mustFlush(t, j)
	if p, err := loadPosition(dir); err != nil || p.ceiling < n {
		t.Errorf("position %+v, %v: number %d is in a file and not reserved", p, err, n)
	}
}

func TestFailedSyncIsFinalUntilReopened(t *testing.T) {
	var f faultyDisk
	dir := t.TempDir()
	j, err := open(dir, Config{Sync: SyncAlways}, f.disk())
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, 3, numbered)
	mustFlush(t, j)
	f.syncFails.Store(true)
	mustAppend(t, j, 1, numbered)
	if err := j.Flush(t.Context()); !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("Flush = %v, want ErrBroken with the cause", err)
	}
	f.syncFails.Store(false)
	if _, err := j.Append(false, epoch); !errors.Is(err, ErrBroken) {
		t.Errorf("Append afterwards = %v, want ErrBroken", err)
	}
	r, err := j.Reader(1)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := r.Next(t.Context()); err != nil {
			t.Errorf("Next of a synced record = %v", err)
		}
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, ErrBroken) {
		t.Errorf("Next past the synced end = %v, want ErrBroken", err)
	}
	if err := j.Close(); !errors.Is(err, ErrBroken) {
		t.Errorf("Close = %v, want ErrBroken", err)
	}

	// Pages of a failed sync may look written; the next start writes them anew before it trusts them.
	rewritten := 0
	d := realDisk()
	d.writeAt = func(file *os.File, b []byte, off int64) (int, error) {
		if filepath.Ext(file.Name()) == ".seg" {
			rewritten += len(b)
		}
		return file.WriteAt(b, off)
	}
	for _, want := range []bool{true, false} {
		rewritten = 0
		j, err = open(dir, Config{}, d)
		if err != nil {
			t.Fatal(err)
		}
		if (rewritten > 0) != want || j.Clean() == want || j.Tail() < 3 {
			t.Errorf("reopened: %d bytes rewritten (want any: %v), clean %v, tail %d", rewritten, want, j.Clean(), j.Tail())
		}
		if recs, lost := readAll(t, j, 1); uint64(len(recs)) != j.Tail() || lost != nil {
			t.Errorf("%d records, lost %v, want %d", len(recs), lost, j.Tail())
		}
		mustClose(t, j)
	}
}

func TestSlowDiskHoldsAppendBackAndDropsNothing(t *testing.T) {
	gate := make(chan struct{})
	var gated atomic.Bool
	d := realDisk()
	d.writeAt = func(file *os.File, b []byte, off int64) (int, error) {
		if gated.Load() && filepath.Ext(file.Name()) == ".seg" {
			<-gate
		}
		return file.WriteAt(b, off)
	}
	j, err := open(t.TempDir(), Config{MaxBytes: 1 << 20, PendingBytes: 8 << 10}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	gated.Store(true)
	const records = 100
	done := make(chan struct{})
	go func() {
		defer close(done)
		mustAppend(t, j, records, func(int) []byte { return make([]byte, 1000) })
	}()
	for j.stats.BlockedAppends.Load() == 0 {
		<-time.After(time.Millisecond)
	}
	gated.Store(false)
	close(gate)
	<-done
	mustFlush(t, j)
	if recs, _ := readAll(t, j, 1); len(recs) != records {
		t.Errorf("%d records, want %d", len(recs), records)
	}
}
