package pipeline

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Counts is one account's ledger within one life of a process.
//
// Messages: Journaled = Normalised + DeadLettered. Readings: Readings =
// Produced + Duplicates + Skipped + Minimised once nothing is in flight.
type Counts struct {
	MessagesJournaled    atomic.Int64 // read from the journal
	MessagesNormalised   atomic.Int64 // every point of it could be used
	MessagesDeadLettered atomic.Int64 // some point of it, or all of it, could not
	Readings             atomic.Int64 // out of normalising, with Skipped
	ReadingsDuplicate    atomic.Int64
	ReadingsRevised      atomic.Int64 // same key, other value; part of Produced
	ReadingsSkipped      atomic.Int64 // descriptors the car never reported
	ReadingsMinimised    atomic.Int64 // dropped for the account's consent
	ReadingsMisfit       atomic.Int64 // did not fit the catalogue's type; part of the others
	ReadingsProduced     atomic.Int64 // acknowledged by Kafka
	ReadingsStored       atomic.Int64 // of the stream, acknowledged by the sink
	DeadLetters          atomic.Int64 // letters durable in Kafka
}

// Ledger holds the counts of all accounts. Safe for concurrent use.
type Ledger struct {
	mu       sync.RWMutex // guards accounts
	accounts map[schema.GCID]*Counts
}

// NewLedger starts at zero.
func NewLedger() *Ledger { return &Ledger{accounts: make(map[schema.GCID]*Counts)} }

// Account gives the counts of one account, to be kept by who counts.
func (l *Ledger) Account(gcid schema.GCID) *Counts {
	l.mu.RLock()
	c := l.accounts[gcid]
	l.mu.RUnlock()
	if c != nil {
		return c
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c = l.accounts[gcid]; c == nil {
		c = &Counts{}
		l.accounts[gcid] = c
	}
	return c
}

// Accounts lists the accounts that have counts, sorted.
func (l *Ledger) Accounts() []schema.GCID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Sorted(maps.Keys(l.accounts))
}

// Sum adds up one figure over all accounts.
func (l *Ledger) Sum(figure func(*Counts) *atomic.Int64) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var sum int64
	for _, c := range l.accounts {
		sum += figure(c).Load()
	}
	return sum
}
