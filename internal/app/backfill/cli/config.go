package cli

import (
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
)

// Config is read from CARDATA_* environment variables.
type Config struct {
	DataDir  string `split_words:"true" default:"/var/lib/cardata" desc:"folder of the resume state and of images; must survive restarts"`
	TokenDir string `split_words:"true" default:"/var/lib/cardata/tokens" desc:"folder of account files written by 'cardata login', with their quota files; not used with PERMIT_URL"`

	PermitURL    string          `split_words:"true" desc:"address of ingest's permit endpoint, http:// or https://, several comma-separated; empty uses the token folder itself"`
	PermitSecret pipeline.Secret `split_words:"true" secret:"true" desc:"secret of the permit endpoint, at least 16 characters"`

	OauthURL    string        `split_words:"true" default:"https://customer.bmwgroup.com" desc:"base address of the OAuth service"`
	RestURL     string        `split_words:"true" default:"https://api-cardata.bmwgroup.com" desc:"base address of the Customer API"`
	RestTimeout time.Duration `split_words:"true" default:"60s" desc:"longest time for one call, 1s to 10m"`
	CAFile      string        `split_words:"true" desc:"PEM file of certificate authorities to trust in addition, for the simulator"`

	KafkaBrokers      []string      `split_words:"true" desc:"bootstrap brokers, host:port, comma-separated; required but for plan"`
	KafkaGroup        string        `split_words:"true" default:"cardata-backfill" desc:"consumer group of watch"`
	KafkaCompression  string        `split_words:"true" default:"none" desc:"none, gzip, snappy, lz4 or zstd"`
	TopicPrefix       string        `split_words:"true" default:"cardata." desc:"prefix of all topic names"`
	TopicPartitions   int           `split_words:"true" default:"12" desc:"partitions of topics that are missing and created, 1 to 1000"`
	TopicReplication  int           `split_words:"true" default:"1" desc:"replicas of topics that are missing and created, 1 to 15; 3 in a cluster"`
	TopicMinInsync    int           `split_words:"true" default:"0" desc:"min.insync.replicas of topics that are missing and created, 0 to CARDATA_TOPIC_REPLICATION; 0 is 2 from 3 replicas on, else the brokers' default"`
	ReadingsRetention time.Duration `split_words:"true" default:"168h" desc:"retention of created topics but raw and dead-letters, 1h to 8760h"`
	RawRetention      time.Duration `split_words:"true" default:"168h" desc:"retention of created topics raw and dead-letters, 1h to 720h (personal data)"`

	KafkaTLS      bool            `split_words:"true" default:"false" desc:"TLS to the brokers; implied by a CA or certificate file"`
	KafkaCAFile   string          `split_words:"true" desc:"PEM file of certificate authorities to trust for the brokers instead of the system's; read again when it changes"`
	KafkaCertFile string          `split_words:"true" desc:"PEM file of the client certificate for the brokers; read again when it changes"`
	KafkaKeyFile  string          `split_words:"true" desc:"PEM file of the client certificate's key"`
	KafkaSASL     string          `split_words:"true" desc:"login at the brokers: empty (none), plain, scram-sha-256 or scram-sha-512; plain only with TLS"`
	KafkaUser     string          `split_words:"true" desc:"user of the login at the brokers"`
	KafkaPassword pipeline.Secret `split_words:"true" secret:"true" desc:"password of the login at the brokers"`

	Parallel int    `split_words:"true" default:"4" desc:"accounts at work at the same time, 1 to 64"`
	HTTPAddr string `split_words:"true" default:":8080" desc:"address of /metrics, /healthz and /readyz, for watch alone"`
	LogLevel string `split_words:"true" default:"info" desc:"debug, info, warn or error"`
}

// Validate reports all faults at once, each with variable, value and what is
// allowed.
func (c *Config) Validate() error {
	var f env.Faults
	f.NotEmpty("DATA_DIR", c.DataDir, "a folder")
	if c.PermitURL == "" {
		f.NotEmpty("TOKEN_DIR", c.TokenDir, "a folder")
	} else {
		if err := permit.CheckURL(c.PermitURL); err != nil {
			f.Add("PERMIT_URL", c.PermitURL, err.Error())
		}
		if len(c.PermitSecret) < permit.MinSecret {
			f.Add("PERMIT_SECRET", "(secret)", "must be at least 16 characters, those of ingest")
		}
	}
	f.URL("OAUTH_URL", c.OauthURL, "https")
	f.URL("REST_URL", c.RestURL, "https")
	env.Between(&f, "REST_TIMEOUT", c.RestTimeout, time.Second, 10*time.Minute)
	f.File("CA_FILE", c.CAFile)
	for _, b := range c.KafkaBrokers {
		f.HostPort("KAFKA_BROKERS", b)
	}
	c.kafkaSecurity().Check(f.Add)
	f.OneOf("KAFKA_COMPRESSION", c.KafkaCompression, "none", "gzip", "snappy", "lz4", "zstd")
	f.NotEmpty("KAFKA_GROUP", c.KafkaGroup, "a consumer group")
	env.Between(&f, "TOPIC_PARTITIONS", c.TopicPartitions, 1, 1000)
	env.Between(&f, "TOPIC_REPLICATION", c.TopicReplication, 1, 15)
	env.Between(&f, "TOPIC_MIN_INSYNC", c.TopicMinInsync, 0, c.TopicReplication)
	env.Between(&f, "READINGS_RETENTION", c.ReadingsRetention, time.Hour, 8760*time.Hour)
	env.Between(&f, "RAW_RETENTION", c.RawRetention, time.Hour, 720*time.Hour)
	env.Between(&f, "PARALLEL", c.Parallel, 1, 64)
	f.ListenAddr("HTTP_ADDR", c.HTTPAddr)
	f.OneOf("LOG_LEVEL", strings.ToLower(c.LogLevel), "debug", "info", "warn", "error")
	return f.Err()
}

// kafkaSecurity is how the brokers are reached.
func (c *Config) kafkaSecurity() kafka.Security {
	return kafka.Security{
		TLS: c.KafkaTLS, CAFile: c.KafkaCAFile, CertFile: c.KafkaCertFile, KeyFile: c.KafkaKeyFile,
		SASL: c.KafkaSASL, User: c.KafkaUser, Password: c.KafkaPassword,
	}
}
