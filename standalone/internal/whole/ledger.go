package whole

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
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

// stuck is how long nothing may move before settling is given up.
const stuck = time.Minute

// settle holds the feed and waits until all that was handed over has arrived,
// for as long as something moves.
func (w *whole) settle(ctx context.Context) {
	if w.sim == nil {
		return // BMW does not wait for us; what is in flight is there at the next start
	}
	w.report.say("settling: waiting for what is in flight (Ctrl-C again ends at once)")
	w.sim.Pause()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last [3]int64
	moved := time.Now()
	for quiet := 0; quiet < 10; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := [3]int64{
			w.ingest.Intake().MessagesReceived.Load(), w.sink.Stats().Readings.Load(), w.ingest.Ledger().Sum(journaled),
		}
		switch {
		case now != last:
			last, moved, quiet = now, time.Now(), 0
		case w.sink.Behind() == 0 && w.ingest.Behind() < 5: // heartbeats keep the journal moving
			quiet++
		case time.Since(moved) > stuck:
			w.report.say("not settled: nothing has moved for %s", stuck)
			return
		}
	}
}

func journaled(c *pipeline.Counts) *atomic.Int64 { return &c.MessagesJournaled }

// audit compares and prints. A reading that is lost or wrong makes the run fail.
func (w *whole) audit(ctx context.Context) error {
	if w.sim == nil {
		return w.figures(ctx)
	}
	var lines []line
	var total line
	var examples []string
	for _, account := range w.sim.Accounts() {
		found, err := audit.Check(ctx, w.db, w.sim.Ledger(), account)
		if err != nil {
			return err
		}
		examples = append(examples, found.Examples...)
		l := w.counted(account.GCID)
		l.Sent, l.InGap, l.Points, l.Gaps = found.Sent, found.InGap, found.Points, found.Gaps
		l.Lost, l.Wrong = found.Lost, found.Wrong+found.Doubled
		lines = append(lines, l)
		total.add(l)
	}
	figures, err := w.restFigures(ctx)
	if err != nil {
		return err
	}
	files, exportErr := w.lastExport(ctx)
	if err := w.report.ledger(lines, total, &figures, &files); err != nil {
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
	if exportErr != nil {
		return exportErr
	}
	w.report.say("nothing is lost: each of the %d readings sent is in InfluxDB, replaced by a later value of its key, "+
		"a dead letter, or inside a recorded gap", total.Sent)
	return nil
}

// figures prints what is known without a simulator: what was sent is BMW's secret.
func (w *whole) figures(ctx context.Context) error {
	var lines []line
	var total line
	for _, gcid := range w.ingest.Ledger().Accounts() {
		l := w.counted(gcid)
		gaps, err := audit.Gaps(ctx, w.db, gcid)
		if err != nil {
			return err
		}
		l.Gaps = int64(len(gaps))
		lines = append(lines, l)
		total.add(l)
	}
	// Points are counted over all cars: BMW does not say whose they are.
	var err error
	if total.Points, err = audit.Points(ctx, w.db); err != nil {
		return err
	}
	files, exportErr := w.lastExport(ctx)
	return errors.Join(w.report.ledger(lines, total, nil, &files), exportErr)
}

// counted gives the counts of this life for one account.
func (w *whole) counted(gcid schema.GCID) line {
	counts, stored := w.ingest.Ledger().Account(gcid), w.sink.Ledger().Account(gcid)
	return line{
		GCID: gcid, Received: counts.MessagesJournaled.Load(), Duplicates: counts.ReadingsDuplicate.Load(),
		Revised: counts.ReadingsRevised.Load(), DeadLetters: counts.DeadLetters.Load(), Stored: stored.ReadingsStored.Load(),
	}
}

// ledger prints the table, or the JSON object; of a live service, whose figures
// of the REST side are nil, it leaves out what only a simulator can know.
func (r *reporter) ledger(lines []line, total line, rest *restFigures, files *datasetFigures) error {
	if r.json {
		return json.NewEncoder(r.stdout).Encode(struct {
			Accounts []line `json:"accounts"`
			Total    line   `json:"total"`
			*restFigures
			Parquet *datasetFigures `json:"parquet"`
		}{append([]line{}, lines...), total, rest, files})
	}
	r.clear()
	fmt.Fprintln(r.stdout)
	t := tabwriter.NewWriter(r.stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	head := "account\tsent\tin gap\treceived\tduplicates\trevised\tdead letters\tstored\tpoints\tgaps\tlost\twrong\t"
	row := func(name string, l line) {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name,
			l.Sent, l.InGap, l.Received, l.Duplicates, l.Revised, l.DeadLetters, l.Stored, l.Points, l.Gaps, l.Lost, l.Wrong)
	}
	if rest == nil { // what was sent is not known
		head = "account\treceived\tduplicates\trevised\tdead letters\tstored\tpoints\tgaps\t"
		row = func(name string, l line) {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name,
				l.Received, l.Duplicates, l.Revised, l.DeadLetters, l.Stored, l.Points, l.Gaps)
		}
	}
	fmt.Fprintln(t, head)
	for _, l := range lines {
		row(l.GCID.LogValue().String(), l)
	}
	row("total", total)
	if err := t.Flush(); err != nil {
		return err
	}
	if rest != nil {
		fmt.Fprintf(r.stdout, "charging sessions: %d at BMW, %d in InfluxDB; REST calls: %d planned, %d spent\n",
			rest.Sessions.InBMW, rest.Sessions.Stored, rest.Calls.Planned, rest.Calls.Spent)
	}
	_, err := fmt.Fprintf(r.stdout, "Parquet: %d readings, %d files in all tables, in %s\n\n", files.Readings, files.Files, files.Dir)
	return err
}
