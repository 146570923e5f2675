package journal

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// openInBubble is mustOpen without a test cleanup, which would run outside the bubble.
func openInBubble(t *testing.T, dir string, cfg Config) *Journal {
	t.Helper()
	j, err := Open(dir, cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return j
}

func TestCommittedSegmentsGoAfterKeepAckedAndOthersStay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := openInBubble(t, dir, Config{MaxBytes: 1 << 20, SegmentBytes: 10 << 10, KeepAcked: 15 * time.Minute})
		defer j.Close()
		data := make([]byte, 1000)
		last := mustAppend(t, j, 50, func(int) []byte { return data })
		mustFlush(t, j)
		if err := j.Commit(last / 2); err != nil {
			t.Fatal(err)
		}
		advance(t, 14*time.Minute)
		if j.First() != 1 {
			t.Errorf("First = %d within KeepAcked, want 1", j.First())
		}
		advance(t, 2*time.Minute)
		if f := j.First(); f == 1 || f > last/2+1 {
			t.Errorf("First = %d after KeepAcked with %d committed", f, last/2)
		}
		if recs, lost := readAll(t, j, last/2+1); len(recs) != int(last-last/2) || lost != nil {
			t.Errorf("%d uncommitted records kept, lost %v, want %d", len(recs), lost, last-last/2)
		}
		if err := j.Commit(last); err != nil {
			t.Fatal(err)
		}
		advance(t, 2*time.Second)
		if names, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(names) != 0 || j.Size() != 0 {
			t.Errorf("%v left, size %d, want nothing: all is committed and old", names, j.Size())
		}
		if n := mustAppend(t, j, 1, numbered); n != last+1 || j.First() != last+1 {
			t.Errorf("next number %d, first %d, want %d", n, j.First(), last+1)
		}
	})
}

// advance lets fake time pass.
func advance(t *testing.T, d time.Duration) {
	t.Helper()
	<-time.After(d)
	synctest.Wait()
}

func TestQuietJournalLetsGoOfItsPast(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := openInBubble(t, dir, Config{KeepAcked: 10 * time.Minute})
		defer j.Close()
		for range 60 { // a heartbeat a minute, in a segment that would never fill
			last := mustAppend(t, j, 1, numbered)
			mustFlush(t, j)
			if err := j.Commit(last); err != nil {
				t.Fatal(err)
			}
			advance(t, time.Minute)
		}
		if kept := j.Tail() - j.First(); kept > 22 {
			t.Errorf("%d minutes kept, want about twice KeepAcked at most", kept)
		}
	})
}

func TestThePositionSurvivesAKillAboutASecondLater(outer *testing.T) {
	dir := outer.TempDir()
	var copied string
	synctest.Test(outer, func(t *testing.T) {
		j := openInBubble(t, dir, Config{})
		defer j.Close()
		mustAppend(t, j, 10, numbered)
		mustFlush(t, j)
		if err := j.Commit(6); err != nil {
			t.Fatal(err)
		}
		advance(t, 1100*time.Millisecond)
		copied = copyDir(outer, dir, all)
	})
	j := mustOpen(outer, copied, Config{})
	if j.Committed() != 6 || j.Clean() {
		outer.Errorf("committed %d, clean %v, want 6 and not clean", j.Committed(), j.Clean())
	}
}

func TestRewindGoesBackByTimeAndNeverForward(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := openInBubble(t, dir, Config{MaxBytes: 1 << 20, SegmentBytes: 8 << 10, KeepAcked: time.Hour})
		defer j.Close()
		for range 60 { // a record a minute
			if _, err := j.Append(false, time.Now(), make([]byte, 500)); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Minute)
		}
		mustFlush(t, j)
		if n, err := j.Rewind(time.Hour); n != 0 || err != nil {
			t.Errorf("Rewind with nothing committed = %d, %v, want 0", n, err)
		}
		if err := j.Commit(50); err != nil {
			t.Fatal(err)
		}
		// Record n was appended 61-n minutes ago.
		for _, c := range []struct {
			back time.Duration
			want uint64
		}{{5 * time.Minute, 50}, {15*time.Minute + time.Second, 45}, {10 * time.Minute, 45}, {30*time.Minute + time.Second, 30}, {24 * time.Hour, 0}} {
			if n, err := j.Rewind(c.back); n != c.want || err != nil {
				t.Errorf("Rewind(%v) = %d, %v, want %d", c.back, n, err, c.want)
			}
		}
		if recs, lost := readAll(t, j, j.Committed()+1); len(recs) != 60 || lost != nil {
			t.Errorf("%d records after the last rewind, lost %v, want 60", len(recs), lost)
		}
		if err := j.Commit(60); err != nil {
			t.Errorf("Commit after a rewind = %v", err)
		}
	})
}

func TestRewindStopsAtTheFirstRecordKept(t *testing.T) {
	dir, _, last := sealedSegments(t)
	j := mustOpen(t, dir, Config{MaxBytes: 1 << 20, SegmentBytes: 10 << 10})
	if err := j.Commit(last); err != nil {
		t.Fatal(err)
	}
	j.deleteAckedFromTest(25 << 10)
	first := j.First()
	if first == 1 {
		t.Fatal("nothing deleted")
	}
	if n, err := j.Rewind(10 * 365 * 24 * time.Hour); n != first-1 || err != nil {
		t.Errorf("Rewind = %d, %v, want %d", n, err, first-1)
	}
	if recs, lost := readAll(t, j, j.Committed()+1); lost != nil || recs[0].Number != first {
		t.Errorf("reading starts at %d, lost %v, want %d", recs[0].Number, lost, first)
	}
}

func (j *Journal) deleteAckedFromTest(bytes int64) { j.deleteAcked(bytes) }

func TestScanFoldsInOrderAndEndsWithTheFunctionsError(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Config{})
	mustAppend(t, j, 10, numbered)
	mustFlush(t, j)
	stop := errors.New("enough")
	var seen []uint64
	err := j.Scan(4, func(r Record) error {
		if seen = append(seen, r.Number); r.Number == 8 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || len(seen) != 5 || seen[0] != 4 {
		t.Errorf("Scan = %v after %v", err, seen)
	}
}
