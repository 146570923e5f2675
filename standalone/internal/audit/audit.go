// Package audit holds what the simulator handed to a socket against what is in
// InfluxDB, reading by reading. It proves the promise that nothing is lost
// outside recorded gaps.
package audit

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// Account is the outcome for one account.
type Account struct {
	Sent       int64    `json:"sent"`        // readings handed to a live connection
	InGap      int64    `json:"in_gap"`      // of these, missing but inside a recorded gap
	Duplicates int64    `json:"duplicates"`  // of these, repeats of key and value
	Revised    int64    `json:"revised"`     // of these, another value of a key sent before
	Unreadable int64    `json:"unreadable"`  // of these, garbled on purpose: dead letters
	Points     int64    `json:"points"`      // in InfluxDB for the account's cars
	Lost       int64    `json:"lost"`        // missing, and nothing explains it
	Wrong      int64    `json:"wrong"`       // in InfluxDB with a value that was never sent for it
	Doubled    int64    `json:"doubled"`     // in InfluxDB more than once
	Unknown    int64    `json:"unknown"`     // in InfluxDB, but never handed over: of an earlier run on the same data
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
	a.Doubled += o.Doubled
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

// handing is one time a reading was handed over.
type handing struct {
	order  int // in the account's ledger, which is the order on the wire
	conn   uint64
	handed time.Time
	value  schema.Value
}

// fate is all that was handed over for one identity, in order, and what
// InfluxDB has for it.
type fate struct {
	handings []handing
	stored   bool
	got      []schema.Value // one for each field of the point, see valuesOf
}

// arrived gives the index of the last handing that the stored value may have
// come from, and whether there is just one such; -1 when there is none.
func (f *fate) arrived() (last int, sure bool) {
	last = -1
	if !f.stored {
		return last, false
	}
	for i := range f.handings {
		if slices.Contains(f.got, f.handings[i].value) {
			sure = last < 0
			last = i
		}
	}
	return last, sure
}

type fates map[identity]*fate

// Ledger gives all that was handed to the sockets of an account, in order; see
// simulator.Ledger.
type Ledger interface {
	Entries(gcid schema.GCID) iter.Seq[simulator.Entry]
}

// Check audits one account. Everything in flight must have settled before.
func Check(ctx context.Context, db *influx.Client, ledger Ledger, account simulator.Account) (Account, error) {
	var out Account
	cars := make(map[schema.VIN]fates, len(account.VINs))
	for e := range ledger.Entries(account.GCID) {
		out.Sent++
		if e.Unreadable {
			out.Unreadable++
			continue
		}
		if cars[e.VIN] == nil {
			cars[e.VIN] = make(fates)
		}
		out.note(cars[e.VIN], &e)
	}
	gaps, err := Gaps(ctx, db, account.GCID)
	if err != nil {
		return out, err
	}
	out.Gaps = int64(len(gaps))
	for _, g := range gaps {
		out.GapSeconds += int64(g.End.Sub(g.Start).Seconds())
	}
	for _, vin := range account.VINs {
		if err := out.compare(ctx, db, vin, cars[vin]); err != nil {
			return out, err
		}
	}
	out.judge(cars, newExcuses(gaps, cars))
	return out, nil
}

func (a *Account) note(car fates, e *simulator.Entry) {
	id := identity{e.Descriptor, e.Measured.UnixNano()}
	f := car[id]
	switch {
	case f == nil:
		f = &fate{}
		car[id] = f
	case f.handings[len(f.handings)-1].value == e.Truth:
		a.Duplicates++
	default:
		a.Revised++
	}
	f.handings = append(f.handings, handing{int(a.Sent), e.Conn, e.Handed, e.Truth})
}

// compare reads all of a vehicle's points and notes what was handed over.
func (a *Account) compare(ctx context.Context, db *influx.Client, vin schema.VIN, car fates) error {
	q := fmt.Sprintf(`SELECT "number", "bool", "text", "absent" FROM "reading" WHERE "vin" = %s GROUP BY "descriptor"`, influx.QuoteText(string(vin)))
	err := db.Query(ctx, q, func(row influx.Row) error {
		a.Points++
		f := car[identity{schema.Descriptor(row.Tag("descriptor")), row.Time()}]
		switch {
		case f == nil:
			a.Unknown++
			return nil
		case f.stored:
			a.Doubled++
		}
		f.stored, f.got = true, valuesOf(row)
		if !f.handedAll() {
			a.Wrong++
			want := f.handings[len(f.handings)-1].value
			a.example("wrong", vin, row.Tag("descriptor"), row.Time(), fmt.Sprintf("want %v, got %v", want, f.got))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("audit readings: %w", err)
	}
	return nil
}

// handedAll tells whether every field of the point was handed over once.
func (f *fate) handedAll() bool {
	for _, v := range f.got {
		if !slices.ContainsFunc(f.handings, func(h handing) bool { return h.value == v }) {
			return false
		}
	}
	return len(f.got) > 0
}

// valuesOf gives the value of each field of a point. There is more than one
// where a revision changed the kind of a value: no write takes a field back, so
// a number that was replaced by null stands beside the mark of the null, and
// readers go by their rule (number or bool, then text, then absent). Which of
// them came last InfluxDB does not tell; that each arrived it does.
func valuesOf(row influx.Row) []schema.Value {
	var values []schema.Value
	if n, ok := row.Float("number"); ok {
		values = append(values, schema.Value{Kind: schema.KindNumber, Number: n})
	}
	if b, ok := row.Bool("bool"); ok {
		values = append(values, schema.Value{Kind: schema.KindBool, Bool: b})
	}
	if t, ok := row.Text("text"); ok {
		values = append(values, schema.Value{Kind: schema.KindText, Text: t})
	}
	if absent, ok := row.Bool("absent"); ok && absent {
		values = append(values, schema.Value{})
	}
	return values
}

// judge decides about each handing that is not in InfluxDB and was not replaced
// by a later one that is.
func (a *Account) judge(cars map[schema.VIN]fates, excuses *excuses) {
	for vin, car := range cars {
		for id, f := range car {
			last, _ := f.arrived()
			if f.stored && last < 0 {
				continue // wrong, and counted as that
			}
			for i := last + 1; i < len(f.handings); i++ {
				h := &f.handings[i]
				if excuses.cover(h) {
					a.InGap++
					continue
				}
				a.Lost++
				a.example("lost", vin, string(id.descriptor), id.measured, "handed over at "+h.handed.UTC().Format(time.RFC3339Nano))
			}
		}
	}
}

func (a *Account) example(kind string, vin schema.VIN, descriptor string, measured int64, text string) {
	const enough = 10
	if len(a.Examples) < enough {
		at := time.Unix(0, measured).UTC().Format(time.RFC3339Nano)
		a.Examples = append(a.Examples, fmt.Sprintf("%s: %s %s at %s: %s", kind, vin.LogValue(), descriptor, at, text))
	}
}

// Gaps reads an account's gap records, in the order of their start.
func Gaps(ctx context.Context, db *influx.Client, gcid schema.GCID) ([]schema.Gap, error) {
	var gaps []schema.Gap
	seen := make(map[int64]bool)
	q := fmt.Sprintf(`SELECT "end", "cause" FROM "gap" WHERE "gcid" = %s GROUP BY *`, influx.QuoteText(string(gcid)))
	err := db.Query(ctx, q, func(row influx.Row) error {
		end, ok := row.Int("end")
		if !ok || seen[row.Time()] {
			return nil // one point per car: the same gap
		}
		seen[row.Time()] = true
		cause, _ := row.Text("cause")
		gaps = append(gaps, schema.Gap{
			GCID: gcid, Start: time.Unix(0, row.Time()).UTC(), End: time.UnixMilli(end).UTC(), Cause: schema.GapCause(cause),
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("audit gaps: %w", err)
	}
	slices.SortFunc(gaps, func(x, y schema.Gap) int { return x.Start.Compare(y.Start) })
	return gaps, nil
}

// Points counts all readings in InfluxDB.
func Points(ctx context.Context, db *influx.Client) (int64, error) {
	var points int64
	q := `SELECT count("number"), count("bool"), count("text"), count("absent") FROM "reading"`
	err := db.Query(ctx, q, func(row influx.Row) error {
		for _, column := range []string{"count", "count_1", "count_2", "count_3"} {
			n, _ := row.Int(column)
			points += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("count readings: %w", err)
	}
	return points, nil
}
