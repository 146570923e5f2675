package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
)

// Config says how to reach a Kafka cluster.
type Config struct {
	Brokers  []string // bootstrap addresses, host:port
	ClientID string   // shown in the brokers' logs and quotas; "cardata" when empty
	// Dial opens connections; nil uses net. Tests put an in-memory broker behind it.
	Dial        func(ctx context.Context, network, address string) (net.Conn, error)
	Security    Security
	Rights      string // all that the process needs of access rules, for errors: "Write on topics a.*"; may be empty
	Compression string // of produced batches: none (also empty), gzip, snappy, lz4, zstd
	Log         *slog.Logger
	// MetadataAge is how long partition counts and leaders are believed without
	// an error; 30 s when 0. It bounds how late a grown topic is noticed.
	MetadataAge time.Duration
	// RequestTimeout bounds each request, and what a broker may wait for its
	// in-sync replicas; 10 s when 0.
	RequestTimeout time.Duration
	// Backoff paces retries; 50 ms up to 5 s when zero.
	Backoff backoff.Policy
}

// Client is one process's way to a cluster: its connections and what it knows of
// topics. It is safe for concurrent use.
type Client struct {
	cfg       Config
	codec     compress.Codec
	addr      net.Addr
	dial      dialFunc       // with TLS, if that is wanted
	secure    *secureDialer  // nil: plain TCP
	login     sasl.Mechanism // nil: none
	transport *kafka.Transport
	meta      *metadata
	closed    sync.Once
	proven    atomic.Bool           // some request was answered
	refused   atomic.Pointer[error] // the last thing that no retry changes, until one passes
}

// New checks the configuration; it opens no connection. All faults are reported at once.
func New(cfg Config) (*Client, error) {
	var faults []error
	if len(cfg.Brokers) == 0 {
		faults = append(faults, errors.New("kafka brokers: none given, need host:port"))
	}
	for _, b := range cfg.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			faults = append(faults, fmt.Errorf("kafka broker %q: need host:port: %w", b, err))
		}
	}
	codec, err := codecOf(cfg.Compression)
	faults = append(faults, err, cfg.Security.faults())
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if cfg.ClientID == "" {
		cfg.ClientID = "cardata"
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.MetadataAge = orDefault(cfg.MetadataAge, 30*time.Second)
	cfg.RequestTimeout = orDefault(cfg.RequestTimeout, 10*time.Second)
	if cfg.Backoff == (backoff.Policy{}) {
		cfg.Backoff = backoff.Policy{Base: 50 * time.Millisecond, Cap: 5 * time.Second}
	}
	c := &Client{cfg: cfg, codec: codec, addr: kafka.TCP(cfg.Brokers...), dial: cfg.Dial}
	if err := c.secureWith(cfg.Security); err != nil {
		return nil, err
	}
	c.transport = c.newTransport([]string{}) // topics are looked up by c.meta
	c.meta = newMetadata(c)
	return c, nil
}

// secureWith sets up TLS and login.
func (c *Client) secureWith(s Security) (err error) {
	if c.login, err = s.mechanism(); err != nil {
		return fmt.Errorf("kafka login: %w", err)
	}
	if s.SASL == SASLPlain && !s.secured() {
		c.cfg.Log.Warn("kafka password goes over the network unencrypted: set CARDATA_KAFKA_TLS, or use SCRAM")
	}
	if !s.secured() {
		return nil
	}
	source, err := tlsfiles.Open(s.files(), c.cfg.Log)
	if err != nil {
		return fmt.Errorf("kafka TLS: %w", err)
	}
	c.secure = &secureDialer{files: s.files(), source: source, dial: c.cfg.Dial}
	c.dial = c.secure.open
	return nil
}

func codecOf(name string) (compress.Codec, error) {
	var code compress.Compression
	switch name {
	case "", "none":
		return nil, nil
	case "gzip", "snappy", "lz4", "zstd":
		if err := code.UnmarshalText([]byte(name)); err != nil {
			return nil, fmt.Errorf("kafka compression %q: %w", name, err)
		}
		return code.Codec(), nil
	default:
		return nil, fmt.Errorf("kafka compression %q: need none, gzip, snappy, lz4 or zstd", name)
	}
}

func orDefault[T int | time.Duration](v, preset T) T {
	if v <= 0 {
		return preset
	}
	return v
}

// newTransport gives connections with our dialling and login.
func (c *Client) newTransport(topics []string) *kafka.Transport {
	return &kafka.Transport{
		Dial:           c.dial,
		DialTimeout:    5 * time.Second,
		IdleTimeout:    time.Minute,
		MetadataTTL:    4 * time.Second,
		MetadataTopics: topics,
		ClientID:       c.cfg.ClientID,
		SASL:           c.login,
	}
}

// newDialer is newTransport for what of kafka-go knows no transport.
func (c *Client) newDialer() *kafka.Dialer {
	return &kafka.Dialer{DialFunc: c.dial, Timeout: 5 * time.Second, ClientID: c.cfg.ClientID, SASLMechanism: c.login}
}

// Close closes the connections. Producers and consumers must have ended. It may
// be called twice.
func (c *Client) Close() error {
	c.closed.Do(c.transport.CloseIdleConnections)
	return nil
}

// Ping asks any broker for the list of brokers: cheap, and proof that one answers
// and takes the login. What was refused since then, such as a write by access
// rules, is an error until it passes.
func (c *Client) Ping(ctx context.Context) error {
	if _, err := c.fetchMetadata(ctx, nil); err != nil {
		return fmt.Errorf("kafka ping: %w", err)
	}
	if refused := c.refused.Load(); refused != nil {
		return *refused
	}
	return nil
}

// fatal is fatalError, remembered for Ping.
func (c *Client) fatal(op string, err error) error {
	err = fatalError(op, err)
	c.refused.Store(&err)
	return err
}

// passed forgets what fatal remembers.
func (c *Client) passed() {
	if c.refused.Load() != nil {
		c.refused.Store(nil)
	}
}

// do sends one call and waits for its answer, at most wait longer than the
// request timeout. After an error the connection may still be using x, so that
// neither it nor its buffers may be used again.
func (c *Client) do(ctx context.Context, x *call, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout+wait)
	defer cancel()
	if _, err := c.transport.RoundTrip(ctx, c.addr, x); err != nil {
		return c.explain(err)
	}
	c.proven.Store(true)
	return nil
}

// offsets the broker understands in place of a timestamp.
const (
	endOffset   = -1
	startOffset = -2
)

// listOffset asks the leader for the first or the end offset of a partition.
func (c *Client) listOffset(ctx context.Context, at place, which int64) (int64, error) {
	leader, err := c.meta.leader(ctx, at)
	if err != nil {
		return 0, err
	}
	var x call
	x.begin(protocol.ListOffsets, listOffsetsVersion, leader, c.cfg.ClientID)
	b := appendInt32(x.request, -1) // no replica
	b = appendInt32(b, 1)
	b = appendString(b, at.topic)
	b = appendInt32(b, 1)
	b = appendInt32(b, at.partition)
	x.request = appendInt64(b, which)
	if err := c.do(ctx, &x, 0); err != nil {
		c.meta.distrust(at.topic)
		return 0, err
	}
	r := reader{b: x.reply}
	r.array(1)
	r.text()
	r.array(1)
	r.int32()
	code := r.int16()
	r.int64()
	offset := r.int64()
	if r.err != nil {
		return 0, r.err
	}
	if err := codeError(code); err != nil {
		c.meta.distrust(at.topic)
		return 0, err
	}
	return offset, nil
}
