package ingest

import (
	"fmt"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
)

// Config is read from CARDATA_* environment variables.
type Config struct {
	DataDir  string `split_words:"true" default:"/var/lib/cardata" desc:"folder of the journal and the coverage snapshot; must survive restarts"`
	TokenDir string `split_words:"true" default:"/var/lib/cardata/tokens" desc:"folder of account files written by 'cardata login', one per account, mode 0700; new ones are taken up while running"`

	OauthURL string `split_words:"true" default:"https://customer.bmwgroup.com" desc:"base address of the OAuth service"`
	MQTTAddr string `split_words:"true" default:"customer.streaming-cardata.bmwgroup.com:9000" desc:"host:port of the stream, TLS 1.3"`
	CAFile   string `split_words:"true" desc:"PEM file of certificate authorities to trust for OAuth and stream instead of the system's, for the simulator"`

	ConnectsPerMinute int           `split_words:"true" default:"6" desc:"connection attempts a minute from this address over all accounts, 1 to 120; each account needs one an hour, and the service throttles an unknown number"`
	ReconnectGap      time.Duration `split_words:"true" default:"10s" desc:"time between a disconnect and the next connect, 1s to 5m; the service refuses sooner ones"`

	KafkaBrokers      []string      `split_words:"true" required:"true" desc:"bootstrap brokers, host:port, comma-separated"`
	KafkaCompression  string        `split_words:"true" default:"none" desc:"none, gzip, snappy, lz4 or zstd"`
	TopicPrefix       string        `split_words:"true" default:"cardata." desc:"prefix of all topic names"`
	TopicPartitions   int           `split_words:"true" default:"12" desc:"partitions of topics that are missing and created, 1 to 1000"`
	TopicReplication  int           `split_words:"true" default:"1" desc:"replicas of topics that are missing and created, 1 to 15; 3 in a cluster"`
	TopicMinInsync    int           `split_words:"true" default:"0" desc:"min.insync.replicas of topics that are missing and created, 0 to CARDATA_TOPIC_REPLICATION; 0 is 2 from 3 replicas on, else the brokers' default"`
	ReadingsRetention time.Duration `split_words:"true" default:"168h" desc:"retention of created topics readings and gaps, 1h to 8760h"`
	RawRetention      time.Duration `split_words:"true" default:"168h" desc:"retention of created topics raw and dead-letters, 1h to 720h (personal data)"`
	RawTopic          bool          `split_words:"true" default:"true" desc:"keep untouched payloads in the raw topic, the source of replay"`

	KafkaTLS      bool            `split_words:"true" default:"false" desc:"TLS to the brokers; implied by a CA or certificate file"`
	KafkaCAFile   string          `split_words:"true" desc:"PEM file of certificate authorities to trust for the brokers instead of the system's; read again when it changes"`
	KafkaCertFile string          `split_words:"true" desc:"PEM file of the client certificate for the brokers; read again when it changes"`
	KafkaKeyFile  string          `split_words:"true" desc:"PEM file of the client certificate's key"`
	KafkaSASL     string          `split_words:"true" desc:"login at the brokers: empty (none), plain, scram-sha-256 or scram-sha-512; plain only with TLS"`
	KafkaUser     string          `split_words:"true" desc:"user of the login at the brokers"`
	KafkaPassword pipeline.Secret `split_words:"true" secret:"true" desc:"password of the login at the brokers"`

	JournalMaxMib       int           `split_words:"true" default:"4096" desc:"size limit of the journal in MiB, 16 to 1048576; about 3 million messages a GiB"`
	JournalReserveMib   int           `split_words:"true" default:"16" desc:"part of the limit kept for gap records in MiB, 1 to 1024"`
	JournalSync         string        `split_words:"true" default:"interval" desc:"fsync policy: always (each group), interval, never; all survive a killed process, the first two a power cut but for the interval"`
	JournalSyncInterval time.Duration `split_words:"true" default:"50ms" desc:"longest time between fsyncs, 1ms to 10s"`
	JournalKeep         time.Duration `split_words:"true" default:"0s" desc:"how long records stay after Kafka acknowledged them, 0s to 24h; the embedded broker needs 15m"`

	BatchRecords int           `split_words:"true" default:"10000" desc:"messages a Kafka batch at most, 1 to 100000"`
	DedupeKeys   int           `split_words:"true" default:"1000000" desc:"readings remembered to drop duplicates, 2 to 100000000, about 40 bytes each"`
	Catalogue    string        `desc:"CSV file of descriptors instead of the built-in catalogue"`
	HTTPAddr     string        `split_words:"true" default:":8080" desc:"address of /metrics, /healthz and /readyz"`
	DrainTimeout time.Duration `split_words:"true" default:"20s" desc:"time to finish after SIGTERM, 1s to 10m, under the pod's grace period"`
	LogLevel     string        `split_words:"true" default:"info" desc:"debug, info, warn or error"`

	AccountGroup   string        `split_words:"true" desc:"Kafka consumer group of the ingest replicas among which accounts are shared out; off when empty: one ingest has them all. The token folder must then be on a volume that all replicas share"`
	Replica        string        `split_words:"true" desc:"name of this replica, the same after a restart and unlike any other's; the host name when empty"`
	AccountSession time.Duration `split_words:"true" default:"15s" desc:"silence after which the group takes a replica for dead, 1s to 5m; brokers allow 6s and more"`
	TakeoverWait   time.Duration `split_words:"true" default:"10s" desc:"time between an account's move and its first connect here, 3s to 5m, equal on all replicas; a replica cut off from Kafka and the shared volume lets its accounts go after 7/10 of it"`

	PermitAddr      string          `split_words:"true" desc:"address of the internal endpoint that lends access tokens and books REST calls for other processes, such as 127.0.0.1:8090; off when empty; plain HTTP: keep it inside the cluster"`
	PermitAdvertise string          `split_words:"true" desc:"base address, such as http://ingest-0.ingest:8090, at which other replicas reach this one's permit endpoint; host of CARDATA_PERMIT_ADDR, or CARDATA_REPLICA, with its port when empty"`
	PermitSecret    pipeline.Secret `split_words:"true" secret:"true" desc:"secret that guards the permit endpoint, at least 16 characters; required with CARDATA_PERMIT_ADDR"`
}

// Validate reports all faults at once, each with variable, value and what is
// allowed.
func (c *Config) Validate() error {
	var f env.Faults
	f.NotEmpty("DATA_DIR", c.DataDir, "a folder")
	f.NotEmpty("TOKEN_DIR", c.TokenDir, "a folder")
	f.URL("OAUTH_URL", c.OauthURL, "https")
	f.HostPort("MQTT_ADDR", c.MQTTAddr)
	f.File("CA_FILE", c.CAFile)
	env.Between(&f, "CONNECTS_PER_MINUTE", c.ConnectsPerMinute, 1, 120)
	env.Between(&f, "RECONNECT_GAP", c.ReconnectGap, time.Second, 5*time.Minute)
	if len(c.KafkaBrokers) == 0 {
		f.Add("KAFKA_BROKERS", "", "must name at least one host:port")
	}
	for _, b := range c.KafkaBrokers {
		f.HostPort("KAFKA_BROKERS", b)
	}
	c.kafkaSecurity().Check(f.Add)
	f.OneOf("KAFKA_COMPRESSION", c.KafkaCompression, "none", "gzip", "snappy", "lz4", "zstd")
	if !topicName(c.TopicPrefix) {
		f.Add("TOPIC_PREFIX", c.TopicPrefix, "must be letters, digits, '.', '_' and '-', at most 200")
	}
	env.Between(&f, "TOPIC_PARTITIONS", c.TopicPartitions, 1, 1000)
	env.Between(&f, "TOPIC_REPLICATION", c.TopicReplication, 1, 15)
	env.Between(&f, "TOPIC_MIN_INSYNC", c.TopicMinInsync, 0, c.TopicReplication)
	env.Between(&f, "READINGS_RETENTION", c.ReadingsRetention, time.Hour, 8760*time.Hour)
	env.Between(&f, "RAW_RETENTION", c.RawRetention, time.Hour, 720*time.Hour)
	env.Between(&f, "JOURNAL_MAX_MIB", c.JournalMaxMib, 16, 1<<20)
	env.Between(&f, "JOURNAL_RESERVE_MIB", c.JournalReserveMib, 1, 1024)
	if c.JournalReserveMib*2 > c.JournalMaxMib {
		f.Add("JOURNAL_RESERVE_MIB", c.JournalReserveMib, "must be at most half of CARDATA_JOURNAL_MAX_MIB")
	}
	f.OneOf("JOURNAL_SYNC", c.JournalSync, "always", "interval", "never")
	env.Between(&f, "JOURNAL_SYNC_INTERVAL", c.JournalSyncInterval, time.Millisecond, 10*time.Second)
	env.Between(&f, "JOURNAL_KEEP", c.JournalKeep, 0, 24*time.Hour)
	env.Between(&f, "BATCH_RECORDS", c.BatchRecords, 1, 100_000)
	env.Between(&f, "DEDUPE_KEYS", c.DedupeKeys, 2, 100_000_000)
	f.File("CATALOGUE", c.Catalogue)
	f.ListenAddr("HTTP_ADDR", c.HTTPAddr)
	env.Between(&f, "DRAIN_TIMEOUT", c.DrainTimeout, time.Second, 10*time.Minute)
	f.OneOf("LOG_LEVEL", strings.ToLower(c.LogLevel), "debug", "info", "warn", "error")
	if c.AccountGroup != "" && !topicName(c.AccountGroup) {
		f.Add("ACCOUNT_GROUP", c.AccountGroup, "must be letters, digits, '.', '_' and '-', at most 200")
	}
	if len(c.Replica) > 200 {
		f.Add("REPLICA", c.Replica, "must be at most 200 characters")
	}
	env.Between(&f, "ACCOUNT_SESSION", c.AccountSession, time.Second, 5*time.Minute)
	env.Between(&f, "TAKEOVER_WAIT", c.TakeoverWait, 3*time.Second, 5*time.Minute)
	if c.PermitAddr != "" {
		f.ListenAddr("PERMIT_ADDR", c.PermitAddr)
		if len(c.PermitSecret) < permit.MinSecret {
			f.Add("PERMIT_SECRET", c.PermitSecret, fmt.Sprintf("must have at least %d characters", permit.MinSecret))
		}
		if c.PermitAdvertise != "" && permit.CheckURL(c.PermitAdvertise) != nil {
			f.Add("PERMIT_ADVERTISE", c.PermitAdvertise, "must be one address with http:// or https://")
		}
	}
	return f.Err()
}

func topicName(s string) bool {
	for _, r := range s {
		word := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !word && r != '.' && r != '_' && r != '-' {
			return false
		}
	}
	return len(s) <= 200
}

// kafkaSecurity is how the brokers are reached.
func (c *Config) kafkaSecurity() kafka.Security {
	return kafka.Security{
		TLS: c.KafkaTLS, CAFile: c.KafkaCAFile, CertFile: c.KafkaCertFile, KeyFile: c.KafkaKeyFile,
		SASL: c.KafkaSASL, User: c.KafkaUser, Password: c.KafkaPassword,
	}
}
