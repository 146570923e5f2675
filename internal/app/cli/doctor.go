package cli

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/doctor"
	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
)

// siteFlags say where the rest of an installation is.
type siteFlags struct {
	accountFlags

	dataDir, ingestURL, mqttAddr, brokers, prefix, influxURL, influxOrg, influxBucket string
}

func (s *siteFlags) register(cmd *cobra.Command) {
	s.accountFlags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&s.dataDir, "data-dir", fromEnv("CARDATA_DATA_DIR", "/var/lib/cardata"), "ingest's folder, with journal and coverage")
	f.StringVar(&s.ingestURL, "ingest-url", fromEnv("CARDATA_INGEST_URL", "http://127.0.0.1:8080"), "ingest's address of metrics and health")
}

func (s *siteFlags) registerServers(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.mqttAddr, "mqtt-addr", fromEnv("CARDATA_MQTT_ADDR", ""), "host:port of the stream; default BMW's")
	f.StringVar(&s.brokers, "kafka-brokers", fromEnv("CARDATA_KAFKA_BROKERS", ""), "bootstrap brokers, host:port, comma-separated; not looked at when empty")
	f.StringVar(&s.prefix, "topic-prefix", fromEnv("CARDATA_TOPIC_PREFIX", "cardata."), "prefix of all topic names")
	f.StringVar(&s.influxURL, "influx-url", fromEnv("CARDATA_INFLUX_URL", ""), "address of InfluxDB; not looked at when empty; its token is CARDATA_INFLUX_TOKEN")
	f.StringVar(&s.influxOrg, "influx-org", fromEnv("CARDATA_INFLUX_ORG", ""), "organisation, for InfluxDB 2.x")
	f.StringVar(&s.influxBucket, "influx-bucket", fromEnv("CARDATA_INFLUX_BUCKET", "cardata"), "bucket, or database on 1.8")
}

func (s *siteFlags) config(cmd *cobra.Command) doctor.Config {
	cfg := doctor.Config{
		TokenDir: s.tokenDir, DataDir: s.dataDir, OauthURL: s.oauthURL, RESTURL: s.restURL, MQTTAddr: s.mqttAddr, CAFile: s.caFile,
		PermitURL: s.permitURL, PermitSecret: permitSecret(), IngestURL: s.ingestURL, TopicPrefix: s.prefix,
		InfluxURL: s.influxURL, InfluxToken: pipeline.Secret(fromEnv("CARDATA_INFLUX_TOKEN", "")), InfluxOrg: s.influxOrg,
		InfluxBucket: s.influxBucket, Log: quietLog(cmd.ErrOrStderr()),
		InfluxUser: fromEnv("CARDATA_INFLUX_USER", ""), InfluxPassword: pipeline.Secret(fromEnv("CARDATA_INFLUX_PASSWORD", "")),
		InfluxFiles: tlsfiles.Files{CA: fromEnv("CARDATA_INFLUX_CA_FILE", ""), Cert: fromEnv("CARDATA_INFLUX_CERT_FILE", ""), Key: fromEnv("CARDATA_INFLUX_KEY_FILE", "")},
		KafkaSecurity: kafka.Security{
			CAFile: fromEnv("CARDATA_KAFKA_CA_FILE", ""), CertFile: fromEnv("CARDATA_KAFKA_CERT_FILE", ""), KeyFile: fromEnv("CARDATA_KAFKA_KEY_FILE", ""),
			SASL: fromEnv("CARDATA_KAFKA_SASL", ""), User: fromEnv("CARDATA_KAFKA_USER", ""), Password: pipeline.Secret(fromEnv("CARDATA_KAFKA_PASSWORD", "")),
		},
	}
	cfg.KafkaSecurity.TLS, _ = strconv.ParseBool(fromEnv("CARDATA_KAFKA_TLS", "false"))
	for b := range strings.SplitSeq(s.brokers, ",") {
		if b = strings.TrimSpace(b); b != "" {
			cfg.KafkaBrokers = append(cfg.KafkaBrokers, b)
		}
	}
	return cfg
}

func doctorCommand() *cobra.Command {
	var (
		site           siteFlags
		noCalls, more  bool
		connect        bool
		listen, within time.Duration
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check an installation step by step and name what to do",
		Long: `doctor checks, in this order: the clock, DNS and TLS of BMW's three hosts, the login and its age, permissions, what is
left of the day's 50 REST calls, the cars (one call an account), ingest, the stream, data seen, Kafka, InfluxDB and the disk.
Each finding comes with what to do.

BMW allows one stream connection per account. While ingest runs, doctor asks it and does not connect; a connection
of its own would throw ingest's out for a moment, and the time is recorded as a gap.

Exit code: 0 nothing failed, 3 a person has to act, 1 something failed that may pass by itself.

` + envAccounts + `
CARDATA_DATA_DIR, CARDATA_INGEST_URL, CARDATA_MQTT_ADDR, CARDATA_KAFKA_BROKERS, CARDATA_TOPIC_PREFIX and CARDATA_INFLUX_* too;
CARDATA_KAFKA_TLS, _CA_FILE, _CERT_FILE, _KEY_FILE, _SASL, _USER, _PASSWORD, and CARDATA_INFLUX_TOKEN, _USER, _PASSWORD,
_CA_FILE, _CERT_FILE, _KEY_FILE have no flags.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if listen < 0 || listen > 10*time.Minute || within < time.Second || within > 10*time.Minute {
				return command.Usage(cmd, errors.New("--listen must be at most 10m, --timeout 1s to 10m"))
			}
			cfg := site.config(cmd)
			cfg.NoCalls, cfg.Cars, cfg.Connect, cfg.Listen, cfg.Timeout = noCalls, more, connect, listen, within
			if site.asJSON {
				report, err := doctor.Run(cmd.Context(), cfg, nil)
				if err != nil {
					return err
				}
				return errors.Join(report.Err(), report.WriteJSON(cmd.OutOrStdout()))
			}
			p := doctor.NewPrinter(cmd.OutOrStdout())
			report, err := doctor.Run(cmd.Context(), cfg, p.Say)
			if err != nil {
				return err
			}
			return errors.Join(report.Err(), p.End(report))
		},
	}
	site.register(cmd)
	site.registerServers(cmd)
	f := cmd.Flags()
	f.BoolVar(&noCalls, "no-calls", false, "spend no REST call: the cars are not asked for")
	f.BoolVar(&more, "cars", false, "spend one more call per car: SIM, market, equipment")
	f.BoolVar(&connect, "connect", false, "connect to the stream even while ingest runs, which throws it out for a moment")
	f.DurationVar(&listen, "listen", 3*time.Second, "how long a connection is held to see whether it stays")
	f.DurationVar(&within, "timeout", 20*time.Second, "time for each step")
	return cmd
}
