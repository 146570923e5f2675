package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/probe"
)

func healthcheckCommand() *cobra.Command {
	var cfg probe.Config
	cmd := &cobra.Command{
		Use:   "healthcheck [URL]",
		Short: "Ask a process whether it is well; the health check of the image",
		Long: `healthcheck ends with 0 when URL answers with status 200, else with 1 and the reason. Without URL it asks /healthz of the
process in the same container, at CARDATA_HTTP_ADDR or port 8080.`,
		Example: `  cardata healthcheck --wait 2m http://sink:8080/readyz
  cardata healthcheck --wait 2m --metric cardata_store_readings_total http://sink:8080/metrics`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return command.Usage(cmd, errors.New("name one URL"))
			case len(args) == 1:
				cfg.URL = args[0]
			default:
				cfg.URL = probe.URLOf(fromEnv("CARDATA_HTTP_ADDR", ":8080"), "/healthz")
			}
			if cfg.Wait < 0 || cfg.Wait > time.Hour {
				return command.Usage(cmd, errors.New("--wait must be 0s to 1h"))
			}
			return probe.Run(cmd.Context(), cfg)
		},
	}
	cmd.Flags().StringVar(&cfg.Metric, "metric", "", "the answer is metrics, and the sum of this one must be above 0")
	cmd.Flags().DurationVar(&cfg.Wait, "wait", 0, "how long to try again, once a second, at most 1h")
	return cmd
}
