package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
)

// Config says how to reach a Kafka cluster.
type Config struct {
	Brokers  []string // bootstrap addresses, host:port
	ClientID string   // shown in the brokers' logs and quotas; "cardata" when empty
	// Dial opens connections; nil uses net. Tests put an in-memory broker behind it.
	Dial        func(ctx context.Context, network, address string) (net.Conn, error)
	TLS         *tls.Config // nil: plain TCP
	Compression string      // of produced batches: none (also empty), gzip, snappy, lz4, zstd
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
	transport *kafka.Transport
	meta      *metadata
	closed    sync.Once
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
	faults = append(faults, err)
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
	c := &Client{cfg: cfg, codec: codec, addr: kafka.TCP(cfg.Brokers...)}
	c.transport = c.newTransport([]string{}) // topics are looked up by c.meta
	c.meta = newMetadata(c)
	return c, nil
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

// newTransport gives connections with our dialling and security. TLS here and in
// newDialer is the place where SASL joins.
func (c *Client) newTransport(topics []string) *kafka.Transport {
	return &kafka.Transport{
		Dial:           c.cfg.Dial,
		DialTimeout:    5 * time.Second,
		IdleTimeout:    time.Minute,
		MetadataTTL:    4 * time.Second,
		MetadataTopics: topics,
		ClientID:       c.cfg.ClientID,
		TLS:            c.cfg.TLS,
	}
}

func (c *Client) newDialer() *kafka.Dialer {
	return &kafka.Dialer{DialFunc: c.cfg.Dial, Timeout: 5 * time.Second, ClientID: c.cfg.ClientID, TLS: c.cfg.TLS}
}

// Close closes the connections. Producers and consumers must have ended. It may
// be called twice.
func (c *Client) Close() error {
	c.closed.Do(c.transport.CloseIdleConnections)
	return nil
}

// Ping asks any broker for the list of brokers: cheap, and proof that one answers.
func (c *Client) Ping(ctx context.Context) error {
	if _, err := c.fetchMetadata(ctx, nil); err != nil {
		return fmt.Errorf("kafka ping: %w", err)
	}
	return nil
}

// do sends one call and waits for its answer, at most wait longer than the
// request timeout. After an error the connection may still be using x, so that
// neither it nor its buffers may be used again.
func (c *Client) do(ctx context.Context, x *call, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout+wait)
	defer cancel()
	_, err := c.transport.RoundTrip(ctx, c.addr, x)
	return err
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
