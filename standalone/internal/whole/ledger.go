package whole

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/audit"
)

// line is one row of the ledger.
type line struct {
	GCID        schema.GCID `json:"gcid,omitempty"`
	Sent        int64       `json:"sent"`         // readings handed to a live connection
	InGap       int64       `json:"in_gap"`       // of these, missing inside a recorded gap
	Received    int64       `json:"received"`     // messages journaled
	Duplicates  int64       `json:"duplicates"`   // readings dropped as repeats
	Revised     int64       `json:"revised"`      // readings that replaced one of the same key
	DeadLetters int64       `json:"dead_letters"` // messages kept aside
	Stored      int64       `json:"stored"`       // readings acknowledged by InfluxDB
	Points      int64       `json:"points"`       // counted in InfluxDB, of all runs on this data
	Lost        int64       `json:"lost"`         // by identity, and nothing explains it
	Wrong       int64       `json:"wrong"`        // stored with another value
	Gaps        int64       `json:"gaps"`
}

func (l *line) add(o line) {
	l.Sent += o.Sent
	l.InGap += o.InGap
	l.Received += o.Received
	l.Duplicates += o.Duplicates
	l.Revised += o.Revised
	l.DeadLetters += o.DeadLetters
	l.Stored += o.Stored
	l.Points += o.Points
	l.Lost += o.Lost
	l.Wrong += o.Wrong
	l.Gaps += o.Gaps
}

// settle holds the feed and waits until all that was handed over has arrived, a
// minute at most.
func (w *whole) settle(ctx context.Context) {
	w.report.say("settling: waiting for what is in flight")
	w.sim.Pause()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last [3]int64
	for quiet := 0; quiet < 10; {
		select {
		case <-ctx.Done():
			w.report.say("not settled within a minute")
			return
		case <-tick.C:
		}
		now := [3]int64{
			w.ingest.Intake().MessagesReceived.Load(), w.sink.Stats().Readings.Load(), int64(w.ingest.Behind()) + w.sink.Behind(),
		}
		// Heartbeats keep the journal moving, so a handful behind is still.
		if now[0] == last[0] && now[1] == last[1] && w.sink.Behind() == 0 && w.ingest.Behind() < 5 {
			quiet++
		} else {
			quiet = 0
		}
		last = now
	}
}

// audit compares and prints. A reading that is lost or wrong makes the run fail.
func (w *whole) audit(ctx context.Context) error {
	var lines []line
	var total line
	var examples []string
	for _, account := range w.sim.Accounts() {
		found, err := audit.Check(ctx, w.db, w.sim.Ledger(), account)
		if err != nil {
			return err
		}
		examples = append(examples, found.Examples...)
		counts, stored := w.ingest.Ledger().Account(account.GCID), w.sink.Ledger().Account(account.GCID)
		l := line{
			GCID: account.GCID, Sent: found.Sent, InGap: found.InGap, Received: counts.MessagesJournaled.Load(),
			Duplicates: counts.ReadingsDuplicate.Load(), Revised: counts.ReadingsRevised.Load(),
			DeadLetters: counts.DeadLetters.Load(), Stored: stored.ReadingsStored.Load(), Points: found.Points,
			Lost: found.Lost, Wrong: found.Wrong, Gaps: found.Gaps,
		}
		lines = append(lines, l)
		total.add(l)
	}
	if err := w.report.ledger(lines, total); err != nil {
		return err
	}
	for _, e := range examples {
		w.report.say("%s", e)
	}
	if err := w.sim.Err(); err != nil {
		return fmt.Errorf("the simulator failed: %w", err)
	}
	if total.Lost+total.Wrong > 0 {
		return exit.With(exit.Failed, fmt.Errorf("%d readings lost, %d wrong", total.Lost, total.Wrong))
	}
	return nil
}

// ledger prints the table, or the JSON object.
func (r *reporter) ledger(lines []line, total line) error {
	if r.json {
		return json.NewEncoder(r.stdout).Encode(map[string]any{"accounts": lines, "total": total})
	}
	r.clear()
	t := tabwriter.NewWriter(r.stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "account\tsent\tin gap\treceived\tduplicates\trevised\tdead letters\tstored\tpoints\tlost\twrong\t")
	row := func(name string, l line) {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name,
			l.Sent, l.InGap, l.Received, l.Duplicates, l.Revised, l.DeadLetters, l.Stored, l.Points, l.Lost, l.Wrong)
	}
	for _, l := range lines {
		row(l.GCID.LogValue().String(), l)
	}
	row("total", total)
	return t.Flush()
}
