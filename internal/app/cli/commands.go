package cli

import (
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/normalize"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/simulate"
)

func loginCommand() *cobra.Command {
	var cfg login.Config
	cmd := &cobra.Command{
		Use:   "login --client-id UUID",
		Short: "Log one account in and store its tokens",
		Long: `login shows an address and a code, waits until you have typed the code there, and stores the
account's tokens for ingest. Before it, in the portal (BMW CarData, or MINI CarData): create a client and tick
the API subscription, wait a minute, then tick the stream subscription.

Environment: CARDATA_CLIENT_ID, CARDATA_OAUTH_URL, CARDATA_TOKEN_DIR, CARDATA_CA_FILE give the flags' defaults.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			return login.Run(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	dir, _ := login.DefaultTokenDir() // "" is taken for it, and fails there with the reason
	f := cmd.Flags()
	f.StringVar(&cfg.ClientID, "client-id", fromEnv("CARDATA_CLIENT_ID", ""), login.HelpClientID)
	f.StringVar(&cfg.BaseURL, "oauth-url", fromEnv("CARDATA_OAUTH_URL", ""), login.HelpBaseURL)
	f.StringVar(&cfg.TokenDir, "token-dir", fromEnv("CARDATA_TOKEN_DIR", dir), login.HelpTokenDir)
	f.StringVar(&cfg.CAFile, "ca-file", fromEnv("CARDATA_CA_FILE", ""), login.HelpCAFile)
	f.BoolVar(&cfg.JSON, "json", false, login.HelpJSON)
	return cmd
}

func simulateCommand() *cobra.Command {
	var cfg simulate.Config
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Be BMW's service for anyone without a car",
		Long: `simulate serves CarData's OAuth and MQTT on TLS with its own certificate authority, for cars that drive
and charge, until it is stopped. Any CarData client runs against it unchanged but for addresses and CA file.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			return simulate.Run(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVar(&cfg.Accounts, "accounts", 1, "number of accounts, each with a client id of its own")
	f.IntVar(&cfg.Cars, "cars", 1, "cars per account")
	f.Uint64Var(&cfg.Seed, "seed", 1, "seed of accounts, cars and days: the same seed gives the same ones")
	f.Float64Var(&cfg.Speed, "speed", 1, "how fast the cars live once live, 1 to 10000; time stamps stay at the real clock")
	f.DurationVar(&cfg.History, "history", 0, "past that is fed first, at full pace, to the first client that subscribes, at most 9600h")
	f.StringVar(&cfg.HTTPAddr, "http-addr", "127.0.0.1:0", "address of OAuth and REST")
	f.StringVar(&cfg.MQTTAddr, "mqtt-addr", "127.0.0.1:0", "address of the stream")
	f.StringSliceVar(&cfg.Hosts, "host", nil, "further host name or address for the certificate; the first stands in the addresses shown (repeatable)")
	f.StringVar(&cfg.Dir, "data", "", "folder of keys and state, kept over restarts; empty is a temporary one")
	f.BoolVar(&cfg.AutoApprove, "auto-approve", false, "approve every device code at once")
	f.DurationVar(&cfg.TokenLife, "token-life", time.Hour, "life of access and id tokens")
	f.IntVar(&cfg.ConnectsPerMinute, "connects-per-minute", 10, "stream connection attempts a minute per source address before throttling; below 0 is no limit")
	f.Float64Var(&cfg.Garble, "garble", 0, "share of messages made unreadable, 0 to 1")
	f.BoolVar(&cfg.CompleteURI, "complete-uri", false, "answer with verification_uri_complete, as the service did in 2025")
	f.BoolVar(&cfg.JSON, "json", false, "print one JSON line with oauth_url, rest_url, mqtt_addr, ca_file, client_id and the accounts")
	return cmd
}

func normalizeCommand() *cobra.Command {
	var cfg normalize.Config
	cmd := &cobra.Command{
		Use:   "normalize",
		Short: "Show what ingest would make of payloads on standard input",
		Long: `normalize reads payloads from standard input, one per line, and writes for each one JSON line with readings,
skipped (descriptors the car never reported) or dead_letter (reason and text).`,
		Example: `  mosquitto_sub … | cardata normalize
  cardata normalize --kind telematic --topic GCID/VIN < telematicData.json`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return normalize.Run(cmd.Context(), cfg, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Kind, "kind", normalize.KindStream, normalize.HelpKind)
	f.StringVar(&cfg.Topic, "topic", "", normalize.HelpTopic)
	f.BoolVar(&cfg.Base64, "base64", false, normalize.HelpBase64)
	f.StringVar(&cfg.Catalogue, "catalogue", fromEnv("CARDATA_CATALOGUE", ""), normalize.HelpCatalogue)
	return cmd
}
