package pipeline

import (
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Inherit brings in what another process knew of an account that moves here: it
// was covered until gap.Start, and has these cars. The gap ends with the next
// Subscribed. Of two starts the later one counts: each is a moment that was
// covered. It must not be called while the account is subscribed here.
func (in *Intake) Inherit(gcid schema.GCID, gap OpenGap, vins []schema.VIN, at time.Time) {
	c := in.account(gcid)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, vin := range vins {
		c.know(vin)
	}
	if c.Open != nil && !c.Open.Start.Before(gap.Start) {
		return
	}
	c.Subscribed = false
	c.Open = &gap
	in.control(at, appendLost(c.head[:0], gcid, gap.Start, gap.Cause)) // known to a restart as well
}

// Handover tells what the next process has to Inherit of an account when this one
// was last known to live at alive. It is false for an account that never
// streamed, whose past is nobody's gap.
func (s *CoverageState) Handover(alive time.Time) (OpenGap, bool) {
	switch {
	case s.Open != nil:
		gap := *s.Open
		if gap.Cause == schema.GapShutdown || gap.Cause == schema.GapCrash {
			gap.Cause = schema.GapMoved
		}
		return gap, true
	case s.Since.IsZero():
		return OpenGap{}, false
	case s.Since.After(alive):
		return OpenGap{Start: s.Since, Cause: schema.GapMoved}, true
	default:
		return OpenGap{Start: alive, Cause: schema.GapMoved}, true
	}
}
