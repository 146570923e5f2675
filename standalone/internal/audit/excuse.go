package audit

import (
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Transit is the longest time a message may be on its way between the
// simulator's write and the client's read: a gap that starts when the last
// message was read may hide one that was handed over that much earlier.
const Transit = 2 * time.Second

// endSlack is what a gap's end lost by being stored in milliseconds.
const endSlack = time.Millisecond

// excuses tells whether a missing message lies inside a recorded gap: it was
// handed over within the gap (or on its way when that began), and after the
// last message of its connection that did arrive, for a connection loses its
// end and nothing else. Only where the journal was full or damaged may later
// messages of the same connection be there.
type excuses struct {
	gaps    []schema.Gap
	arrived map[uint64]int // by connection: order of the last message that surely arrived
}

func newExcuses(gaps []schema.Gap, cars map[schema.VIN]fates) *excuses {
	x := &excuses{gaps: gaps, arrived: make(map[uint64]int)}
	for _, car := range cars {
		for _, f := range car {
			last, sure := f.arrived()
			if !sure {
				continue // a repeat: no telling which of them it was
			}
			h := &f.handings[last]
			x.arrived[h.conn] = max(x.arrived[h.conn], h.order)
		}
	}
	return x
}

func (x *excuses) cover(h *handing) bool {
	return slices.ContainsFunc(x.gaps, func(g schema.Gap) bool {
		if h.handed.Before(g.Start.Add(-Transit)) || h.handed.After(g.End.Add(endSlack)) {
			return false
		}
		return g.Cause == schema.GapJournalFull || g.Cause == schema.GapJournalLost || h.order > x.arrived[h.conn]
	})
}
