package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Commit says that everything up to number is acknowledged. It only moves up: a
// lower number does nothing; one past the synced end is refused with ErrNotSynced. The saved
// position may lag by about a second, so that after a crash some records come
// again. Segments go when they are wholly committed and older than Config.KeepAcked.
func (j *Journal) Commit(number uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return ErrClosed
	case number > j.synced:
		return fmt.Errorf("commit journal record %d: %w", number, ErrNotSynced)
	case number <= j.committed:
		return nil
	}
	from := j.committed
	j.committed = number
	j.lateCommits = true
	for _, seg := range j.segments {
		if seg.last > number {
			break
		}
		if seg.sealed && seg.last > from {
			j.ackedBytes += seg.size
		}
	}
	j.relaxLocked()
	return nil
}

// Rewind moves the committed position back to before the first kept record that
// is at most d old (by Record.At), and gives the new position. It never moves it forward. It is for a
// broker that lost the end of its log; records then come a second time.
// Readers opened before it keep their place.
func (j *Journal) Rewind(d time.Duration) (uint64, error) {
	since := time.Now().Add(-d)
	j.mu.Lock()
	committed := j.committed
	from := j.firstLocked()
	for _, seg := range j.segments {
		if seg.touched.Before(since) && seg.sealed {
			from = seg.last + 1 // nothing young in it
			continue
		}
		break
	}
	j.mu.Unlock()
	if from > committed {
		return committed, nil
	}
	target := committed
	err := j.Scan(from, func(r Record) error {
		if r.Number <= committed && r.At.Before(since) {
			return nil
		}
		target = min(committed, r.Number-1)
		return errStopScan
	})
	if err != nil {
		return committed, fmt.Errorf("rewind journal: %w", err)
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segments) > 0 { // the keeper may have deleted meanwhile
		target = max(target, j.segments[0].first-1)
	}
	if target < j.committed {
		j.committed = target
		j.lateCommits = true
		j.recountLocked()
	}
	return j.committed, nil
}

// recountLocked counts anew what committed sealed segments hold.
func (j *Journal) recountLocked() {
	j.ackedBytes = 0
	for _, seg := range j.segments {
		if seg.sealed && seg.last <= j.committed {
			j.ackedBytes += seg.size
		}
	}
}

// deleteExpired deletes committed segments not written to within KeepAcked, and
// what could not be deleted before.
func (j *Journal) deleteExpired(now time.Time) {
	j.mu.Lock()
	names := j.doomed
	j.doomed = nil
	for {
		seg := j.oldestAckedLocked()
		if seg == nil || now.Sub(seg.touched) < j.cfg.KeepAcked {
			break
		}
		names = append(names, j.dropFirstLocked())
	}
	j.mu.Unlock()
	j.remove(names)
}

// deleteAcked deletes the oldest committed segments until that many bytes are
// free, as far as there are any. The writer alone calls it.
func (j *Journal) deleteAcked(bytes int64) {
	j.mu.Lock()
	unsaved := j.ackedBytes > 0 && j.saved.committed < j.committed
	j.mu.Unlock()
	if unsaved {
		// A failure leaves the saved position behind, and with it fewer segments to delete.
		_ = j.askSave()
	}
	var names []string
	j.mu.Lock()
	for seg := j.oldestAckedLocked(); seg != nil && bytes > 0; seg = j.oldestAckedLocked() {
		if time.Since(seg.touched) < j.cfg.KeepAcked {
			j.stats.EarlySegments.Add(1)
		}
		bytes -= seg.size
		names = append(names, j.dropFirstLocked())
	}
	j.mu.Unlock()
	j.remove(names)
}

// oldestAckedLocked is the first segment, if it may go: committed, and the saved
// position says so too, else a restart would miss its records.
func (j *Journal) oldestAckedLocked() *segment {
	if len(j.segments) == 0 {
		return nil
	}
	seg := j.segments[0]
	if !seg.sealed || seg.last > j.committed || seg.last > j.saved.committed {
		return nil
	}
	return seg
}

func (j *Journal) dropFirstLocked() (name string) {
	seg := j.segments[0]
	j.segments[0] = nil
	j.segments = j.segments[1:]
	j.fileBytes -= seg.size
	j.ackedBytes -= seg.size
	return segmentName(seg.first)
}

// remove deletes files; what is still open somewhere (on Windows) is tried again later.
func (j *Journal) remove(names []string) {
	if len(names) == 0 {
		return
	}
	var left []string
	for _, name := range names {
		if err := os.Remove(filepath.Join(j.dir, name)); err != nil && !os.IsNotExist(err) {
			left = append(left, name)
			continue
		}
		j.stats.DeletedSegments.Add(1)
	}
	// A deletion that a power loss takes back only leaves committed records behind.
	_ = j.disk.syncDir(j.dir)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.doomed = append(j.doomed, left...)
}
