package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
)

// idleInterval is how often the writer looks at the age of its segment.
const idleInterval = time.Second

// write takes whole groups to the file until Close and then what is left. It
// alone creates and seals segments.
func (j *Journal) write() {
	idle := time.NewTicker(idleInterval)
	defer idle.Stop()
	wait := time.NewTimer(time.Hour)
	wait.Stop()
	for {
		select {
		case <-j.wake:
			wait.Reset(j.cfg.GroupWait)
			select {
			case <-wait.C:
			case <-j.urgent:
			case <-j.closing:
			}
			wait.Stop()
		case <-idle.C:
			if err := j.sealOld(time.Now()); err != nil {
				return
			}
			continue
		case <-j.closing:
			_ = j.writePending() // what is left in memory is what Close reports
			return
		}
		if err := j.writePending(); err != nil {
			return
		}
	}
}

// writePending takes the pending group and writes it, however long that takes.
// An error is final, or a full disk at Close.
func (j *Journal) writePending() error {
	j.mu.Lock()
	group := j.pending
	last := j.next - 1
	if err := j.err; len(group) == 0 || err != nil {
		j.mu.Unlock()
		return err
	}
	j.pending, j.spare = j.spare[:0], nil
	j.inFlight = len(group)
	j.room.Broadcast()
	j.mu.Unlock()

	err := j.writeGroup(group, last)
	if err != nil {
		return err
	}
	if cap(group) > 2*j.cfg.PendingBytes {
		group = nil // one huge record shall not hold its memory for ever
	}
	j.mu.Lock()
	j.spare = group[:0]
	j.mu.Unlock()
	return nil
}

// writeGroup repeats tryWrite while the disk is full.
func (j *Journal) writeGroup(group []byte, last uint64) error {
	retry := backoff.Policy{Base: 100 * time.Millisecond, Cap: 2 * time.Second}
	for attempt := 0; ; attempt++ {
		err := j.tryWrite(group, last)
		if err == nil {
			if attempt > 0 {
				j.log.Info("journal writes again", "attempts", attempt)
				j.setStalled(false)
			}
			return nil
		}
		if !isDiskFull(err) {
			j.fail("write journal", err)
			return err
		}
		j.stats.WriteRetries.Add(1)
		if attempt == 0 {
			j.log.Error("journal disk full, waiting", "bytes", len(group), "err", err)
			j.setStalled(true)
		}
		j.deleteAcked(j.cfg.MaxBytes)
		wait := time.NewTimer(retry.Delay(attempt))
		select {
		case <-wait.C:
		case <-j.closing:
			wait.Stop()
			if attempt > 0 {
				return err
			}
		}
	}
}

func (j *Journal) setStalled(stalled bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stalled = stalled
	j.room.Broadcast()
}

// tryWrite puts one group behind the written end, in a new segment where the
// active one is full. A failed try leaves the written end where it was.
func (j *Journal) tryWrite(group []byte, last uint64) error {
	j.mu.Lock()
	reserved := last <= j.saved.ceiling
	seg := j.activeLocked()
	missing := j.fileBytes + int64(len(group)) + segmentHeaderBytes - j.cfg.MaxBytes
	j.mu.Unlock()
	if !reserved {
		if err := j.askSave(); err != nil {
			return err
		}
	}
	if missing > 0 {
		j.deleteAcked(missing)
	}
	if seg != nil && seg.size > segmentHeaderBytes && seg.size+int64(len(group)) > j.cfg.SegmentBytes {
		if err := j.sealActive(); err != nil {
			return err
		}
		seg = nil
	}
	if seg == nil {
		var err error
		if seg, err = j.createSegment(firstNumber(group)); err != nil {
			return err
		}
	}
	seal(group, segmentSeed(seg.first))
	if n, err := j.disk.writeAt(seg.file, group, seg.size); err != nil {
		if n > 0 {
			err = errors.Join(err, seg.file.Truncate(seg.size))
		}
		return err
	}
	j.publishWritten(seg, len(group), last)
	return nil
}

// activeLocked is the segment being written, or nil.
func (j *Journal) activeLocked() *segment {
	if n := len(j.segments); n > 0 && !j.segments[n-1].sealed {
		return j.segments[n-1]
	}
	return nil
}

func (j *Journal) publishWritten(seg *segment, bytes int, last uint64) {
	j.stats.WrittenGroups.Add(1)
	j.stats.WrittenBytes.Add(int64(bytes))
	j.mu.Lock()
	defer j.mu.Unlock()
	seg.size += int64(bytes)
	seg.touched = time.Now()
	j.fileBytes += int64(bytes)
	j.inFlight = 0
	j.written = last
	if j.cfg.Sync == SyncNever {
		j.publishSyncedLocked(seg, seg.size, last)
		return
	}
	poke(j.dirty)
	if j.flushTo > j.synced {
		poke(j.syncNow)
	}
}

// createSegment makes the file for the record of that number.
func (j *Journal) createSegment(first uint64) (*segment, error) {
	j.mu.Lock()
	prev := max(j.written, j.promised) // what an orderly end promised and is not there, readers report
	j.mu.Unlock()
	now := time.Now()
	path := filepath.Join(j.dir, segmentName(first))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create journal segment: %w", err)
	}
	if _, err := j.disk.writeAt(f, appendSegmentHeader(nil, first, prev, now), 0); err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, fmt.Errorf("create journal segment: %w", err)
	}
	seg := &segment{
		first: first, prev: prev, prevTrue: true, last: first - 1, size: segmentHeaderBytes,
		readable: segmentHeaderBytes, started: now, touched: now, file: f,
	}
	j.stats.CreatedSegments.Add(1)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments = append(j.segments, seg)
	j.fileBytes += segmentHeaderBytes
	return seg, nil
}

// sealActive syncs and closes the active segment. After it nothing of that file
// is waiting for the syncer, so a power loss can only ever tear the last segment.
func (j *Journal) sealActive() error {
	j.mu.Lock()
	seg := j.activeLocked()
	if seg == nil {
		j.mu.Unlock()
		return nil
	}
	j.flushTo = max(j.flushTo, j.written)
	for j.synced < j.written {
		if err := j.err; err != nil {
			j.mu.Unlock()
			return err
		}
		poke(j.dirty)
		poke(j.syncNow)
		j.progress.Wait()
	}
	file := seg.file
	seg.file = nil
	seg.sealed = true
	if seg.last <= j.committed {
		j.ackedBytes += seg.size
	}
	j.notifyLocked()
	j.mu.Unlock()
	return file.Close()
}

// sealOld seals a segment by its age, so that a journal with little traffic lets
// go of its past as well.
func (j *Journal) sealOld(now time.Time) error {
	j.mu.Lock()
	seg := j.activeLocked()
	age := min(max(j.cfg.KeepAcked, time.Minute), time.Hour)
	old := seg != nil && seg.size > segmentHeaderBytes && now.Sub(seg.started) > age
	j.mu.Unlock()
	if !old {
		return nil
	}
	if err := j.sealActive(); err != nil {
		j.fail("seal journal segment", err)
		return err
	}
	return nil
}

// syncLoop forces what is written to the disk, by the policy, until Close; then
// once more. The writer goes on while a sync runs.
func (j *Journal) syncLoop() {
	wait := time.NewTimer(time.Hour)
	wait.Stop()
	for {
		select {
		case <-j.dirty:
		case <-j.stopSync:
			j.syncWritten()
			return
		}
		if j.cfg.Sync == SyncInterval {
			wait.Reset(j.cfg.SyncInterval)
			select {
			case <-wait.C:
			case <-j.syncNow:
			case <-j.stopSync:
			}
			wait.Stop()
		}
		j.syncWritten()
	}
}

// syncWritten syncs the active segment up to its written end.
func (j *Journal) syncWritten() {
	j.mu.Lock()
	seg := j.activeLocked()
	if seg == nil || j.synced == j.written || j.err != nil {
		j.mu.Unlock()
		return
	}
	size, last, linked := seg.size, j.written, seg.linked
	j.mu.Unlock()

	err := j.disk.sync(seg.file)
	if err == nil && !linked {
		err = j.disk.syncDir(j.dir)
	}
	if err != nil {
		_ = os.WriteFile(filepath.Join(j.dir, syncFailedName), nil, 0o600)
		j.fail("sync journal", err)
		return
	}
	j.stats.Syncs.Add(1)
	j.mu.Lock()
	defer j.mu.Unlock()
	seg.linked = true
	j.publishSyncedLocked(seg, size, last)
}

// publishSyncedLocked lets readers go up to that point.
func (j *Journal) publishSyncedLocked(seg *segment, size int64, last uint64) {
	seg.readable, seg.last = size, last
	j.synced = last
	j.progress.Broadcast()
	j.notifyLocked()
}
