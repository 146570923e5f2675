package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
)

// quotaView is the JSON of one account's quota.
type quotaView struct {
	Account      string     `json:"account"`
	Day          string     `json:"day"`
	Limit        int        `json:"limit"`
	Reserve      int        `json:"reserve"`
	Spent        int        `json:"spent"`
	Foreign      int        `json:"foreign"`
	Left         int        `json:"left"`
	Scheduled    int        `json:"left_scheduled"`
	LatchedUntil *time.Time `json:"latched_until,omitempty"`
	Resets       time.Time  `json:"resets"`
	History      []dayView  `json:"history"`
}

type dayView struct {
	Day     string `json:"day"`
	Spent   int    `json:"spent"`
	Foreign int    `json:"foreign"`
}

func quotaCommand() *cobra.Command {
	var flags accountFlags
	cmd := &cobra.Command{
		Use:   "quota",
		Short: "Show what is left of the day's REST calls",
		Long: `quota shows how many of the 50 REST calls a day each account has left, and what was spent on the days before. BMW tells
nobody the count: it is what this project's processes booked, and what other tools must have spent when BMW refused. Asking costs no call.
The day ends at 00:00 UTC.

` + envAccounts,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			views := []quotaView{}
			err := flags.each(cmd, func(ctx context.Context, acc permit.Account, _ *rest.Client) error {
				s, err := acc.Quota(ctx)
				if err == nil {
					views = append(views, viewOf(acc.Label, s))
				}
				return err
			})
			if flags.asJSON {
				return firstOf(err, printJSON(cmd.OutOrStdout(), views))
			}
			return firstOf(err, printQuota(cmd.OutOrStdout(), views))
		},
	}
	flags.registerOne(cmd)
	return cmd
}

func viewOf(label string, s rest.QuotaStatus) quotaView {
	v := quotaView{
		Account: label, Day: s.Day, Limit: s.Limit, Reserve: s.Reserve, Spent: s.Spent, Foreign: s.Foreign, Left: s.Left,
		Scheduled: s.Scheduled, Resets: s.Resets, History: make([]dayView, 0, len(s.History)),
	}
	if !s.LatchedUntil.IsZero() {
		v.LatchedUntil = &s.LatchedUntil
	}
	for _, d := range s.History {
		v.History = append(v.History, dayView(d))
	}
	return v
}

func printQuota(out io.Writer, views []quotaView) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "ACCOUNT\tDAY\tSPENT\tBY OTHERS\tLEFT\tOF THEM SCHEDULED\tNOTE")
	for _, v := range views {
		note := "resets " + v.Resets.UTC().Format("15:04 UTC")
		if v.LatchedUntil != nil {
			note = "BMW refuses calls until " + v.LatchedUntil.UTC().Format("15:04 UTC")
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%s\n", v.Account, v.Day, v.Spent, v.Foreign, v.Left, v.Scheduled, note)
		for _, d := range v.History {
			fmt.Fprintf(t, "\t%s\t%d\t%d\t\t\t\n", d.Day, d.Spent, d.Foreign)
		}
	}
	return t.Flush()
}

// firstOf gives the first error that is one.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
