package pipeline

import (
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// An account that comes from another process begins with the gap since that one,
// whatever this process knew of it before, and survives a crash in between.
func TestIntakeInheritsAnAccount(t *testing.T) {
	for name, c := range map[string]struct {
		before func(in *Intake)
		gap    OpenGap
		want   schema.Gap
	}{
		"new here": {
			func(*Intake) {},
			OpenGap{at(10), schema.GapMoved},
			schema.Gap{GCID: testGCID, VINs: []schema.VIN{testVIN}, Start: at(10), End: at(30), Cause: schema.GapMoved},
		},
		"was here before, streamed elsewhere since": {
			func(in *Intake) { in.Subscribed(testGCID, at(1)); in.Lost(testGCID, at(3), at(2), schema.GapShutdown) },
			OpenGap{at(10), schema.GapMoved},
			schema.Gap{GCID: testGCID, VINs: []schema.VIN{testVIN}, Start: at(10), End: at(30), Cause: schema.GapMoved},
		},
		"the other never streamed": {
			func(in *Intake) {
				in.Subscribed(testGCID, at(1))
				in.Lost(testGCID, at(13), at(12), schema.GapShutdown)
			},
			OpenGap{at(11), schema.GapMoved},
			schema.Gap{GCID: testGCID, VINs: []schema.VIN{testVIN}, Start: at(12), End: at(30), Cause: schema.GapShutdown},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, crash := range []bool{false, true} {
				j := &memoryJournal{}
				in := NewIntake(j, Coverage{}, discard())
				c.before(in)
				in.Inherit(testGCID, c.gap, []schema.VIN{testVIN}, at(20))
				if crash {
					in.Message(testGCID, testTopic(), nil, at(21)) // the cars are known from the messages alone
					in = NewIntake(j, j.restart(Coverage{}), discard())
				}
				in.Subscribed(testGCID, at(30))
				wantGaps(t, j.gaps(t), c.want)
			}
		})
	}
}

func TestHandoverNamesTheLastCoveredMoment(t *testing.T) {
	for name, c := range map[string]struct {
		state CoverageState
		want  OpenGap
		ok    bool
	}{
		"never streamed":            {CoverageState{}, OpenGap{}, false},
		"streamed until the end":    {CoverageState{Subscribed: true, Since: at(1)}, OpenGap{at(9), schema.GapMoved}, true},
		"just subscribed":           {CoverageState{Subscribed: true, Since: at(9.5)}, OpenGap{at(9.5), schema.GapMoved}, true},
		"stopped in order":          {CoverageState{Since: at(1), Open: &OpenGap{at(8), schema.GapShutdown}}, OpenGap{at(8), schema.GapMoved}, true},
		"had lost its connection":   {CoverageState{Since: at(1), Open: &OpenGap{at(4), schema.GapConnection}}, OpenGap{at(4), schema.GapConnection}, true},
		"never got to a connection": {CoverageState{Open: &OpenGap{at(2), schema.GapMoved}}, OpenGap{at(2), schema.GapMoved}, true},
		"journal was full":          {CoverageState{Subscribed: true, Since: at(1), Open: &OpenGap{at(5), schema.GapJournalFull}}, OpenGap{at(5), schema.GapJournalFull}, true},
	} {
		if got, ok := c.state.Handover(at(9)); got != c.want || ok != c.ok {
			t.Errorf("%s: got %v, %v; want %v, %v", name, got, ok, c.want, c.ok)
		}
	}
}
