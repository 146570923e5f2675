package simulator

import (
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Entry is one reading that was handed to a live, subscribed connection's
// socket: what the far end of any pipeline must account for. Whether it
// arrived is certain only for connections that ended in order.
type Entry struct {
	GCID       schema.GCID
	VIN        schema.VIN
	Descriptor schema.Descriptor
	Measured   time.Time    // as on the wire, UTC
	Truth      schema.Value // what a reader must see in the end, in the canonical unit
	Unit       string       // canonical unit of Truth, empty when none
	Sent       time.Time    // envelope time, UTC
	Handed     time.Time    // just before the write to the socket, UTC
	Conn       uint64       // number of the connection, counted from 1 over all accounts
	Duplicate  bool         // repeats an earlier reading: same key, same value
	Unreadable bool         // garbled on purpose: must end in the dead letters
}

// Connection is one accepted connection as the service saw it. What was handed
// to it and never arrived is the end of its entries: those that were on their
// way at Closed.
type Connection struct {
	Number uint64    // as in Entry.Conn
	Opened time.Time // accepted, UTC
	Closed time.Time // let go of, UTC; zero while it lasts
}

// Counts sums up one account's feed.
type Counts struct {
	Messages   int64 // handed to a subscribed connection's socket
	Readings   int64 // entries; Inject may put several into one message
	Duplicates int64 // of Readings
	Unreadable int64 // of Readings
	Unheard    int64 // messages due while nobody was subscribed to their car
}

func (c *Counts) add(o Counts) {
	c.Messages += o.Messages
	c.Readings += o.Readings
	c.Duplicates += o.Duplicates
	c.Unreadable += o.Unreadable
	c.Unheard += o.Unheard
}

// Ledger holds every reading handed to a socket, per account in the order it
// was handed over, in about 50 bytes each. Safe for concurrent use; it only
// grows, and reading does not hold up the feed.
type Ledger struct {
	pages map[schema.GCID]*ledgerPage
	order []schema.GCID
}

func newLedger(accounts []Account) *Ledger {
	l := &Ledger{pages: make(map[schema.GCID]*ledgerPage, len(accounts))}
	for _, a := range accounts {
		l.pages[a.GCID] = newLedgerPage(a.GCID)
		l.order = append(l.order, a.GCID)
	}
	return l
}

// Entries walks through what was handed to the account's connections, in
// order, up to the moment of the call.
func (l *Ledger) Entries(gcid schema.GCID) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		if p := l.pages[gcid]; p != nil {
			p.walk(yield)
		}
	}
}

// Connections gives an account's connections so far, in order.
func (l *Ledger) Connections(gcid schema.GCID) []Connection {
	p := l.pages[gcid]
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.conns)
}

// Len gives the number of entries of all accounts.
func (l *Ledger) Len() int { return int(l.Total().Readings) }

// Counts gives one account's sums; all zero for an unknown account.
func (l *Ledger) Counts(gcid schema.GCID) Counts {
	p := l.pages[gcid]
	if p == nil {
		return Counts{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// Total gives the sums over all accounts.
func (l *Ledger) Total() Counts {
	var sum Counts
	for _, g := range l.order {
		sum.add(l.Counts(g))
	}
	return sum
}

// packed is an Entry without its repetitions: 48 bytes.
type packed struct {
	measured, sent, handed int64   // Unix nanoseconds
	number                 float64 // or the text's number, or 1 for true
	conn                   uint32
	vin, descriptor, unit  uint16
	kind                   schema.Kind
	flags                  uint8
}

const (
	flagDuplicate = 1 << iota
	flagUnreadable
)

// Entries are allocated in chunks that grow with the page, so that thousands of
// quiet accounts cost little and a busy one does not copy what it has.
const (
	firstChunk = 64
	lastChunk  = 4096
)

// ledgerPage is one account's part.
type ledgerPage struct {
	gcid schema.GCID

	mu     sync.Mutex // guards all below
	counts Counts
	chunks [][]packed // filled up to their capacity; entries are never changed
	names  interned   // VINs, descriptors, units
	texts  interned   // values
	conns  []Connection
}

func newLedgerPage(gcid schema.GCID) *ledgerPage {
	return &ledgerPage{gcid: gcid, names: newInterned(), texts: newInterned()}
}

// add books one message with its entries; their Handed and Conn are the
// message's.
func (p *ledgerPage) add(handed time.Time, conn uint64, entries ...Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Messages++
	for i := range entries {
		p.append(&entries[i], handed, conn)
	}
}

func (p *ledgerPage) append(e *Entry, handed time.Time, conn uint64) {
	p.counts.Readings++
	v := packed{
		measured: nanos(e.Measured), sent: nanos(e.Sent), handed: handed.UnixNano(), conn: uint32(conn),
		vin:        uint16(p.names.number(string(e.VIN))),
		descriptor: uint16(p.names.number(string(e.Descriptor))),
		unit:       uint16(p.names.number(e.Unit)),
		kind:       e.Truth.Kind,
	}
	switch {
	case e.Truth.Kind == schema.KindNumber:
		v.number = e.Truth.Number
	case e.Truth.Kind == schema.KindText:
		v.number = float64(p.texts.number(e.Truth.Text))
	case e.Truth.Bool:
		v.number = 1
	}
	if e.Duplicate {
		v.flags |= flagDuplicate
		p.counts.Duplicates++
	}
	if e.Unreadable {
		v.flags |= flagUnreadable
		p.counts.Unreadable++
	}
	last := len(p.chunks) - 1
	if last < 0 || len(p.chunks[last]) == cap(p.chunks[last]) {
		size := min(lastChunk, max(firstChunk, int(p.counts.Readings)))
		p.chunks = append(p.chunks, make([]packed, 0, size))
		last++
	}
	p.chunks[last] = append(p.chunks[last], v)
}

// unheard books a message that nobody was there to hear.
func (p *ledgerPage) unheard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Unheard++
}

// opened books a new connection.
func (p *ledgerPage) opened(conn uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, Connection{Number: conn, Opened: time.Now().UTC()})
}

// closed books a connection's end.
func (p *ledgerPage) closed(conn uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.conns {
		if p.conns[i].Number == conn && p.conns[i].Closed.IsZero() {
			p.conns[i].Closed = time.Now().UTC()
		}
	}
}

// walk unpacks a snapshot: entries and words are only ever added, so that what
// the snapshot reaches is at rest.
func (p *ledgerPage) walk(yield func(Entry) bool) {
	p.mu.Lock()
	chunks := slices.Clone(p.chunks)
	names, texts := p.names.words, p.texts.words
	p.mu.Unlock()
	for _, c := range chunks {
		for i := range c {
			if !yield(c[i].entry(p.gcid, names, texts)) {
				return
			}
		}
	}
}

func (v *packed) entry(gcid schema.GCID, names, texts []string) Entry {
	e := Entry{
		GCID: gcid, VIN: schema.VIN(names[v.vin]), Descriptor: schema.Descriptor(names[v.descriptor]),
		Measured: moment(v.measured), Sent: moment(v.sent), Handed: moment(v.handed),
		Truth: schema.Value{Kind: v.kind}, Unit: names[v.unit], Conn: uint64(v.conn),
		Duplicate: v.flags&flagDuplicate != 0, Unreadable: v.flags&flagUnreadable != 0,
	}
	switch v.kind {
	case schema.KindNumber:
		e.Truth.Number = v.number
	case schema.KindBool:
		e.Truth.Bool = v.number != 0
	case schema.KindText:
		e.Truth.Text = texts[int(v.number)]
	case schema.KindNull:
	}
	return e
}

// noTime stands for the zero time, which Unix nanoseconds cannot express.
const noTime = math.MinInt64

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixNano()
}

func moment(nanos int64) time.Time {
	if nanos == noTime {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// interned numbers texts so that each is kept once.
type interned struct {
	numbers map[string]uint32
	words   []string
}

func newInterned() interned {
	return interned{numbers: map[string]uint32{"": 0}, words: []string{""}}
}

func (t *interned) number(word string) uint32 {
	n, ok := t.numbers[word]
	if !ok {
		n = uint32(len(t.words))
		t.numbers[word] = n
		t.words = append(t.words, word)
	}
	return n
}
