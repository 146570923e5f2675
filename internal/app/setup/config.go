package setup

import (
	"errors"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/topics"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// Config is read from CARDATA_* environment variables, those of the processes
// but for what needs more rights than they have.
type Config struct {
	KafkaBrokers  []string        `split_words:"true" desc:"bootstrap brokers, host:port, comma-separated; empty leaves Kafka alone"`
	KafkaTLS      bool            `split_words:"true" default:"false" desc:"TLS to the brokers; implied by a CA or certificate file"`
	KafkaCAFile   string          `split_words:"true" desc:"PEM file of certificate authorities to trust for the brokers instead of the system's; read again when it changes"`
	KafkaCertFile string          `split_words:"true" desc:"PEM file of the client certificate for the brokers; read again when it changes"`
	KafkaKeyFile  string          `split_words:"true" desc:"PEM file of the client certificate's key"`
	KafkaSASL     string          `split_words:"true" desc:"login at the brokers: empty (none), plain, scram-sha-256 or scram-sha-512; plain only with TLS"`
	KafkaUser     string          `split_words:"true" desc:"user of the login at the brokers"`
	KafkaPassword pipeline.Secret `split_words:"true" secret:"true" desc:"password of the login at the brokers"`

	TopicPrefix       string        `split_words:"true" default:"cardata." desc:"prefix of all topic names"`
	TopicPartitions   int           `split_words:"true" default:"12" desc:"partitions of topics that are missing and created, 1 to 1000"`
	TopicReplication  int           `split_words:"true" default:"1" desc:"replicas of topics that are missing and created, 1 to 15; 3 in a cluster"`
	TopicMinInsync    int           `split_words:"true" default:"0" desc:"min.insync.replicas of topics that are missing and created, 0 to CARDATA_TOPIC_REPLICATION; 0 is 2 from 3 replicas on, else the brokers' default"`
	ReadingsRetention time.Duration `split_words:"true" default:"168h" desc:"retention of created topics readings, gaps, charging-sessions and vehicles, 1h to 8760h"`
	RawRetention      time.Duration `split_words:"true" default:"168h" desc:"retention of created topics raw and dead-letters, 1h to 720h (personal data)"`

	InfluxURL           string          `split_words:"true" desc:"address of InfluxDB 1.8 or 2.x, http:// or https://; empty leaves InfluxDB alone"`
	InfluxOperatorToken pipeline.Secret `split_words:"true" secret:"true" desc:"token that may create: an operator's or all-access token of 2.x, user:password of an administrator of 1.8; empty uses the pipeline's own"`
	InfluxToken         pipeline.Secret `split_words:"true" secret:"true" desc:"API token; for 1.8 with authentication user:password"`
	InfluxUser          string          `split_words:"true" desc:"user, instead of a token: 1.8, or 2.x with 'influx v1 auth create'"`
	InfluxPassword      pipeline.Secret `split_words:"true" secret:"true" desc:"password of CARDATA_INFLUX_USER"`
	InfluxCAFile        string          `split_words:"true" desc:"PEM file of certificate authorities to trust for InfluxDB instead of the system's; read again when it changes"`
	InfluxCertFile      string          `split_words:"true" desc:"PEM file of the client certificate for InfluxDB; read again when it changes"`
	InfluxKeyFile       string          `split_words:"true" desc:"PEM file of the client certificate's key"`
	InfluxOrg           string          `split_words:"true" desc:"organisation, for 2.x"`
	InfluxBucket        string          `split_words:"true" default:"cardata" desc:"bucket; for 1.8 the database, or database/retention-policy"`
	InfluxDatabase      string          `split_words:"true" desc:"InfluxQL database that is mapped to the bucket of 2.x; default the bucket's name up to a slash"`
	InfluxRetention     time.Duration   `split_words:"true" default:"0s" desc:"retention of what is created in InfluxDB, at least 1h; 0s keeps for ever"`

	Timeout time.Duration `default:"30s" desc:"time for each server, 1s to 10m"`
}

// Validate reports all faults at once, each with variable, value and what is
// allowed.
func (c *Config) Validate() error {
	var f env.Faults
	for _, b := range c.KafkaBrokers {
		f.HostPort("KAFKA_BROKERS", b)
	}
	c.kafkaSecurity().Check(f.Add)
	env.Between(&f, "TOPIC_PARTITIONS", c.TopicPartitions, 1, 1000)
	env.Between(&f, "TOPIC_REPLICATION", c.TopicReplication, 1, 15)
	env.Between(&f, "TOPIC_MIN_INSYNC", c.TopicMinInsync, 0, c.TopicReplication)
	env.Between(&f, "READINGS_RETENTION", c.ReadingsRetention, time.Hour, 8760*time.Hour)
	env.Between(&f, "RAW_RETENTION", c.RawRetention, time.Hour, 720*time.Hour)
	if c.InfluxURL != "" {
		f.URL("INFLUX_URL", c.InfluxURL, "http", "https")
	}
	influx.CheckLogin(c.InfluxToken, c.InfluxUser, c.InfluxPassword, f.Add)
	tlsfiles.Files{CA: c.InfluxCAFile, Cert: c.InfluxCertFile, Key: c.InfluxKeyFile, Name: "INFLUX"}.Check(f.Add)
	if c.InfluxRetention != 0 {
		env.Between(&f, "INFLUX_RETENTION", c.InfluxRetention, time.Hour, 100*8760*time.Hour)
	}
	env.Between(&f, "TIMEOUT", c.Timeout, time.Second, 10*time.Minute)
	if len(c.KafkaBrokers) == 0 && c.InfluxURL == "" {
		return errors.Join(f.Err(), errors.New("nothing to set up: set CARDATA_KAFKA_BROKERS, CARDATA_INFLUX_URL or both"))
	}
	return f.Err()
}

func (c *Config) kafkaSecurity() kafka.Security {
	return kafka.Security{
		TLS: c.KafkaTLS, CAFile: c.KafkaCAFile, CertFile: c.KafkaCertFile, KeyFile: c.KafkaKeyFile,
		SASL: c.KafkaSASL, User: c.KafkaUser, Password: c.KafkaPassword,
	}
}

func (c *Config) plan() topics.Plan {
	return topics.Plan{
		Names: pipeline.TopicsFor(c.TopicPrefix), Partitions: c.TopicPartitions, Replication: c.TopicReplication, MinInSync: c.TopicMinInsync,
		ReadingsRetention: c.ReadingsRetention, RawRetention: c.RawRetention,
	}
}

// influx gives the client of the pipeline itself.
func (c *Config) influx() influx.Config {
	return influx.Config{
		URL: c.InfluxURL, Token: c.InfluxToken, User: c.InfluxUser, Password: c.InfluxPassword, Org: c.InfluxOrg, Bucket: c.InfluxBucket,
		Database: c.InfluxDatabase, CAFile: c.InfluxCAFile, CertFile: c.InfluxCertFile, KeyFile: c.InfluxKeyFile, Timeout: c.Timeout,
	}
}

// operator gives the client that creates.
func (c *Config) operator() influx.Config {
	cfg := c.influx()
	if c.InfluxOperatorToken != "" {
		cfg.Token, cfg.User, cfg.Password = c.InfluxOperatorToken, "", ""
	}
	return cfg
}
