package backfill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	heardApart  = 15 * time.Minute // longer silences begin a new span
	heardSpans  = 8                // kept of a car
	maxPending  = 20               // gaps of a car put down at once
	saveEvery   = 30 * time.Second
	deskFile    = "watch.json"
	streamField = `"source":"stream"` // in a value quotes are escaped, so it is the member
)

// desk is what watch knows of gaps and of when cars were heard. Readings are
// looked at by key and arrival alone, not decoded: that is cheap, and it is the
// pipeline's own word on when a car was last heard by the stream.
type desk struct {
	b *Backfill

	mu     sync.Mutex // guards what follows
	heard  map[schema.VIN][]span
	gaps   map[schema.GCID]map[schema.VIN][]span
	nextOf map[schema.VIN]time.Time // no repair before
	dirty  bool                     // not saved since the last change
}

// deskState is what of it is saved.
type deskState struct {
	Heard map[schema.VIN][]span                 `json:"heard"`
	Gaps  map[schema.GCID]map[schema.VIN][]span `json:"gaps"`
}

func newDesk(b *Backfill) *desk {
	d := &desk{
		b: b, heard: make(map[schema.VIN][]span), gaps: make(map[schema.GCID]map[schema.VIN][]span),
		nextOf: make(map[schema.VIN]time.Time),
	}
	for _, a := range b.accounts {
		d.gaps[a.GCID] = make(map[schema.VIN][]span)
	}
	return d
}

// handle takes records of the gaps and readings topics. A gap is on disk when
// it returns nil.
func (d *desk) handle(_ context.Context, topic string, _ int, batch []pipeline.Record) error {
	switch topic {
	case d.b.cfg.Topics.Readings:
		d.listen(batch)
		return nil
	case d.b.cfg.Topics.Gaps:
		if d.note(batch, time.Now()) {
			return d.save()
		}
	}
	return nil
}

// listen books when cars were heard by the stream.
func (d *desk) listen(batch []pipeline.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range batch {
		if !bytes.Contains(batch[i].Value, []byte(streamField)) {
			continue // what we fetched ourselves says nothing about the stream
		}
		vin := schema.VIN(batch[i].Key)
		d.heard[vin] = heardAt(d.heard[vin], batch[i].Time.UTC())
		d.dirty = true
	}
}

func heardAt(spans []span, at time.Time) []span {
	if n := len(spans); n > 0 {
		last := &spans[n-1]
		if !at.After(last.To) {
			return spans // out of order, or the same moment
		}
		if at.Sub(last.To) <= heardApart {
			last.To = at
			return spans
		}
	}
	spans = append(spans, span{at, at})
	return spans[max(len(spans)-heardSpans, 0):]
}

// note puts gaps down that may need a repair; false when there is none.
func (d *desk) note(batch []pipeline.Record, now time.Time) bool {
	decoder := schema.NewDecoder()
	d.mu.Lock()
	defer d.mu.Unlock()
	found := false
	for i := range batch {
		var g schema.Gap
		if err := decoder.Gap(&g, batch[i].Value); err != nil {
			continue // the sink makes it a dead letter
		}
		cars, ours := d.gaps[g.GCID]
		if !ours {
			continue
		}
		d.b.Stats.GapsSeen.Add(1)
		if g.End.Sub(g.Start) <= repairGap || now.Sub(g.End) > repairOld {
			continue
		}
		for _, vin := range g.VINs {
			cars[vin] = append(cars[vin], span{g.Start, g.End})
			cars[vin] = cars[vin][max(len(cars[vin])-maxPending, 0):]
			d.b.Stats.RepairsPending.Add(1)
			found, d.dirty = true, true
		}
	}
	return found
}

// repairable gives the cars of an account whose gaps are to be repaired now. It
// forgets gaps too old to be worth a call. A gap whose car was not heard before
// it stays, as the readings may be still on their way.
func (d *desk) repairable(gcid schema.GCID, now time.Time) []schema.VIN {
	d.mu.Lock()
	defer d.mu.Unlock()
	var cars []schema.VIN
	for vin, list := range d.gaps[gcid] {
		list = slices.DeleteFunc(list, func(g span) bool { return now.Sub(g.To) > repairOld })
		d.gaps[gcid][vin] = list
		if len(list) == 0 {
			delete(d.gaps[gcid], vin)
			continue
		}
		last := list[len(list)-1].To
		due := now.Sub(last) >= repairQuiet && !now.Before(d.nextOf[vin])
		if due && slices.ContainsFunc(list, func(g span) bool { return d.wasHeard(vin, g.From) }) {
			cars = append(cars, vin)
		}
	}
	slices.Sort(cars)
	return cars
}

// wasHeard tells whether the car was heard in the hour before a moment.
func (d *desk) wasHeard(vin schema.VIN, before time.Time) bool {
	return slices.ContainsFunc(d.heard[vin], func(s span) bool {
		return !s.From.After(before) && !s.To.Before(before.Add(-repairRecent))
	})
}

// done forgets the gaps that a call at the given time has made good.
func (d *desk) done(gcid schema.GCID, vin schema.VIN, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nextOf[vin] = at.Add(repairPause)
	list := slices.DeleteFunc(d.gaps[gcid][vin], func(g span) bool { return !g.To.After(at) })
	if d.gaps[gcid][vin] = list; len(list) == 0 {
		delete(d.gaps[gcid], vin)
	}
	d.dirty = true
}

// putOff keeps a car from being repaired again at once.
func (d *desk) putOff(vin schema.VIN, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nextOf[vin] = until
}

func (d *desk) saveNowAndThen(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := d.save(); err != nil {
				d.b.log.Warn("save", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (d *desk) path() string { return filepath.Join(d.b.cfg.DataDir, "backfill", deskFile) }

func (d *desk) save() error {
	d.mu.Lock() // held over I/O: two saves must not mix, and both are rare
	defer d.mu.Unlock()
	if !d.dirty {
		return nil
	}
	data, err := json.Marshal(deskState{Heard: d.heard, Gaps: d.gaps})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.path()), 0o700); err != nil {
		return err
	}
	if err := writeFile(d.path(), data); err != nil {
		return err
	}
	d.dirty = false
	return nil
}

// load reads what an earlier watch saved; a broken file counts as none.
func (d *desk) load() error {
	data, err := os.ReadFile(d.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var s deskState
	if json.Unmarshal(data, &s) != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.Heard != nil {
		d.heard = s.Heard
	}
	for gcid, cars := range s.Gaps {
		if _, ours := d.gaps[gcid]; ours && cars != nil {
			d.gaps[gcid] = cars
		}
	}
	return nil
}
