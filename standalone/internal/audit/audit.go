// Package audit holds what the simulator handed to a socket against what is in
// InfluxDB, reading by reading. It proves the promise that nothing is lost
// outside recorded gaps.
package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// Transit is the longest time a message may be on its way between the
// simulator's write and the client's read: a gap that starts when the last
// message was read may hide one that was handed over that much earlier.
const Transit = 2 * time.Second

// Account is the outcome for one account.
type Account struct {
	Sent       int64    `json:"sent"`        // readings handed to a live connection
	InGap      int64    `json:"in_gap"`      // of these, missing but inside a recorded gap
	Duplicates int64    `json:"duplicates"`  // of these, repeats of key and value
	Revised    int64    `json:"revised"`     // of these, replaced by a later value of the same key
	Unreadable int64    `json:"unreadable"`  // of these, garbled on purpose: dead letters
	Points     int64    `json:"points"`      // in InfluxDB for the account's cars
	Lost       int64    `json:"lost"`        // missing, and nothing explains it
	Wrong      int64    `json:"wrong"`       // in InfluxDB with another value
	Unknown    int64    `json:"unknown"`     // in InfluxDB, but never handed over in this run or before it
	Gaps       int64    `json:"gaps"`        // gap records
	GapSeconds int64    `json:"gap_seconds"` // their length together
	Examples   []string `json:"-"`           // of lost and wrong readings, for a person
}

// Add sums up.
func (a *Account) Add(o Account) {
	a.Sent += o.Sent
	a.InGap += o.InGap
	a.Duplicates += o.Duplicates
	a.Revised += o.Revised
	a.Unreadable += o.Unreadable
	a.Points += o.Points
	a.Lost += o.Lost
	a.Wrong += o.Wrong
	a.Unknown += o.Unknown
	a.Gaps += o.Gaps
	a.GapSeconds += o.GapSeconds
	a.Examples = append(a.Examples, o.Examples...)
}

// identity is the key of a reading within one vehicle.
type identity struct {
	descriptor schema.Descriptor
	measured   int64 // ns
}

// fate is what was handed over for one identity.
type fate struct {
	last   schema.Value
	handed []time.Time
	values []schema.Value // other than last
	stored bool
}

// Check audits one account. Everything in flight must have settled before.
func Check(ctx context.Context, db *influx.Client, ledger *simulator.Ledger, account simulator.Account) (Account, error) {
	var out Account
	cars := make(map[schema.VIN]map[identity]*fate, len(account.VINs))
	for e := range ledger.Entries(account.GCID) {
		out.Sent++
		if e.Unreadable {
			out.Unreadable++
			continue
		}
		if cars[e.VIN] == nil {
			cars[e.VIN] = make(map[identity]*fate)
		}
		out.note(cars[e.VIN], &e)
	}
	gaps, err := readGaps(ctx, db, account.GCID)
	if err != nil {
		return out, err
	}
	out.Gaps = int64(len(gaps))
	for _, g := range gaps {
		out.GapSeconds += int64(g.end.Sub(g.start).Seconds())
	}
	for _, vin := range account.VINs {
		if err := out.compare(ctx, db, vin, cars[vin]); err != nil {
			return out, err
		}
		out.judge(vin, cars[vin], gaps)
	}
	return out, nil
}

func (a *Account) note(car map[identity]*fate, e *simulator.Entry) {
	id := identity{e.Descriptor, e.Measured.UnixNano()}
	f := car[id]
	if f == nil {
		car[id] = &fate{last: e.Truth, handed: []time.Time{e.Handed}}
		return
	}
	f.handed = append(f.handed, e.Handed)
	if f.last == e.Truth {
		a.Duplicates++
		return
	}
	a.Revised++
	f.values = append(f.values, f.last)
	f.last = e.Truth
}

// compare reads all of a vehicle's points and marks what was handed over.
func (a *Account) compare(ctx context.Context, db *influx.Client, vin schema.VIN, car map[identity]*fate) error {
	q := fmt.Sprintf(`SELECT "number", "bool", "text", "absent" FROM "reading" WHERE "vin" = %s GROUP BY "descriptor"`, influx.QuoteText(string(vin)))
	err := db.Query(ctx, q, func(row influx.Row) error {
		a.Points++
		f := car[identity{schema.Descriptor(row.Tag("descriptor")), row.Time()}]
		if f == nil {
			a.Unknown++ // of an earlier run on the same data
			return nil
		}
		f.stored = true
		got, ok := valueOf(row)
		if ok && got == f.last {
			return nil
		}
		if ok && slices.Contains(f.values, got) && len(f.handed) > 1 {
			// The later value may be the one inside a gap; judge knows.
			f.stored = false
			f.values = []schema.Value{got}
			return nil
		}
		a.Wrong++
		a.example("wrong", vin, row.Tag("descriptor"), row.Time(), fmt.Sprintf("want %v, got %v", f.last, got))
		return nil
	})
	if err != nil {
		return fmt.Errorf("audit readings: %w", err)
	}
	return nil
}

// valueOf reads a point as every reader must: number or bool, then text, then absent.
func valueOf(row influx.Row) (schema.Value, bool) {
	if n, ok := row.Float("number"); ok {
		return schema.Value{Kind: schema.KindNumber, Number: n}, true
	}
	if b, ok := row.Bool("bool"); ok {
		return schema.Value{Kind: schema.KindBool, Bool: b}, true
	}
	if t, ok := row.Text("text"); ok {
		return schema.Value{Kind: schema.KindText, Text: t}, true
	}
	if absent, ok := row.Bool("absent"); ok && absent {
		return schema.Value{}, true
	}
	return schema.Value{}, false
}

type span struct{ start, end time.Time }

func readGaps(ctx context.Context, db *influx.Client, gcid schema.GCID) ([]span, error) {
	var gaps []span
	seen := make(map[int64]bool)
	q := fmt.Sprintf(`SELECT "end" FROM "gap" WHERE "gcid" = %s GROUP BY *`, influx.QuoteText(string(gcid)))
	err := db.Query(ctx, q, func(row influx.Row) error {
		end, ok := row.Int("end")
		if !ok || seen[row.Time()] {
			return nil // one point per car: the same gap
		}
		seen[row.Time()] = true
		gaps = append(gaps, span{time.Unix(0, row.Time()), time.UnixMilli(end)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("audit gaps: %w", err)
	}
	return gaps, nil
}

// judge decides about what is missing.
func (a *Account) judge(vin schema.VIN, car map[identity]*fate, gaps []span) {
	for id, f := range car {
		if f.stored {
			continue
		}
		if inGap(gaps, f.handed[len(f.handed)-1]) {
			a.InGap++
			continue
		}
		a.Lost++
		a.example("lost", vin, string(id.descriptor), id.measured, "handed "+f.handed[len(f.handed)-1].UTC().Format(time.RFC3339Nano))
	}
}

func inGap(gaps []span, handed time.Time) bool {
	return slices.ContainsFunc(gaps, func(g span) bool {
		return !handed.Before(g.start.Add(-Transit)) && !handed.After(g.end)
	})
}

func (a *Account) example(kind string, vin schema.VIN, descriptor string, measured int64, text string) {
	const enough = 10
	if len(a.Examples) < enough {
		at := time.Unix(0, measured).UTC().Format(time.RFC3339Nano)
		a.Examples = append(a.Examples, fmt.Sprintf("%s: %s %s at %s: %s", kind, vin.LogValue(), descriptor, at, text))
	}
}
