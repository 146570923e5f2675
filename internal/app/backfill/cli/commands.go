// Package cli is the command line of backfill: plan, run, watch and archive.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/backfill"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/progress"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
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
		fmt.Fprintf(stderr, "backfill: %v\n", err)
	}
	return err
}

// New builds the tree of commands.
func New() *cobra.Command {
	var variables strings.Builder
	_ = env.Help(&variables, &Config{}) // a Builder takes everything
	root := &cobra.Command{
		Use:   "backfill",
		Short: "Fetch from CarData's REST side what the stream does not bring",
		Long: `backfill fetches charging sessions of the past, keys that never stream, facts about the cars, and the latest
values after a gap of the stream, within the quota of 50 calls a day, into Kafka.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 needs a person such as a login, 4 partly done.

Everything but the flags is set by environment variables:

` + variables.String(),
		Version:       ops.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          command.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(command.Usage)
	root.AddCommand(planCommand(), runCommand(), watchCommand(), archiveCommand())
	return root
}

// flags are those of plan and run.
type flags struct {
	from, to    string
	vins, kinds []string
	again       bool
	noWait      bool
	json        bool
}

func (f *flags) add(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.from, "from", "", "start of the charging sessions asked for, 2026-01-31 (00:00 UTC) or RFC 3339; empty is 45 days before --to")
	s.StringVar(&f.to, "to", "", "their end, likewise; a day counts as whole; empty is now")
	s.StringSliceVar(&f.vins, "vin", nil, "only this car (repeatable, or comma-separated)")
	s.StringSliceVar(&f.kinds, "kinds", nil, "only these kinds: sessions,telematics,basic,tyres,settings,image")
	s.BoolVar(&f.again, "again", false, "fetch what is here already, too")
	s.BoolVar(&f.json, "json", false, "print one JSON object instead of text")
}

// parse reads the flags; all faults come at once.
func (f *flags) parse() (backfill.Range, error) {
	r := backfill.Range{NoWait: f.noWait, Again: f.again}
	var faults []error
	var err error
	if r.From, err = command.Moment(f.from, 0); err != nil {
		faults = append(faults, fmt.Errorf("--from: %w", err))
	}
	if r.To, err = command.Moment(f.to, 24*time.Hour); err != nil {
		faults = append(faults, fmt.Errorf("--to: %w", err))
	}
	if r.VINs, err = command.VINs(f.vins); err != nil {
		faults = append(faults, err)
	}
	if r.Kinds, err = backfill.ParseKinds(f.kinds); err != nil {
		faults = append(faults, fmt.Errorf("--kinds: %w", err))
	}
	if !r.From.IsZero() && r.From.After(time.Now()) {
		faults = append(faults, fmt.Errorf("--from %s: it is in the future", f.from))
	}
	return r, exit.With(exit.Usage, errors.Join(faults...))
}

// load reads the environment and opens what the command needs. Logs go to
// stderr, so that stdout is the command's own.
func load(cmd *cobra.Command, needKafka bool) (*process, error) {
	var cfg Config
	if err := env.Load(&cfg); err != nil {
		return nil, exit.With(exit.Usage, fmt.Errorf("configuration:\n%w", err))
	}
	level := cfg.LogLevel
	if cmd.Name() != "watch" && level == "info" {
		level = "warn" // progress and summary tell the rest
	}
	log, err := ops.Logger(cmd.ErrOrStderr(), level)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	return open(cmd.Context(), cfg, log, needKafka)
}

func planCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what run would cost in calls and days, per car and kind; it spends nothing",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.parse()
			if err != nil {
				return command.Usage(cmd, err)
			}
			p, err := load(cmd, false)
			if err != nil {
				return err
			}
			defer p.close()
			list, err := p.list(cmd.Context())
			if err != nil {
				return err
			}
			plan, err := p.backfill(list, nil).Plan(cmd.Context(), r)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), plan)
			}
			return printPlan(cmd.OutOrStdout(), &plan)
		},
	}
	f.add(cmd)
	return cmd
}

func runCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Fetch what is asked for and not here yet; may be stopped, killed and run again at any time",
		Long: `run fetches what is asked for and not here yet. When the day's calls are spent it waits for 00:00 UTC and goes
on by itself. Stopped or killed, the same command goes on where it was and repeats no paid call.

--from and --to bound charging sessions alone: everything else REST serves is a latest value. Older readings come
by 'backfill archive'.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.parse()
			if err != nil {
				return command.Usage(cmd, err)
			}
			p, err := load(cmd, true)
			if err != nil {
				return err
			}
			defer p.close()
			list, err := p.list(cmd.Context())
			if err != nil {
				return err
			}
			if err := p.prepare(cmd.Context()); err != nil {
				return err
			}
			bar := progress.NewBar(cmd.ErrOrStderr())
			p.progress = showOn(bar)
			sum, err := p.backfill(list, nil).Run(cmd.Context(), r)
			bar.End()
			return errors.Join(printSummary(cmd.OutOrStdout(), &sum, f.json), err)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.noWait, "no-wait", false, "stop with exit code 4 when the day's calls are spent")
	return cmd
}

func watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch",
		Short: "Keep accounts up to date: a daily run each, and the latest values after gaps of the stream",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := load(cmd, true)
			if err != nil {
				return err
			}
			defer p.close()
			return p.watch(cmd.Context())
		},
	}
}

func archiveCommand() *cobra.Command {
	var gcid, vin string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "archive FILE.zip",
		Short: "Import the owner archive that the portal gives; it makes no call",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return command.Usage(cmd, errors.New("name one ZIP"))
			}
			car, err := schema.ParseVIN(strings.ToUpper(vin))
			if vin != "" && err != nil {
				return command.Usage(cmd, fmt.Errorf("--vin %q: %w", vin, err))
			}
			p, err := load(cmd, true)
			if err != nil {
				return err
			}
			defer p.close()
			account, err := p.pick(cmd.Context(), gcid)
			if err != nil {
				return command.Usage(cmd, err)
			}
			if err := p.prepare(cmd.Context()); err != nil {
				return err
			}
			bar := progress.NewBar(cmd.ErrOrStderr())
			p.progress = showOn(bar)
			sum, err := p.backfill(nil, nil).Archive(cmd.Context(), account, car, args[0])
			bar.End()
			return errors.Join(printSummary(cmd.OutOrStdout(), &sum, asJSON), err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&gcid, "gcid", "", "account the archive is of; empty is the only one that is logged in")
	f.StringVar(&vin, "vin", "", "car the archive is of, where its files do not say")
	f.BoolVar(&asJSON, "json", false, "print one JSON object instead of text")
	return cmd
}
