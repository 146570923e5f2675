package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	testGCID = schema.GCID("00000000-0000-4000-8000-000000000001")
	testVIN  = schema.VIN("WBY00000000000001")
)

func testTopic() string { return string(testGCID) + "/" + string(testVIN) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func at(seconds float64) time.Time {
	return time.Date(2026, 3, 14, 7, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// memoryJournal keeps records in memory and refuses on demand.
type memoryJournal struct {
	records           []memoryRecord
	full, controlFull bool
}

type memoryRecord struct {
	control bool
	at      time.Time
	data    []byte
}

var errTestFull = errors.New("full")

func (m *memoryJournal) Append(control bool, at time.Time, parts ...[]byte) (uint64, error) {
	if m.full && !control || m.controlFull && control {
		return 0, errTestFull
	}
	m.records = append(m.records, memoryRecord{control, at, bytes.Join(parts, nil)})
	return uint64(len(m.records)), nil
}

// gaps gives the gap records in the journal.
func (m *memoryJournal) gaps(t *testing.T) []schema.Gap {
	t.Helper()
	var gaps []schema.Gap
	for _, r := range m.records {
		e, err := decodeEntry(r.data)
		if err != nil {
			t.Fatalf("entry %q: %v", r.data, err)
		}
		if e.kind != entryGap {
			continue
		}
		var g schema.Gap
		if err := schema.NewDecoder().Gap(&g, e.payload); err != nil {
			t.Fatal(err)
		}
		gaps = append(gaps, g)
	}
	return gaps
}

// restart folds the journal as the next life of the process does.
func (m *memoryJournal) restart(c Coverage) Coverage {
	var last time.Time
	for i, r := range m.records {
		last = r.at
		if uint64(i+1) > c.Number {
			c.Fold(uint64(i+1), r.at, r.data)
		}
	}
	c.Crashed(last)
	return c
}

func wantGaps(t *testing.T, got []schema.Gap, want ...schema.Gap) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d gaps %+v, want %d", len(got), got, len(want))
	}
	for i, g := range got {
		w := want[i]
		if !g.Start.Equal(w.Start) || !g.End.Equal(w.End) || g.Cause != w.Cause || len(g.VINs) != len(w.VINs) || g.GCID != testGCID {
			t.Errorf("gap %d is %+v, want %+v", i, g, w)
		}
	}
}

func TestIntakeRecordsGaps(t *testing.T) {
	vins := []schema.VIN{testVIN}
	message := func(in *Intake, seconds float64) { in.Message(testGCID, testTopic(), []byte("{}"), at(seconds)) }
	for name, c := range map[string]struct {
		story func(in *Intake, j *memoryJournal)
		want  []schema.Gap
	}{
		"the first subscription ever ends no gap": {
			story: func(in *Intake, _ *memoryJournal) { in.Subscribed(testGCID, at(0)) },
		},
		"a loss is a gap from the last inbound packet to the next subscription": {
			story: func(in *Intake, _ *memoryJournal) {
				in.Subscribed(testGCID, at(0))
				message(in, 5)
				in.Lost(testGCID, at(40), at(10), schema.GapConnection)
				in.Subscribed(testGCID, at(52))
			},
			want: []schema.Gap{{Start: at(10), End: at(52), Cause: schema.GapConnection, VINs: vins}},
		},
		"failed tries between do not split the gap": {
			story: func(in *Intake, _ *memoryJournal) {
				in.Subscribed(testGCID, at(0))
				in.Lost(testGCID, at(40), at(10), schema.GapEvicted)
				in.Lost(testGCID, at(50), at(50), schema.GapRefused)
				in.Subscribed(testGCID, at(60))
			},
			want: []schema.Gap{{Start: at(10), End: at(60), Cause: schema.GapEvicted}},
		},
		"a gap never ends before it starts when the clock goes back": {
			story: func(in *Intake, _ *memoryJournal) {
				in.Subscribed(testGCID, at(0))
				in.Lost(testGCID, at(40), at(40), schema.GapConnection)
				in.Subscribed(testGCID, at(-100))
			},
			want: []schema.Gap{{Start: at(40), End: at(40), Cause: schema.GapConnection}},
		},
		"a full journal is a gap from the last accepted message to the next": {
			story: func(in *Intake, j *memoryJournal) {
				in.Subscribed(testGCID, at(0))
				message(in, 5)
				j.full = true
				message(in, 6)
				message(in, 7)
				j.full = false
				message(in, 9)
			},
			want: []schema.Gap{{Start: at(5), End: at(9), Cause: schema.GapJournalFull, VINs: vins}},
		},
		"a full journal right after subscribing starts its gap at the subscription": {
			story: func(in *Intake, j *memoryJournal) {
				in.Subscribed(testGCID, at(3))
				j.full = true
				message(in, 6)
				j.full = false
				message(in, 9)
			},
			want: []schema.Gap{{Start: at(3), End: at(9), Cause: schema.GapJournalFull, VINs: vins}},
		},
		"a loss while the journal is full goes on with the same gap": {
			story: func(in *Intake, j *memoryJournal) {
				in.Subscribed(testGCID, at(0))
				message(in, 5)
				j.full = true
				message(in, 6)
				in.Lost(testGCID, at(20), at(20), schema.GapConnection)
				j.full = false
				in.Subscribed(testGCID, at(30))
			},
			want: []schema.Gap{{Start: at(5), End: at(30), Cause: schema.GapJournalFull, VINs: vins}},
		},
		"a gap that finds no room waits for the next heartbeat": {
			story: func(in *Intake, j *memoryJournal) {
				in.Subscribed(testGCID, at(0))
				in.Lost(testGCID, at(10), at(10), schema.GapConnection)
				j.controlFull = true
				in.Subscribed(testGCID, at(20))
				in.Heartbeat(at(21))
				j.controlFull = false
				in.Heartbeat(at(22))
				in.Heartbeat(at(23))
			},
			want: []schema.Gap{{Start: at(10), End: at(20), Cause: schema.GapConnection}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := &memoryJournal{}
			in := NewIntake(j, Coverage{}, discard())
			c.story(in, j)
			wantGaps(t, j.gaps(t), c.want...)
			if s := &in.Stats; s.MessagesReceived.Load() != s.MessagesJournaled.Load()+s.MessagesRefused.Load() {
				t.Errorf("received %d is not journaled %d + refused %d",
					s.MessagesReceived.Load(), s.MessagesJournaled.Load(), s.MessagesRefused.Load())
			}
		})
	}
}

func TestCoverageSurvivesTheProcess(t *testing.T) {
	for name, c := range map[string]struct {
		life func(in *Intake, j *memoryJournal)
		want schema.Gap // after a restart that subscribes at 100
	}{
		"a crash is a gap from the journal's last record": {
			life: func(in *Intake, _ *memoryJournal) {
				in.Subscribed(testGCID, at(0))
				in.Message(testGCID, testTopic(), []byte("{}"), at(5))
				in.Heartbeat(at(8))
			},
			want: schema.Gap{Start: at(8), End: at(100), Cause: schema.GapCrash, VINs: []schema.VIN{testVIN}},
		},
		"an orderly stop is a gap from the last inbound packet": {
			life: func(in *Intake, _ *memoryJournal) {
				in.Subscribed(testGCID, at(0))
				in.Lost(testGCID, at(8), at(7), schema.GapShutdown)
			},
			want: schema.Gap{Start: at(7), End: at(100), Cause: schema.GapShutdown},
		},
		"a crash while the journal is full keeps the gap's start": {
			life: func(in *Intake, j *memoryJournal) {
				in.Subscribed(testGCID, at(0))
				in.Message(testGCID, testTopic(), []byte("{}"), at(5))
				j.full = true
				in.Message(testGCID, testTopic(), []byte("{}"), at(6))
				in.Heartbeat(at(50))
			},
			want: schema.Gap{Start: at(5), End: at(100), Cause: schema.GapJournalFull, VINs: []schema.VIN{testVIN}},
		},
		"a crash after the journal was full and took messages again starts at the crash": {
			life: func(in *Intake, j *memoryJournal) {
				in.Subscribed(testGCID, at(0))
				j.full = true
				in.Message(testGCID, testTopic(), []byte("{}"), at(6))
				j.full = false
				in.Message(testGCID, testTopic(), []byte("{}"), at(7))
				in.Heartbeat(at(50))
			},
			want: schema.Gap{Start: at(50), End: at(100), Cause: schema.GapCrash, VINs: []schema.VIN{testVIN}},
		},
	} {
		for _, how := range []string{"folding all", "from a snapshot"} {
			t.Run(name+" "+how, func(t *testing.T) {
				j := &memoryJournal{}
				in := NewIntake(j, Coverage{}, discard())
				c.life(in, j)
				var known Coverage
				if how == "from a snapshot" {
					snapshot := in.Coverage(uint64(len(j.records)))
					data, err := json.Marshal(&snapshot)
					if err != nil {
						t.Fatal(err)
					}
					if err := json.Unmarshal(data, &known); err != nil {
						t.Fatal(err)
					}
				}
				known = j.restart(known)
				next := &memoryJournal{}
				in = NewIntake(next, known, discard())
				in.Subscribed(testGCID, at(100))
				wantGaps(t, next.gaps(t), c.want)
			})
		}
	}
}

func TestGapWithoutRoomSurvivesACrash(t *testing.T) {
	life := func() (*Intake, *memoryJournal) {
		j := &memoryJournal{}
		in := NewIntake(j, Coverage{}, discard())
		in.Subscribed(testGCID, at(0))
		in.Lost(testGCID, at(10), at(9), schema.GapConnection)
		j.controlFull = true
		in.Subscribed(testGCID, at(20))
		return in, j
	}
	t.Run("the journal alone keeps the older start", func(t *testing.T) {
		_, j := life()
		next := &memoryJournal{}
		NewIntake(next, j.restart(Coverage{}), discard()).Subscribed(testGCID, at(100))
		wantGaps(t, next.gaps(t), schema.Gap{Start: at(9), End: at(100), Cause: schema.GapConnection})
	})
	t.Run("a snapshot carries the waiting gap", func(t *testing.T) {
		in, j := life()
		known := in.Coverage(uint64(len(j.records)))
		known.Crashed(at(30))
		next := &memoryJournal{}
		in = NewIntake(next, known, discard())
		in.Heartbeat(at(99))
		in.Subscribed(testGCID, at(100))
		wantGaps(t, next.gaps(t),
			schema.Gap{Start: at(9), End: at(20), Cause: schema.GapConnection},
			schema.Gap{Start: at(30), End: at(100), Cause: schema.GapCrash})
	})
}

func TestSnapshotIsReadBackWhole(t *testing.T) {
	j := &memoryJournal{}
	in := NewIntake(j, Coverage{}, discard())
	in.Subscribed(testGCID, at(0))
	in.Message(testGCID, testTopic(), []byte("{}"), at(5))
	in.Lost(testGCID, at(8), at(7), schema.GapConnection)
	snapshot := in.Coverage(42)
	data, err := json.Marshal(&snapshot)
	if err != nil {
		t.Fatal(err)
	}
	var c Coverage
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	s, ok := c.State(testGCID)
	if !ok || c.Number != 42 || s.Subscribed || s.Open == nil || !s.Open.Start.Equal(at(7)) || len(s.Known) != 1 || s.Known[0] != testVIN {
		t.Errorf("got %d %+v", c.Number, s)
	}
	if err := json.Unmarshal([]byte(`{"number":1,"accounts":{"x":null}}`), &c); err != nil || len(c.Accounts()) != 0 {
		t.Errorf("null account: %v %v", err, c.Accounts())
	}
	if err := json.Unmarshal([]byte(`{"number":"x"}`), &c); err == nil {
		t.Error("torn snapshot: no error")
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(append(appendEntryHead(nil, entryMessage, testGCID, testTopic()), "{}"...))
	f.Add(appendLost(nil, testGCID, at(3), schema.GapCrash))
	f.Add([]byte{byte(entryHeartbeat)})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEntry(data)
		if err != nil || e.kind != entryMessage {
			return
		}
		again, err := decodeEntry(append(appendEntryHead(nil, e.kind, schema.GCID(e.gcid), string(e.topic)), e.payload...))
		if err != nil || !bytes.Equal(again.payload, e.payload) || !bytes.Equal(again.topic, e.topic) {
			t.Errorf("encode and decode: %+v, then %+v (%v)", e, again, err)
		}
	})
}
