package sink

import (
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// Config is read from CARDATA_* environment variables.
type Config struct {
	KafkaBrokers     []string `split_words:"true" required:"true" desc:"bootstrap brokers, host:port, comma-separated"`
	KafkaGroup       string   `split_words:"true" default:"cardata-sink" desc:"consumer group"`
	KafkaCompression string   `split_words:"true" default:"none" desc:"none, gzip, snappy, lz4 or zstd"`
	TopicPrefix      string   `split_words:"true" default:"cardata." desc:"prefix of all topic names"`

	TopicPartitions   int           `split_words:"true" default:"12" desc:"partitions of topics that are missing and created, 1 to 1000"`
	TopicReplication  int           `split_words:"true" default:"1" desc:"replicas of topics that are missing and created, 1 to 15; 3 in a cluster"`
	TopicMinInsync    int           `split_words:"true" default:"0" desc:"min.insync.replicas of topics that are missing and created, 0 to CARDATA_TOPIC_REPLICATION; 0 is 2 from 3 replicas on, else the brokers' default"`
	ReadingsRetention time.Duration `split_words:"true" default:"168h" desc:"retention of created topics readings, gaps, charging-sessions and vehicles, 1h to 8760h"`
	RawRetention      time.Duration `split_words:"true" default:"168h" desc:"retention of created topics raw and dead-letters, 1h to 720h (personal data)"`

	KafkaTLS      bool            `split_words:"true" default:"false" desc:"TLS to the brokers; implied by a CA or certificate file"`
	KafkaCAFile   string          `split_words:"true" desc:"PEM file of certificate authorities to trust for the brokers instead of the system's; read again when it changes"`
	KafkaCertFile string          `split_words:"true" desc:"PEM file of the client certificate for the brokers; read again when it changes"`
	KafkaKeyFile  string          `split_words:"true" desc:"PEM file of the client certificate's key"`
	KafkaSASL     string          `split_words:"true" desc:"login at the brokers: empty (none), plain, scram-sha-256 or scram-sha-512; plain only with TLS"`
	KafkaUser     string          `split_words:"true" desc:"user of the login at the brokers"`
	KafkaPassword pipeline.Secret `split_words:"true" secret:"true" desc:"password of the login at the brokers"`

	InfluxURL      string          `split_words:"true" required:"true" desc:"address of InfluxDB 1.8, 2.x or 3.x, http:// or https://"`
	InfluxToken    pipeline.Secret `split_words:"true" secret:"true" desc:"API token; for 1.8 with authentication user:password"`
	InfluxUser     string          `split_words:"true" desc:"user, instead of a token: 1.8, or 2.x with 'influx v1 auth create'"`
	InfluxPassword pipeline.Secret `split_words:"true" secret:"true" desc:"password of CARDATA_INFLUX_USER"`
	InfluxCAFile   string          `split_words:"true" desc:"PEM file of certificate authorities to trust for InfluxDB instead of the system's; read again when it changes"`
	InfluxCertFile string          `split_words:"true" desc:"PEM file of the client certificate for InfluxDB; read again when it changes"`
	InfluxKeyFile  string          `split_words:"true" desc:"PEM file of the client certificate's key"`
	InfluxOrg      string          `split_words:"true" desc:"organisation, for 2.x"`
	InfluxBucket   string          `split_words:"true" default:"cardata" desc:"bucket; for 1.8 the database, or database/retention-policy"`
	InfluxGzip     bool            `split_words:"true" default:"false" desc:"compress writes; saves network, costs half as much CPU again"`
	InfluxCreate   bool            `split_words:"true" default:"true" desc:"create the database on 1.8 when it is missing"`
	InfluxTimeout  time.Duration   `split_words:"true" default:"30s" desc:"longest time for one write, 1s to 10m"`

	BatchReadings int           `split_words:"true" default:"5000" desc:"readings per write, 1 to 50000"`
	BatchWait     time.Duration `split_words:"true" default:"250ms" desc:"longest wait to fill a batch, 1ms to 1m"`
	Parallel      int           `split_words:"true" default:"4" desc:"partitions written at the same time, 1 to 64; bounds memory"`

	Positions bool `default:"true" desc:"derive positions and store them as measurement position; the token must then be allowed to read as well"`

	HTTPAddr     string        `split_words:"true" default:":8080" desc:"address of /metrics, /healthz and /readyz"`
	DrainTimeout time.Duration `split_words:"true" default:"20s" desc:"time to finish after SIGTERM, 1s to 10m, under the pod's grace period"`
	LogLevel     string        `split_words:"true" default:"info" desc:"debug, info, warn or error"`
}

// Validate reports all faults at once, each with variable, value and what is
// allowed.
func (c *Config) Validate() error {
	var f env.Faults
	if len(c.KafkaBrokers) == 0 {
		f.Add("KAFKA_BROKERS", "", "must name at least one host:port")
	}
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
	f.URL("INFLUX_URL", c.InfluxURL, "http", "https")
	f.NotEmpty("INFLUX_BUCKET", c.InfluxBucket, "a bucket or database")
	influx.CheckLogin(c.InfluxToken, c.InfluxUser, c.InfluxPassword, f.Add)
	tlsfiles.Files{CA: c.InfluxCAFile, Cert: c.InfluxCertFile, Key: c.InfluxKeyFile, Name: "INFLUX"}.Check(f.Add)
	env.Between(&f, "INFLUX_TIMEOUT", c.InfluxTimeout, time.Second, 10*time.Minute)
	env.Between(&f, "BATCH_READINGS", c.BatchReadings, 1, 50_000)
	env.Between(&f, "BATCH_WAIT", c.BatchWait, time.Millisecond, time.Minute)
	env.Between(&f, "PARALLEL", c.Parallel, 1, 64)
	f.ListenAddr("HTTP_ADDR", c.HTTPAddr)
	env.Between(&f, "DRAIN_TIMEOUT", c.DrainTimeout, time.Second, 10*time.Minute)
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
