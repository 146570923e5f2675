package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/doctor"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

func statusCommand() *cobra.Command {
	var site siteFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the accounts stand, without asking BMW",
		Long: `status shows, for each account, when its login was renewed, whether it streams, the cars heard, and the calls left today. It
reads files and asks ingest's health address; it costs no REST call and no connection to BMW.

` + envAccounts,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := doctor.Look(cmd.Context(), site.config(cmd))
			if err != nil {
				return err
			}
			if err := printStatus(cmd, site.asJSON, o); err != nil {
				return err
			}
			if len(o.Accounts) == 0 {
				return exit.With(exit.NeedsPerson, fmt.Errorf("no account can be used: %s", strings.Join(o.Trouble, "; ")))
			}
			return nil
		},
	}
	site.register(cmd)
	return cmd
}

func printStatus(cmd *cobra.Command, asJSON bool, o doctor.Overview) error {
	out := cmd.OutOrStdout()
	if asJSON {
		return printJSON(out, o)
	}
	if o.Ingest == "" {
		fmt.Fprintln(out, "ingest: not found")
	} else {
		fmt.Fprintln(out, "ingest: "+o.Ingest)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Checks)) {
		fmt.Fprintf(out, "  %s: %s\n", name, o.Checks[name])
	}
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\nACCOUNT\tLOGIN RENEWED\tSTREAM\tCARS HEARD\tCALLS LEFT")
	for _, a := range o.Accounts {
		renewed, left := "-", "-"
		if a.Renewed != nil {
			renewed = stamp(*a.Renewed)
		}
		if a.Quota != nil {
			left = fmt.Sprintf("%d of %d", a.Quota.Left, a.Quota.Limit)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", a.Account, renewed, streamWords(a, o), len(a.Cars), left)
	}
	return t.Flush()
}

func streamWords(a doctor.AccountView, o doctor.Overview) string {
	switch {
	case a.Gap != nil:
		return fmt.Sprintf("none since %s (%s)", stamp(*a.Gap), a.GapCause)
	case a.Subscribed != nil:
		return "since " + stamp(*a.Subscribed)
	case o.Checks["stream"] == "ok" && len(o.Accounts) == 1:
		return "subscribed"
	default:
		return "-"
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }
