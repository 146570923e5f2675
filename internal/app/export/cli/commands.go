// Package cli is the command line of export: run, watch, verify and rebuild.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/progress"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

// Main runs the command line args, without the program's name. It prints what
// went wrong to stderr; the error it returns carries the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := New() //nolint:contextcheck // cobra hands the context to RunE
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if exit.Code(err) != exit.Done {
		fmt.Fprintf(stderr, "export: %v\n", err)
	}
	return err
}

// New builds the tree of commands.
func New() *cobra.Command {
	var variables strings.Builder
	_ = env.Help(&variables, &export.Config{}) // a Builder takes everything
	root := &cobra.Command{
		Use:   "export",
		Short: "Bring what InfluxDB holds into Parquet files",
		Long: `export brings what InfluxDB holds into a dataset of Parquet files, one for each table and UTC day, and keeps it
up to date: late data and backfill included. It may be stopped, killed and run again at any time; readers see whole
files always.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 needs a person, 4 partly done.

Everything but the flags is set by environment variables:

` + variables.String(),
		Version:       ops.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          command.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(command.Usage)
	root.AddCommand(runCommand(), watchCommand(), verifyCommand(), rebuildCommand())
	return root
}

// common are the flags that stand for an environment variable.
type common struct{ target, profile, tables string }

func (c *common) add(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&c.target, "target", "", "folder or bucket of the dataset; by default CARDATA_EXPORT_TARGET")
	s.StringVar(&c.profile, "profile", "", "full or pseudonymous; by default CARDATA_EXPORT_PROFILE")
}

func (c *common) addTables(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.tables, "tables", "", "only these tables, comma-separated; by default CARDATA_EXPORT_TABLES")
}

// apply puts the flags that were given over the environment's values.
func (c *common) apply(cfg *export.Config) {
	for _, v := range []struct {
		flag string
		to   *string
	}{{c.target, &cfg.ExportTarget}, {c.profile, &cfg.ExportProfile}, {c.tables, &cfg.ExportTables}} {
		if v.flag != "" {
			*v.to = v.flag
		}
	}
}

func runCommand() *cobra.Command {
	var c common
	var from, to string
	var vins []string
	var sel export.Selection
	var changed, asJSON bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Make the files of the days that changed since they were made",
		Long: `run makes the files of all days that changed since they were made, late data and backfill included; --from and --to
bound the days. A day whose data did not change is left alone; --again makes it anew, with the same bytes.

Days that InfluxDB has let go by its retention stay in the dataset. --prune deletes those of a range of which InfluxDB
knows nothing any more, such as after a vehicle was erased.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := span(&sel, from, to, vins); err != nil {
				return command.Usage(cmd, err)
			}
			if changed && sel.Again {
				return command.Usage(cmd, errors.New("--changed and --again exclude each other"))
			}
			bar := progress.NewBar(cmd.ErrOrStderr())
			p, err := load(cmd, &c, bar.Step)
			if err != nil {
				return err
			}
			defer p.close()
			sel.Tables = p.tables
			sum, err := p.export.Run(cmd.Context(), sel)
			bar.End()
			return errors.Join(printSummary(cmd.OutOrStdout(), &sum, sel.DryRun, asJSON), err)
		},
	}
	c.add(cmd)
	c.addTables(cmd)
	s := cmd.Flags()
	s.StringVar(&from, "from", "", "first day, 2026-01-31 (UTC) or RFC 3339; empty is the first there is")
	s.StringVar(&to, "to", "", "last day, likewise; empty is the last there is")
	s.StringSliceVar(&vins, "vin", nil, "only this vehicle (repeatable, or comma-separated); without CARDATA_EXPORT_VIN_LEVEL=true the dataset is of these vehicles for good")
	s.BoolVar(&changed, "changed", false, "only days that changed since the last export; that is the default, and said for scripts")
	s.BoolVar(&sel.Again, "again", false, "days that did not change, too")
	s.BoolVar(&sel.Prune, "prune", false, "delete days of the range of which InfluxDB knows nothing any more")
	s.BoolVar(&sel.DryRun, "dry-run", false, "show the days that would be made, and make none")
	s.BoolVar(&asJSON, "json", false, "print one JSON object instead of text")
	return cmd
}

// span reads the flags of a range; all faults come at once.
func span(sel *export.Selection, from, to string, vins []string) error {
	var faults []error
	var err error
	if sel.From, err = command.Moment(from, 0); err != nil {
		faults = append(faults, fmt.Errorf("--from: %w", err))
	}
	if sel.To, err = command.Moment(to, 24*time.Hour); err != nil {
		faults = append(faults, fmt.Errorf("--to: %w", err))
	}
	if sel.VINs, err = command.VINs(vins); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func watchCommand() *cobra.Command {
	var c common
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Keep the dataset up to date, each CARDATA_EXPORT_EVERY",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := load(cmd, &c, nil)
			if err != nil {
				return err
			}
			defer p.close()
			return p.export.Watch(cmd.Context(), p.tables)
		},
	}
	c.add(cmd)
	c.addTables(cmd)
	return cmd
}

func verifyCommand() *cobra.Command {
	var c common
	var filesOnly, asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Hold the manifest against the files, and against what InfluxDB counts",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bar := progress.NewBar(cmd.ErrOrStderr())
			p, err := load(cmd, &c, bar.Step)
			if err != nil {
				return err
			}
			defer p.close()
			report, err := p.export.Verify(cmd.Context(), filesOnly)
			bar.End()
			return errors.Join(printReport(cmd.OutOrStdout(), &report, asJSON), err)
		},
	}
	c.add(cmd)
	cmd.Flags().BoolVar(&filesOnly, "files-only", false, "do not ask InfluxDB")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object instead of text")
	return cmd
}

func rebuildCommand() *cobra.Command {
	var c common
	var vins []string
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Make a lost or damaged manifest anew from the files",
		Long: `rebuild makes the manifest anew from what the files say of themselves. Which days had changed is not known then:
the next run makes all days anew that InfluxDB still has.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chosen, err := command.VINs(vins)
			if err != nil {
				return command.Usage(cmd, err)
			}
			p, err := load(cmd, &c, nil)
			if err != nil {
				return err
			}
			defer p.close()
			files, err := p.export.Rebuild(cmd.Context(), chosen)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The manifest names %d files again.\n", files)
			return nil
		},
	}
	c.add(cmd)
	cmd.Flags().StringSliceVar(&vins, "vin", nil, "the vehicles that the dataset was made of, if not of all")
	return cmd
}

func printJSON(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }
