package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Policy says when a written group is forced to the disk.
type Policy int

// The policies. Whatever the policy, a written record survives the end of the
// process; the policy is about power and kernel.
const (
	SyncInterval Policy = iota // each Config.SyncInterval while there is something to sync
	SyncAlways                 // at once after each group; a group that comes meanwhile joins the next sync
	SyncNever                  // left to the operating system; readers then go up to the written end
)

// MaxRecordBytes is the most data one record can hold. Smaller where
// Config.SegmentBytes is.
const MaxRecordBytes = 8 << 20

// The answers that callers branch on.
var (
	// ErrFull refuses a record because the journal is at its limit (or the disk is full
	// and the memory for waiting groups too). Nothing already appended is lost.
	ErrFull = errors.New("journal full")
	// ErrClosed is the answer after Close.
	ErrClosed = errors.New("journal closed")
	// ErrTooLarge refuses a record that can never fit.
	ErrTooLarge = errors.New("record too large for the journal")
	// ErrLocked says that another process has the directory open.
	ErrLocked = errors.New("journal directory is in use by another process")
	// ErrNotSynced refuses to commit what no reader can have seen.
	ErrNotSynced = errors.New("commit is past the synced end of the journal")
	// ErrBroken marks that the file system failed in a way after which nothing
	// more can be promised: a failed fsync, or a write error other than a full disk.
	// It is final for this Journal, because a second fsync may report success for
	// pages that the kernel has already thrown away. The process should
	// exit; the next Open writes the last segment anew before it trusts it.
	ErrBroken = errors.New("journal broken, reopen it")
)

// CorruptError says what damage took away. The damaged bytes are kept in a file
// ending in .corrupt beside the segment.
type CorruptError struct {
	Segment string // file name
	Offset  int64  // of the first damaged byte
	Number  uint64 // first number lost
	Next    uint64 // first number after the damage
}

// Error names the place and the numbers.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("journal segment %s damaged at offset %d: records %d to %d lost", e.Segment, e.Offset, e.Number, e.Next-1)
}

// Config holds the limits of a Journal. Zero values mean the stated defaults.
type Config struct {
	MaxBytes     int64         // all segments together; default 1 GiB, at least 64 KiB
	ReserveBytes int64         // of MaxBytes, for control records alone; default 1 MiB, at most MaxBytes/8
	SegmentBytes int64         // one file; default 64 MiB, at most MaxBytes/8
	Sync         Policy        // default SyncInterval
	SyncInterval time.Duration // for SyncInterval; default 50 ms
	KeepAcked    time.Duration // committed records stay this long for Rewind; dropped earlier when space is needed
	GroupBytes   int           // a group this large is written at once; default 256 KiB
	GroupWait    time.Duration // how long a group waits for more; default 1 ms
	PendingBytes int           // memory of records not yet written; default 8 MiB, at most SegmentBytes
	Log          *slog.Logger  // nil discards
}

// withDefaults checks the limits and fills in what is zero.
func (c Config) withDefaults() (Config, error) {
	if c.MaxBytes < 0 || c.ReserveBytes < 0 || c.SegmentBytes < 0 || c.SyncInterval < 0 || c.KeepAcked < 0 ||
		c.GroupBytes < 0 || c.GroupWait < 0 || c.PendingBytes < 0 {
		return c, errors.New("journal config: no limit may be negative")
	}
	if c.Sync < SyncInterval || c.Sync > SyncNever {
		return c, fmt.Errorf("journal config: unknown sync policy %d", c.Sync)
	}
	c.MaxBytes = orDefault(c.MaxBytes, 1<<30)
	if c.MaxBytes < 64<<10 {
		return c, fmt.Errorf("journal config: max bytes %d under the least, 65536", c.MaxBytes)
	}
	c.ReserveBytes = min(orDefault(c.ReserveBytes, 1<<20), c.MaxBytes/8)
	c.SegmentBytes = min(orDefault(c.SegmentBytes, 64<<20), c.MaxBytes/8)
	c.SyncInterval = orDefault(c.SyncInterval, 50*time.Millisecond)
	c.GroupBytes = orDefault(c.GroupBytes, 256<<10)
	c.GroupWait = orDefault(c.GroupWait, time.Millisecond)
	c.PendingBytes = int(min(int64(orDefault(c.PendingBytes, 8<<20)), c.SegmentBytes-segmentHeaderBytes))
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// Stats counts what a Journal did since Open. All are safe to read at any time.
type Stats struct {
	AppendedRecords  atomic.Int64 // taken by Append
	AppendedBytes    atomic.Int64 // their size in the file
	RefusedRecords   atomic.Int64 // answered with ErrFull
	RefusedControls  atomic.Int64 // of these, control records
	OversizedRecords atomic.Int64 // answered with ErrTooLarge
	BlockedAppends   atomic.Int64 // had to wait for the writer
	WrittenGroups    atomic.Int64
	WrittenBytes     atomic.Int64
	WriteRetries     atomic.Int64 // tries that met a full disk
	Syncs            atomic.Int64
	CreatedSegments  atomic.Int64
	DeletedSegments  atomic.Int64
	EarlySegments    atomic.Int64 // of these, deleted before Config.KeepAcked had passed, for space
	RepairedBytes    atomic.Int64 // torn tail cut off on open
	CorruptSpans     atomic.Int64 // damaged places found
	CorruptBytes     atomic.Int64 // their size
	LostRecords      atomic.Int64 // numbers that readers were told are lost
	PositionErrors   atomic.Int64 // tries to save the position that failed
}

// segment is one file. Its fields are guarded by Journal.mu, but for first and
// file: first never changes, file belongs to the writer until the segment is sealed.
type segment struct {
	first    uint64
	prev     uint64 // last number written before it
	prevTrue bool   // the header was whole, so prev may be believed
	last     uint64 // last number up to readable
	size     int64  // bytes written
	readable int64  // offset up to which readers may go
	sealed   bool   // gets no more records
	linked   bool   // its directory entry is synced
	started  time.Time
	touched  time.Time // last write
	file     *os.File  // nil once sealed
}

// Journal is the log of one directory. All its methods are safe for concurrent use.
type Journal struct {
	dir     string
	cfg     Config
	log     *slog.Logger
	disk    disk
	lock    *os.File
	stats   Stats
	clean   bool
	lastAt  time.Time
	maxData int

	wake     chan struct{} // a group has started
	urgent   chan struct{} // write it now
	dirty    chan struct{} // something is written and not synced
	syncNow  chan struct{} // sync it now
	save     chan chan error
	closing  chan struct{}
	stopSync chan struct{}
	stopKeep chan struct{}
	writer   sync.WaitGroup
	syncer   sync.WaitGroup
	keeper   sync.WaitGroup

	mu          sync.Mutex // guards all below
	room        sync.Cond  // the writer took the pending group
	progress    sync.Cond  // written or synced end moved
	pending     []byte     // group being filled
	spare       []byte     // its twin while the writer has none
	inFlight    int        // bytes the writer has taken
	base        uint64     // first number this process gives
	next        uint64     // number of the next record
	written     uint64     // last number in a file
	synced      uint64     // last number readers may see
	promised    uint64     // last number of a process that closed in order
	flushTo     uint64     // someone waits for this number
	segments    []*segment // by first; the last may be unsealed
	doomed      []string   // files that could not be deleted yet
	fileBytes   int64      // all segments
	ackedBytes  int64      // of these, in sealed segments that are committed
	committed   uint64
	saved       position // what the position file says
	lateCommits bool     // committed differs from saved
	full        bool
	stalled     bool // the disk is full
	closed      bool
	err         error // final
	readers     []*Reader
}

// Committed is the position: everything up to this number is acknowledged.
func (j *Journal) Committed() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.committed
}

// Tail is the last number that readers may see: the synced end, under SyncNever the
// written one.
func (j *Journal) Tail() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.synced
}

// First is the first number still kept; with nothing kept, the next to be given.
func (j *Journal) First() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.firstLocked()
}

func (j *Journal) firstLocked() uint64 {
	if len(j.segments) == 0 {
		return max(j.written+1, j.base) // waiting to be written, or to be given
	}
	return j.segments[0].first
}

// LastAt is the time of the last record that Open found, zero without any.
func (j *Journal) LastAt() time.Time { return j.lastAt }

// Clean says whether the process before closed the journal in order. A new
// directory is clean.
func (j *Journal) Clean() bool { return j.clean }

// Size is the bytes held: segments and groups not yet written.
func (j *Journal) Size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.fileBytes + int64(len(j.pending)+j.inFlight)
}

// Full says whether records (control ones apart) are being refused.
func (j *Journal) Full() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.relaxLocked()
	return j.full
}

// Stats gives the counters.
func (j *Journal) Stats() *Stats { return &j.stats }

// Err gives the final error, wrapping ErrBroken, or nil.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Close writes and syncs what is pending, marks the directory as closed in order
// and unlocks it. After the first call it does nothing. An error
// says that some of what was appended may not be on the disk.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	j.room.Broadcast()
	j.mu.Unlock()

	close(j.closing)
	j.writer.Wait()
	close(j.stopSync)
	j.syncer.Wait()
	close(j.stopKeep)
	j.keeper.Wait()

	j.mu.Lock()
	err := j.err
	if seg := j.activeLocked(); err == nil && seg != nil {
		j.mu.Unlock()               // all that write to the file have ended
		err = j.disk.sync(seg.file) // under SyncNever nobody did
		j.mu.Lock()
	}
	if err == nil && len(j.pending)+j.inFlight > 0 {
		err = fmt.Errorf("close journal: %d bytes not written: %w", len(j.pending)+j.inFlight, ErrFull)
	}
	if n := len(j.segments); n > 0 && j.segments[n-1].file != nil {
		err = errors.Join(err, j.segments[n-1].file.Close())
		j.segments[n-1].file = nil
	}
	at := position{committed: j.committed, ceiling: j.next - 1, clean: err == nil}
	j.progress.Broadcast()
	j.notifyLocked()
	j.mu.Unlock()
	if at.clean {
		err = j.disk.savePosition(j.dir, at)
	}
	return errors.Join(err, j.lock.Close())
}

// fail makes err final.
func (j *Journal) fail(op string, err error) {
	j.mu.Lock()
	first := j.err == nil
	if first {
		j.err = fmt.Errorf("%s: %w: %w", op, ErrBroken, err)
		err = j.err
	}
	j.room.Broadcast()
	j.progress.Broadcast()
	j.notifyLocked()
	j.mu.Unlock()
	if first {
		j.log.Error("journal broken", "err", err)
	}
}

// notifyLocked wakes the readers that wait.
func (j *Journal) notifyLocked() {
	for _, r := range j.readers {
		poke(r.more)
	}
}

// poke leaves a token in a channel of capacity 1.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
