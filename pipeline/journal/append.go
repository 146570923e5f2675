package journal

import (
	"context"
	"time"
)

// Append takes a record made of parts, one after the other, and gives its
// number. It copies the parts and does not wait for the disk: the record is written within
// Config.GroupWait and one write, and readers see it once it is synced. at must lie
// within what unix nanoseconds can hold.
//
// It answers ErrFull at the limit of bytes (see Config.ReserveBytes for control
// records), after which other records are refused until less than 80 % of the
// limit is in use; ErrTooLarge; ErrClosed; or the final error of a broken
// journal. When the writer cannot keep up and Config.PendingBytes wait already,
// Append blocks until it took them: the caller's connection then slows its
// sender down, and nothing is dropped. With a full disk it does not block but answers ErrFull.
func (j *Journal) Append(control bool, at time.Time, parts ...[]byte) (number uint64, err error) {
	data := 0
	for _, p := range parts {
		data += len(p)
	}
	if data > j.maxData {
		j.stats.OversizedRecords.Add(1)
		return 0, ErrTooLarge
	}
	size := recordHeaderBytes + data

	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.admitLocked(control, size); err != nil {
		return 0, err
	}
	number = j.next
	j.next++
	wasEmpty := len(j.pending) == 0
	j.pending = appendRecord(j.pending, number, control, at, data, parts)
	j.stats.AppendedRecords.Add(1)
	j.stats.AppendedBytes.Add(int64(size))
	if wasEmpty {
		poke(j.wake)
	}
	if len(j.pending) >= j.cfg.GroupBytes && len(j.pending)-size < j.cfg.GroupBytes {
		poke(j.urgent)
	}
	return number, nil
}

// admitLocked waits for room in memory and decides on a record of that size.
func (j *Journal) admitLocked(control bool, size int) error {
	blocked := false
	for {
		switch {
		case j.closed:
			return ErrClosed
		case j.err != nil:
			return j.err
		case !j.fitsLocked(control, size):
			return j.refuseLocked(control)
		}
		limit := j.cfg.PendingBytes
		if control {
			limit += limit / 8 // a control record that says what is missing still gets in
		}
		if len(j.pending) == 0 || len(j.pending)+size <= limit {
			return nil
		}
		if j.stalled {
			return j.refuseLocked(control)
		}
		if !blocked {
			blocked = true
			j.stats.BlockedAppends.Add(1)
		}
		poke(j.urgent)
		j.room.Wait()
	}
}

func (j *Journal) refuseLocked(control bool) error {
	j.stats.RefusedRecords.Add(1)
	if control {
		j.stats.RefusedControls.Add(1)
	}
	return ErrFull
}

// fitsLocked holds the limit of bytes, with its hysteresis.
func (j *Journal) fitsLocked(control bool, size int) bool {
	used := j.usedLocked() + int64(size) + segmentHeaderBytes
	if control {
		return used <= j.cfg.MaxBytes
	}
	j.relaxLocked()
	if !j.full && used > j.cfg.MaxBytes-j.cfg.ReserveBytes {
		j.full = true
		j.log.Warn("journal full, refusing", "bytes", used, "limit_bytes", j.cfg.MaxBytes-j.cfg.ReserveBytes)
	}
	return !j.full
}

// usedLocked is what cannot be given up: acknowledged segments kept for Rewind
// make room when asked to.
func (j *Journal) usedLocked() int64 {
	return j.fileBytes - j.ackedBytes + int64(len(j.pending)+j.inFlight)
}

// relaxLocked ends the refusal once enough is free.
func (j *Journal) relaxLocked() {
	limit := j.cfg.MaxBytes - j.cfg.ReserveBytes
	if j.full && j.usedLocked() < limit-limit/5 {
		j.full = false
		j.log.Info("journal accepts again", "bytes", j.usedLocked(), "limit_bytes", limit)
	}
}

// Flush waits until everything appended before the call is written and synced
// (written, under SyncNever).
func (j *Journal) Flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.progress.Broadcast()
	})
	defer stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	target := j.lastGivenLocked()
	j.flushTo = max(j.flushTo, target)
	poke(j.urgent)
	poke(j.syncNow)
	for j.synced < target {
		if j.err != nil {
			return j.err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if j.closed && len(j.pending)+j.inFlight > 0 && j.stalled {
			return ErrClosed
		}
		j.progress.Wait()
	}
	return nil
}

// lastGivenLocked is the last number in memory or in a file.
func (j *Journal) lastGivenLocked() uint64 {
	if len(j.pending)+j.inFlight > 0 {
		return j.next - 1
	}
	return j.written
}
