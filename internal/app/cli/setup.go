package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/setup"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

func setupCommand() *cobra.Command {
	var dryRun, asJSON bool
	var table strings.Builder
	_ = env.Help(&table, setup.Config{}) // a strings.Builder takes all
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Create the topics, database or bucket that are missing",
		Long: `setup creates what is missing: the Kafka topics; on InfluxDB 1.8 database and retention policy; on 2.x the bucket and the mapping
by which InfluxQL and Grafana find it. It then checks that the pipeline's own login may write and read. What is there is never
changed; where it differs, setup says so. It may be run again at any time.

The processes make topics, and on 1.8 the database, by themselves where they have the right. setup is for installations where they
have not: run it once with rights of its own.

Exit codes: 0 all is there, 1 a server is away, 2 configuration, 3 a right or login is missing.

Environment:

` + table.String(),
		Example: `  cardata setup --dry-run
  CARDATA_INFLUX_OPERATOR_TOKEN=… cardata setup --json`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var cfg setup.Config
			if err := env.Load(&cfg); err != nil {
				return exit.With(exit.Usage, fmt.Errorf("configuration:\n%w", err))
			}
			out := cmd.OutOrStdout()
			if !asJSON {
				_, err := setup.Run(cmd.Context(), cfg, dryRun, quietLog(cmd.ErrOrStderr()), func(s setup.Step) { printStep(out, s) })
				return err
			}
			report, err := setup.Run(cmd.Context(), cfg, dryRun, quietLog(cmd.ErrOrStderr()), nil)
			return errors.Join(err, json.NewEncoder(out).Encode(report))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&dryRun, "dry-run", false, "only say what is missing, and create nothing")
	f.BoolVar(&asJSON, "json", false, "print one JSON line with every step")
	return cmd
}

func printStep(w io.Writer, s setup.Step) {
	text := s.Text
	if text != "" {
		text = ": " + text
	}
	fmt.Fprintf(w, "%-8s %-9s %s%s\n", s.State, s.Server, s.Name, text)
}
