package pipeline

import (
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Journal is the durable log ahead of Kafka, as Intake needs it.
type Journal interface {
	// Append concatenates parts to one record and returns its number. It does not
	// keep parts. An error means that the record was refused, because the journal
	// is full or broken; control records use a reserve of their own.
	Append(control bool, at time.Time, parts ...[]byte) (uint64, error)
}

// IntakeStats counts what arrived. Received = Journaled + Refused.
type IntakeStats struct {
	MessagesReceived  atomic.Int64
	MessagesJournaled atomic.Int64
	MessagesRefused   atomic.Int64
	Gaps              atomic.Int64
	GapsWaiting       atomic.Int64 // finished gaps that the journal had no room for yet
}

// Intake accepts the messages and connection events of all accounts into the
// journal, and turns each time without coverage into a gap record there. Its
// methods have the shape of the stream's handler; each account calls from one
// goroutine at a time, accounts call concurrently.
//
// A gap starts at the last moment known to be covered and ends when the
// subscription stands again (docs/architecture.md, "Gaps").
type Intake struct {
	journal Journal
	log     *slog.Logger
	Stats   IntakeStats

	controlRefused atomic.Bool // the last control record was refused

	mu       sync.Mutex // guards accounts
	accounts map[schema.GCID]*coverage
}

// NewIntake starts with the coverage known from a former life, see Restore.
func NewIntake(journal Journal, known Coverage, log *slog.Logger) *Intake {
	in := &Intake{journal: journal, log: log, accounts: make(map[schema.GCID]*coverage)}
	for gcid, state := range known.accounts {
		in.accounts[gcid] = &coverage{CoverageState: *state}
		in.Stats.GapsWaiting.Add(int64(len(state.Waiting)))
	}
	return in
}

// coverage is the state of one account.
type coverage struct {
	mu sync.Mutex // guards all below
	CoverageState
	lastAccepted time.Time // last message that the journal took
	refusing     bool      // the journal is full
	head         []byte    // scratch for entry heads
}

func (in *Intake) account(gcid schema.GCID) *coverage {
	in.mu.Lock()
	defer in.mu.Unlock()
	c := in.accounts[gcid]
	if c == nil {
		c = &coverage{}
		in.accounts[gcid] = c
	}
	return c
}

// Message journals one message. It copies payload and does not block but for
// the journal's own memory.
func (in *Intake) Message(gcid schema.GCID, topic string, payload []byte, received time.Time) {
	in.Stats.MessagesReceived.Add(1)
	c := in.account(gcid)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.know(vinOf(topic))
	c.head = appendEntryHead(c.head[:0], entryMessage, gcid, topic)
	if _, err := in.journal.Append(false, received, c.head, payload); err != nil {
		in.refuse(c, gcid, received, err)
		return
	}
	in.Stats.MessagesJournaled.Add(1)
	if c.refusing {
		in.acceptAgain(c, gcid, received)
	}
	c.lastAccepted = received
}

// refuse opens a gap at the last accepted message: what came since is lost.
func (in *Intake) refuse(c *coverage, gcid schema.GCID, at time.Time, err error) {
	in.Stats.MessagesRefused.Add(1)
	if c.refusing {
		return
	}
	c.refusing = true
	start := c.lastAccepted
	if start.IsZero() || start.Before(c.Since) {
		start = c.Since
	}
	c.Open = &OpenGap{Start: start, Cause: schema.GapJournalFull}
	in.control(at, appendLost(c.head[:0], gcid, start, schema.GapJournalFull)) // known to a restart as well
	in.log.Error("journal refuses messages, a gap begins", "gcid", gcid, "err", err)
}

func (in *Intake) acceptAgain(c *coverage, gcid schema.GCID, at time.Time) {
	c.refusing = false
	in.log.Info("journal accepts messages again", "gcid", gcid)
	in.control(at, appendEntryHead(c.head[:0], entryConnect, gcid, ""))
	in.closeGap(c, gcid, at)
}

// Subscribed records that coverage starts, and the gap that ends with it.
func (in *Intake) Subscribed(gcid schema.GCID, at time.Time) {
	c := in.account(gcid)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Subscribed, c.Since = true, at
	c.refusing = false
	in.control(at, appendEntryHead(c.head[:0], entryConnect, gcid, ""))
	in.closeGap(c, gcid, at)
}

// Lost records that coverage ended at lastInbound; the gap it opens is closed
// by the next Subscribed, in this life of the process or another.
func (in *Intake) Lost(gcid schema.GCID, at, lastInbound time.Time, cause schema.GapCause) {
	c := in.account(gcid)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Subscribed = false
	if c.Open == nil { // a gap by a full journal simply goes on
		c.Open = &OpenGap{Start: lastInbound, Cause: cause}
	}
	c.refusing = false
	in.control(at, appendLost(c.head[:0], gcid, c.Open.Start, c.Open.Cause))
}

// closeGap journals the open gap, if there is one, as ended at at.
func (in *Intake) closeGap(c *coverage, gcid schema.GCID, at time.Time) {
	if c.Open == nil {
		return
	}
	end := at
	if end.Before(c.Open.Start) {
		end = c.Open.Start // the clock went back: a gap never ends before it starts
	}
	gap := schema.Gap{GCID: gcid, VINs: c.vins(), Start: c.Open.Start, End: end, Cause: c.Open.Cause}
	c.Open = nil
	in.keepGap(c, gap, at)
}

// keepGap journals a finished gap, or lets it wait for room.
func (in *Intake) keepGap(c *coverage, gap schema.Gap, at time.Time) {
	in.Stats.Gaps.Add(1)
	if !in.journalGap(gap, at) {
		c.Waiting = append(c.Waiting, gap)
		in.Stats.GapsWaiting.Add(1)
	}
}

func (in *Intake) journalGap(gap schema.Gap, at time.Time) bool {
	head := appendEntryHead(nil, entryGap, gap.GCID, "")
	return in.control(at, schema.AppendGap(head, &gap))
}

// control journals a control record from the reserve.
func (in *Intake) control(at time.Time, data []byte) bool {
	_, err := in.journal.Append(true, at, data)
	if refused := err != nil; in.controlRefused.Swap(refused) != refused {
		if refused {
			in.log.Error("journal refuses control records too, gaps wait in memory", "err", err)
		} else {
			in.log.Info("journal takes control records again")
		}
	}
	return err == nil
}

// Damaged records a gap for every account: the journal held messages of that
// span that can no longer be read.
func (in *Intake) Damaged(start, end time.Time) {
	in.mu.Lock()
	accounts := maps.Clone(in.accounts)
	in.mu.Unlock()
	for gcid, c := range accounts {
		c.mu.Lock()
		gap := schema.Gap{GCID: gcid, VINs: c.vins(), Start: start, End: end, Cause: schema.GapJournalLost}
		in.keepGap(c, gap, time.Now().UTC())
		c.mu.Unlock()
	}
}

// Heartbeat records that the process lives, so that a crash is known to the
// second, and brings in the gaps the journal had no room for. Call it once a second.
func (in *Intake) Heartbeat(at time.Time) {
	if !in.control(at, []byte{byte(entryHeartbeat)}) || in.Stats.GapsWaiting.Load() == 0 {
		return
	}
	in.mu.Lock()
	accounts := make([]*coverage, 0, len(in.accounts))
	for _, c := range in.accounts {
		accounts = append(accounts, c)
	}
	in.mu.Unlock()
	for _, c := range accounts {
		c.mu.Lock()
		for len(c.Waiting) > 0 && in.journalGap(c.Waiting[0], at) {
			c.Waiting = c.Waiting[1:]
			in.Stats.GapsWaiting.Add(-1)
		}
		c.mu.Unlock()
	}
}

// Coverage gives a copy of the state of all accounts, for the snapshot that a
// restart begins from. Take the journal's last number before the call.
func (in *Intake) Coverage(number uint64) Coverage {
	in.mu.Lock()
	defer in.mu.Unlock()
	snapshot := Coverage{Number: number, accounts: make(map[schema.GCID]*CoverageState, len(in.accounts))}
	for gcid, c := range in.accounts {
		c.mu.Lock()
		state := c.clone()
		c.mu.Unlock()
		snapshot.accounts[gcid] = &state
	}
	return snapshot
}
