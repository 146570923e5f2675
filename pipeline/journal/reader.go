package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// errStopScan ends a Scan early and in order.
var errStopScan = errors.New("stop scan")

// Reader reads the journal in order. It is for one goroutine; a Journal may have
// several Readers.
type Reader struct {
	j    *Journal
	more chan struct{} // something may have become readable
	from uint64        // next number to deliver
	seg  *segment      // being read, nil before the first
	file *os.File
	dec  decoder
}

// Reader reads from that number on, or from the next one above it that is kept.
// Close it when done.
func (j *Journal) Reader(from uint64) (*Reader, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, ErrClosed
	}
	r := &Reader{j: j, more: make(chan struct{}, 1), from: max(from, 1)}
	j.readers = append(j.readers, r)
	return r, nil
}

// Close releases the reader's file. It may be called twice.
func (r *Reader) Close() error {
	r.j.mu.Lock()
	r.j.readers = slices.DeleteFunc(r.j.readers, func(o *Reader) bool { return o == r })
	r.j.mu.Unlock()
	return r.closeFile()
}

func (r *Reader) closeFile() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// Next gives the next record and waits for it when there is none. Besides ctx's
// error it answers *CorruptError, once for each damaged place, after which it goes
// on behind the damage; ErrClosed after the last record of a closed
// journal; the final error of a broken one after its last synced record.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	for {
		rec, ok, err := r.TryNext()
		if ok || err != nil {
			return rec, err
		}
		select {
		case <-r.more:
		case <-ctx.Done():
			return Record{}, ctx.Err()
		}
	}
}

// TryNext is Next without waiting: it answers false when no record is ready.
func (r *Reader) TryNext() (Record, bool, error) {
	var rec Record
	for {
		if r.file == nil {
			if ok, err := r.nextSegment(); !ok || err != nil {
				return Record{}, false, err
			}
		}
		got, err := r.dec.next(&rec)
		switch {
		case err != nil:
			return Record{}, false, fmt.Errorf("read journal segment %s: %w", segmentName(r.seg.first), err)
		case got == decoded:
			if rec.Number < r.from {
				continue
			}
			r.from = rec.Number + 1
			return rec, true, nil
		case got == damaged || r.dec.cut:
			if err := r.skipDamage(); err != nil {
				return Record{}, false, err
			}
		default:
			if ok, err := r.advance(); !ok || err != nil {
				return Record{}, false, err
			}
		}
	}
}

// advance goes on where the decoder came to its end: with what has become
// readable, or with the next segment. It answers false when there is neither.
func (r *Reader) advance() (bool, error) {
	r.j.mu.Lock()
	grown := r.seg.readable > r.dec.end
	r.dec.end = r.seg.readable
	sealed := r.seg.sealed
	r.j.mu.Unlock()
	if grown {
		return true, nil
	}
	if !sealed {
		return false, r.idleError()
	}
	return r.nextSegment()
}

// idleError says why no record will come any more, or nil.
func (r *Reader) idleError() error {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	switch {
	case r.j.err != nil:
		return r.j.err
	case r.j.closed && r.j.synced == r.j.written:
		return ErrClosed
	}
	return nil
}

// nextSegment opens the segment that holds the next record. The one being read
// stays open until there is one. It answers *CorruptError where records between are missing.
func (r *Reader) nextSegment() (bool, error) {
	seg, end, lost := r.findSegment()
	if seg == nil {
		return false, r.idleError()
	}
	name := segmentName(seg.first)
	file, err := os.Open(filepath.Join(r.j.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("read journal: %w", err)
	}
	if err != nil && !r.j.keeps(seg) {
		return r.nextSegment() // retention was faster
	}
	_ = r.closeFile()
	r.seg = seg
	if err != nil { // someone else deleted it
		return false, r.lose(name, 0, r.j.lastOf(seg)+1)
	}
	r.file = file
	r.dec.reset(file, seg.first, end)
	if lost {
		return false, r.lose(name, 0, seg.prev+1)
	}
	return true, nil
}

// findSegment picks the first segment behind the one being read that holds
// something for this reader, and says whether uncommitted records are missing before it.
func (r *Reader) findSegment() (seg *segment, end int64, lost bool) {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	for _, s := range r.j.segments {
		if s.last < s.first || s.last < r.from || (r.seg != nil && s.first <= r.seg.first) {
			continue
		}
		return s, s.readable, s.prevTrue && s.prev >= r.from && s.prev > r.j.committed
	}
	return nil, 0, false
}

// lastOf is the last readable number of a segment.
func (j *Journal) lastOf(seg *segment) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return seg.last
}

// keeps says whether the segment is still one of the journal's.
func (j *Journal) keeps(seg *segment) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Contains(j.segments, seg)
}

// skipDamage goes to the next whole record, or to the end of what is readable.
func (r *Reader) skipDamage() error {
	r.j.mu.Lock()
	last, end := r.seg.last, r.seg.readable
	r.j.mu.Unlock()
	name, from := segmentName(r.seg.first), r.dec.offset()
	if !r.dec.cut {
		r.dec.end = end
	}
	found, err := r.dec.resync(last)
	if err != nil {
		return fmt.Errorf("read journal segment %s: %w", name, err)
	}
	to := r.dec.offset()
	if !found {
		r.dec.cut = false
		r.dec.base, r.dec.end, r.dec.want = end, end, last+1
	}
	if to > from {
		r.j.quarantine(r.file, r.seg.first, from, to)
	}
	return r.lose(name, from, r.dec.want)
}

// lose moves on to that number and says what was skipped, if anything was.
func (r *Reader) lose(name string, offset int64, next uint64) error {
	if next <= r.from {
		return nil
	}
	err := &CorruptError{Segment: name, Offset: offset, Number: r.from, Next: next}
	r.j.stats.LostRecords.Add(int64(next - r.from))
	r.from = next
	return err
}

// Scan calls fn for each readable record from that number on, in order, up to
// the tail at the time of the call. Damaged places are skipped (a Reader reports them).
// It ends early with fn's error.
func (j *Journal) Scan(from uint64, fn func(Record) error) error {
	tail := j.Tail()
	r, err := j.Reader(from)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		rec, ok, err := r.TryNext()
		if _, damage := errors.AsType[*CorruptError](err); damage {
			continue
		}
		if err != nil {
			return err
		}
		if !ok || rec.Number > tail {
			return nil
		}
		if err := fn(rec); errors.Is(err, errStopScan) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
