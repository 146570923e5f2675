package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/backfill"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/progress"
)

func printJSON(w io.Writer, v any) error {
	return json.NewEncoder(w).Encode(v)
}

// printPlan writes a table of cars and kinds.
func printPlan(w io.Writer, p *backfill.Plan) error {
	fmt.Fprintf(w, "Charging sessions from %s to %s. No call was made.\n", p.From.Format(time.DateTime), p.To.Format(time.DateTime))
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprint(t, "\ncar")
	for _, k := range backfill.Kinds() {
		fmt.Fprintf(t, "\t%s", k)
	}
	fmt.Fprintln(t)
	for i := range p.Accounts {
		for _, c := range p.Accounts[i].Cars {
			name := string(c.VIN)
			if name == "" {
				name = "(each car)"
			}
			fmt.Fprint(t, name)
			for _, k := range backfill.Kinds() {
				fmt.Fprintf(t, "\t%d", c.Calls[k])
			}
			fmt.Fprintln(t)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range p.Accounts {
		printAccount(w, &p.Accounts[i])
	}
	return nil
}

func printAccount(w io.Writer, a *backfill.AccountPlan) {
	fmt.Fprintf(w, "\nAccount %s: ", a.GCID)
	if a.Error != "" {
		fmt.Fprintln(w, a.Error)
		return
	}
	if a.Calls == 0 {
		fmt.Fprintln(w, "nothing to fetch, all of it is here.")
		return
	}
	fmt.Fprintf(w, "about %d calls (at least %d), %d of them for the list of cars and containers.\n", a.Calls, a.AtLeast, a.Setup)
	fmt.Fprintf(w, "At %d calls a day that is %d day(s)", a.DailyCalls, a.Days)
	if a.LeftToday != nil {
		fmt.Fprintf(w, "; %d are left today", *a.LeftToday)
	}
	fmt.Fprintln(w, ".")
	if a.Unknown {
		fmt.Fprintln(w, "Its cars are not known yet: the figures are for one car, and run asks for the list first.")
	}
	if a.Resumes {
		fmt.Fprintln(w, "A run that was stopped goes on: these are the calls it has left.")
	}
	for _, n := range a.NotData {
		fmt.Fprintf(w, "%s is left out: mapped as %s, data are for PRIMARY alone.\n", n.VIN, n.Mapping)
	}
}

func printSummary(w io.Writer, s *backfill.Summary, asJSON bool) error {
	if asJSON {
		return printJSON(w, s)
	}
	fmt.Fprintf(w, "%d charging sessions, %d readings, %d vehicle records; %d calls spent of %d planned.\n",
		s.Sessions, s.Readings, s.Vehicles, s.CallsSpent, s.CallsPlanned)
	if s.DeadLetters > 0 {
		fmt.Fprintf(w, "%d answers or parts of them could not be used; they are kept as dead letters.\n", s.DeadLetters)
	}
	if s.Left > 0 {
		fmt.Fprintf(w, "%d steps are left; the same command goes on with them.\n", s.Left)
	}
	for i := range s.Skipped {
		printSkip(w, &s.Skipped[i])
	}
	return nil
}

func printSkip(w io.Writer, k *backfill.Skip) {
	var what []string
	for _, s := range []string{k.File, string(k.VIN), string(k.Kind)} {
		if s != "" {
			what = append(what, s)
		}
	}
	if !k.From.IsZero() {
		what = append(what, k.From.Format(time.DateTime)+" to "+k.To.Format(time.DateTime))
	}
	fmt.Fprintf(w, "skipped: %s: %s", strings.Join(what, " "), k.Reason)
	if k.Remedy != "" && !strings.Contains(k.Reason, k.Remedy) {
		fmt.Fprintf(w, "; %s", k.Remedy)
	}
	fmt.Fprintln(w)
}

// showOn gives a function that shows the steps of a run on a bar.
func showOn(bar *progress.Bar) func(backfill.Step) {
	return func(s backfill.Step) {
		text := strings.TrimSpace(s.Account + " " + s.Text)
		if !s.Waiting.IsZero() {
			text += " until " + s.Waiting.Format(time.DateTime) + " UTC"
		}
		bar.Step(s.Calls, s.Planned, text)
	}
}
