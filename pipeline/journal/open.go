package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	segmentSuffix = ".seg"
	corruptSuffix = ".corrupt"

	// syncFailedName marks that pages in memory may pass for written ones. It needs no
	// sync itself: it is lost only together with those pages.
	syncFailedName = "sync-failed"

	// lostNumbers is the jump when nothing says how far numbers were given: far more
	// than could have been.
	lostNumbers = 1 << 32
)

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

func firstNumber(group []byte) uint64 {
	return binary.LittleEndian.Uint64(group[8:])
}

// Open takes the directory (creating it) for this process alone, repairs what the
// last one left, and starts writing where it ended. A record that was torn off by
// a crash is cut away and logged with its bytes. Only the last segment is read, so it takes well under
// a second whatever the journal holds.
//
// It answers ErrLocked while another process has the directory.
func Open(dir string, cfg Config) (*Journal, error) { return open(dir, cfg, realDisk()) }

func open(dir string, cfg Config, d disk) (*Journal, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{
		dir: dir, cfg: cfg, log: cfg.Log, disk: d, lock: lock,
		maxData:  int(min(MaxRecordBytes, cfg.SegmentBytes-segmentHeaderBytes-recordHeaderBytes)),
		wake:     make(chan struct{}, 1),
		urgent:   make(chan struct{}, 1),
		dirty:    make(chan struct{}, 1),
		syncNow:  make(chan struct{}, 1),
		save:     make(chan chan error),
		closing:  make(chan struct{}),
		stopSync: make(chan struct{}),
		stopKeep: make(chan struct{}),
	}
	j.room.L, j.progress.L = &j.mu, &j.mu
	if err := j.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), lock.Close())
	}
	j.writer.Go(j.write)
	j.syncer.Go(j.syncLoop)
	j.keeper.Go(j.keep)
	return j, nil
}

// recover sets the state from what the directory holds.
func (j *Journal) recover() error {
	saved, err := loadPosition(j.dir)
	lost := errors.Is(err, errNoPosition)
	if err != nil && !lost {
		return err
	}
	if err := j.loadSegments(); err != nil {
		return err
	}
	if lost && len(j.segments) == 0 {
		saved, lost = position{clean: true}, false
	}
	if lost {
		first := j.segments[0].first
		saved = position{committed: first - 1, ceiling: j.segments[len(j.segments)-1].first + lostNumbers}
		j.log.Warn("journal position lost, starting at the first record kept", "number", first)
	}
	if err := j.repairTail(saved); err != nil {
		return err
	}
	j.linkSegments()

	tail := saved.committed
	if n := len(j.segments); n > 0 {
		tail = j.segments[n-1].last
	}
	if saved.committed > tail {
		j.log.Warn("journal position past the tail, clamped", "committed", saved.committed, "tail", tail)
	}
	j.clean = saved.clean
	j.committed = min(saved.committed, tail)
	j.written, j.synced = tail, tail
	j.promised = tail
	if saved.clean {
		j.promised = max(tail, saved.ceiling)
	}
	j.base = max(tail, saved.committed, saved.ceiling) + 1
	j.next = j.base
	j.recountLocked()

	j.saved = position{committed: j.committed, ceiling: saved.ceiling}
	if err := j.saveNow(); err != nil && !isDiskFull(err) {
		return err
	} else if err != nil {
		// Reading goes on; writing waits for the reservation of its numbers.
		j.log.Error("journal disk full on open", "err", err)
	}
	return nil
}

// loadSegments lists the segments with what their headers say.
func (j *Journal) loadSegments() error {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	aside := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), corruptSuffix) {
			aside++
		}
		first, ok := parseSegmentName(e.Name())
		if !ok {
			continue
		}
		seg, err := loadSegment(filepath.Join(j.dir, e.Name()), first)
		if err != nil {
			return err
		}
		j.segments = append(j.segments, seg)
		j.fileBytes += seg.size
	}
	if aside > 0 {
		j.log.Warn("damaged parts of the journal were put aside before", "files", aside)
	}
	slices.SortFunc(j.segments, func(a, b *segment) int { // a name longer than 20 digits would sort wrong
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return nil
}

func parseSegmentName(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0 && segmentName(first) == name
}

func loadSegment(path string, first uint64) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var header [segmentHeaderBytes]byte
	if _, err := f.ReadAt(header[:], 0); err != nil && err != io.EOF {
		return nil, err
	}
	seg := &segment{
		first: first, last: first - 1, size: info.Size(), readable: info.Size(), sealed: true, linked: true,
		started: info.ModTime(), touched: info.ModTime(),
	}
	seg.prev, seg.prevTrue = parseSegmentHeader(header[:], first)
	if seg.prev >= first {
		seg.prevTrue = false
	}
	return seg, nil
}

// linkSegments sets the last number of each segment but the last, which repairTail read.
func (j *Journal) linkSegments() {
	for i, seg := range j.segments[:max(len(j.segments)-1, 0)] {
		next := j.segments[i+1]
		seg.last = next.first - 1
		if next.prevTrue && next.prev >= seg.first {
			seg.last = next.prev
		}
	}
}

// repairTail reads the last segment, cuts off what is not whole at its end, and
// removes it when nothing is left. What then counts as the tail is synced first: the
// kernel may hold it in memory alone.
func (j *Journal) repairTail(saved position) error {
	for len(j.segments) > 0 {
		seg := j.segments[len(j.segments)-1]
		path := filepath.Join(j.dir, segmentName(seg.first))
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		err = j.repairSegment(f, seg, max(saved.ceiling, seg.first), saved.clean)
		if err == nil {
			err = j.rewriteUnsynced(f, seg.size)
		}
		if err == nil && j.cfg.Sync != SyncNever {
			if err = j.disk.sync(f); err == nil {
				err = j.disk.syncDir(j.dir)
			}
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("repair %s: %w", path, err)
		}
		if seg.last >= seg.first {
			break
		}
		j.segments = j.segments[:len(j.segments)-1]
		j.fileBytes -= seg.size
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(j.dir, syncFailedName)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// rewriteUnsynced writes the bytes of a segment over themselves where the process
// before met a failed sync: only pages written anew are sure to be part of the next one.
func (j *Journal) rewriteUnsynced(f *os.File, size int64) error {
	if _, err := os.Stat(filepath.Join(j.dir, syncFailedName)); err != nil {
		return nil //nolint:nilerr // no marker, nothing to do
	}
	j.log.Warn("journal sync had failed, writing the last segment again", "bytes", size)
	buf := make([]byte, readBytes)
	for at := int64(0); at < size; at += readBytes {
		part := buf[:min(readBytes, size-at)]
		if _, err := f.ReadAt(part, at); err != nil {
			return err
		}
		if _, err := j.disk.writeAt(f, part, at); err != nil {
			return err
		}
	}
	return nil
}

// repairSegment finds the last whole record and cuts the file behind it. Damage
// in the middle stays for the readers to report, with a copy put aside; so does, in a
// copy, a broken end of a segment that was closed in order, which no crash explains.
func (j *Journal) repairSegment(f *os.File, seg *segment, ceiling uint64, clean bool) error {
	var d decoder
	d.reset(f, seg.first, seg.size)
	end := d.offset()
	var rec Record
	for {
		got, err := d.next(&rec)
		if err != nil {
			return err
		}
		if got == decoded {
			end, seg.last, j.lastAt = d.offset(), rec.Number, rec.At
			continue
		}
		if got == ended {
			break
		}
		from := d.offset()
		found, err := d.resync(ceiling)
		if err != nil {
			return err
		}
		if !found {
			break
		}
		j.quarantine(f, seg.first, from, d.offset())
	}
	if torn := seg.size - end; torn > 0 {
		j.log.Warn("journal tail torn, cut", "segment", segmentName(seg.first), "offset", end, "bytes", torn)
		j.stats.RepairedBytes.Add(torn)
		if clean {
			j.quarantine(f, seg.first, end, seg.size)
		}
		if err := f.Truncate(end); err != nil {
			return err
		}
	}
	j.fileBytes += end - seg.size
	seg.size, seg.readable = end, end
	return nil
}

// quarantine copies damaged bytes to a file of their own, once. The segment is
// left as it is, and goes when its time comes; the copy stays until a person removes it.
func (j *Journal) quarantine(f io.ReaderAt, first uint64, from, to int64) {
	name := fmt.Sprintf("%020d-%d%s", first, from, corruptSuffix)
	out, err := os.OpenFile(filepath.Join(j.dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return
	}
	j.stats.CorruptSpans.Add(1)
	j.stats.CorruptBytes.Add(to - from)
	if err == nil {
		_, err = io.Copy(out, io.NewSectionReader(f, from, to-from))
		if err == nil {
			err = j.disk.sync(out)
		}
		err = errors.Join(err, out.Close())
	}
	j.log.Error("journal segment damaged, put aside", "segment", segmentName(first), "offset", from,
		"bytes", to-from, "file", name, "err", err)
}
