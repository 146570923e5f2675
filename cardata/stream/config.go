package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// DefaultAddr is where the service streams (CarData API, section
// "Connection").
const DefaultAddr = "customer.streaming-cardata.bmwgroup.com:9000"

// Handler hears everything of one connection, in order, from one goroutine at
// a time per account; a Handler shared by several connections is called by
// them concurrently. Its methods must not block: while one runs, nothing more
// of the account is read.
type Handler interface {
	// Message brings one payload. Both payload and topic are the connection's;
	// payload must be copied before Message returns. received is when the bytes
	// came off the socket, UTC.
	Message(gcid schema.GCID, topic string, payload []byte, received time.Time)
	// Subscribed says that coverage starts: the service has granted the
	// subscription. Every Message lies between a Subscribed and its Lost.
	Subscribed(gcid schema.GCID, at time.Time)
	// Lost says that coverage ended at lastInbound, the last time anything
	// (message or ping answer) was read off the socket with no backlog behind
	// it, and that this was noticed at at, which is never before it. Messages
	// that were still read after lastInbound came as Message all the same. It
	// comes exactly once for each Subscribed.
	Lost(gcid schema.GCID, at, lastInbound time.Time, cause schema.GapCause)
}

// Tokens gives the password of the stream. An error with a method
// LoginNeeded() bool that answers true means that only a person can help; any
// other error is taken as passing.
type Tokens interface {
	// IDToken gives an id token that lives at least minLife longer, refreshing
	// it when the one at hand does not. A token whose whole life is shorter is
	// given as it is.
	IDToken(ctx context.Context, minLife time.Duration) (token string, expires time.Time, err error)
	// Renew replaces a token that the service rejected although it looked good.
	Renew(ctx context.Context, rejected string) error
}

// Config holds what may differ between installations. The zero Config is
// BMW's service with the documented timing.
type Config struct {
	// Addr is host:port; empty means DefaultAddr.
	Addr string
	// TLS gives roots and, if wanted, ServerName; nil means the system's roots.
	// TLS 1.3 is enforced and ServerName defaults to the host of Addr.
	TLS *tls.Config
	// KeepAlive is the MQTT keep-alive, whole seconds, 1 s to 5 min; 0 means
	// 30 s, the value all known clients use.
	KeepAlive time.Duration
	// ReconnectGap is the least time between a disconnect and the next
	// connect; 0 means 10 s, which the service demands.
	ReconnectGap time.Duration
	// ChangeFrom and ChangeUntil bound the age of the token, for a token of one
	// hour, at which it is exchanged; 0 means 45 min and 57 min. For a token
	// with another life both scale with it.
	ChangeFrom, ChangeUntil time.Duration
	// Dial opens the network connection below TLS; nil means a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Stats is counted into; nil means counters of the connection's own. Many
	// connections may share one.
	Stats *Stats
	// Log receives one line per change of state; nil discards.
	Log *slog.Logger
}

// withDefaults checks all fields, reports all faults at once and fills what is
// empty.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.Addr == "" {
		cfg.Addr = DefaultAddr
	}
	cfg.KeepAlive = orElse(cfg.KeepAlive, 30*time.Second)
	cfg.ReconnectGap = orElse(cfg.ReconnectGap, 10*time.Second)
	cfg.ChangeFrom = orElse(cfg.ChangeFrom, 45*time.Minute)
	cfg.ChangeUntil = orElse(cfg.ChangeUntil, 57*time.Minute)
	if cfg.Stats == nil {
		cfg.Stats = new(Stats)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}

	var faults []error
	host, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil || host == "" || port == "" {
		faults = append(faults, fmt.Errorf("stream address %q must be host:port", cfg.Addr))
	}
	if cfg.KeepAlive < time.Second || cfg.KeepAlive > 5*time.Minute || cfg.KeepAlive%time.Second != 0 {
		faults = append(faults, fmt.Errorf("stream keep-alive %v must be whole seconds, 1s to 5m", cfg.KeepAlive))
	}
	if cfg.ReconnectGap < 0 {
		faults = append(faults, fmt.Errorf("stream reconnect gap %v must not be negative", cfg.ReconnectGap))
	}
	if cfg.ChangeFrom <= 0 || cfg.ChangeUntil <= cfg.ChangeFrom || cfg.ChangeUntil >= tokenLife {
		faults = append(faults, fmt.Errorf("token change window %v to %v must be ordered and inside 0 to %v",
			cfg.ChangeFrom, cfg.ChangeUntil, tokenLife))
	}
	if cfg.TLS == nil {
		cfg.TLS = new(tls.Config)
	}
	if v := cfg.TLS.MaxVersion; v != 0 && v < tls.VersionTLS13 {
		faults = append(faults, errors.New("stream TLS configuration must allow TLS 1.3, the service takes nothing older"))
	}
	cfg.TLS = cfg.TLS.Clone()
	cfg.TLS.MinVersion = tls.VersionTLS13
	if cfg.TLS.ServerName == "" {
		cfg.TLS.ServerName = host
	}
	return cfg, errors.Join(faults...)
}

func orElse(d, other time.Duration) time.Duration {
	if d == 0 {
		return other
	}
	return d
}
