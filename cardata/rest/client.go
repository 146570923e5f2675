package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultBaseURL is BMW's Customer API (CarData API, section "Overview").
const DefaultBaseURL = "https://api-cardata.bmwgroup.com"

const (
	callTimeout = 60 * time.Second
	tokenLife   = time.Minute // an access token is used when it lives longer than this
)

// Tokens gives the access tokens of one account. It is safe for concurrent use.
// An error with a method LoginNeeded() bool that says true means that a person
// has to log in; any other is taken for a passing one.
type Tokens interface {
	// AccessToken gives a token that lives longer than minLife.
	AccessToken(ctx context.Context, minLife time.Duration) (token string, expires time.Time, err error)
	// RenewAccess replaces a token that BMW refused, unless that was done already.
	RenewAccess(ctx context.Context, rejected string) error
}

// Use says who wants a call, hence whether the reserve may be spent on it.
type Use int

// The uses of a call.
const (
	UseScheduled Use = iota // a timetable: leaves the owner's reserve alone
	UseOwner                // a person asked: may use the reserve
)

// String gives the use's name: scheduled or owner.
func (u Use) String() string {
	if u == UseOwner {
		return "owner"
	}
	return "scheduled"
}

// Budget counts the calls of one account against its quota. It is safe for
// concurrent use. *Quota is one.
type Budget interface {
	// Book counts calls before they go out, failed ones included. A *QuotaError
	// says that they must not, and until when.
	Book(ctx context.Context, calls int, use Use) error
	// Exhausted notes that BMW answered CU-429.
	Exhausted(ctx context.Context) error
}

// clockBudget is a Budget that wants to know how far BMW's clock is ahead of
// ours, since its day starts by BMW's.
type clockBudget interface {
	SetSkew(ctx context.Context, skew time.Duration)
}

// Config says how to reach the API. The zero Config is BMW's own.
type Config struct {
	BaseURL    string        // "" is DefaultBaseURL; https, or http on loopback
	HTTPClient *http.Client  // only its Transport is used; nil for an own one
	Timeout    time.Duration // of one call with its answer; 0 is 60 s
	Log        *slog.Logger  // nil is silent
	Stats      *Stats        // may be shared by all Clients of a process; nil for an own one
}

// Stats counts what Clients did.
type Stats struct {
	RESTCalls    atomic.Int64 // sent, cardata_rest_calls_total
	RESTFailures atomic.Int64 // without a whole answer, cardata_rest_failures_total
	RESTRefusals atomic.Int64 // answered with a status outside 2xx, cardata_rest_refusals_total
	RESTRenewals atomic.Int64 // tokens renewed after a refusal, cardata_rest_renewals_total
	RESTProblems atomic.Int64 // fields and elements that could not be decoded, cardata_rest_problems_total
	RESTBytes    atomic.Int64 // of answers, cardata_rest_bytes_total
}

// Client calls the API for one account. It is safe for concurrent use.
type Client struct {
	*core
	use Use
}

// core is what the Clients of one New share.
type core struct {
	cfg    Config
	base   *url.URL
	http   *http.Client
	tokens Tokens
	budget Budget
	stats  *Stats
	skew   atomic.Int64 // nanoseconds: BMW's clock minus ours
	warned atomic.Bool  // clock skew has been logged

	mu      sync.Mutex // guards refused
	refused string     // access token that was refused although just renewed
}

// New checks cfg; all faults are reported at once. It opens nothing.
func New(cfg Config, tokens Tokens, budget Budget) (*Client, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = callTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Stats == nil {
		cfg.Stats = new(Stats)
	}
	base, err := parseBase(cfg.BaseURL)
	if tokens == nil || budget == nil {
		err = errors.Join(err, errors.New("rest client: tokens and budget are required"))
	}
	if cfg.Timeout < 0 {
		err = errors.Join(err, fmt.Errorf("rest client: timeout %s must not be negative", cfg.Timeout))
	}
	if err != nil {
		return nil, err
	}
	c := &core{cfg: cfg, base: base, tokens: tokens, budget: budget, stats: cfg.Stats}
	c.http = &http.Client{
		Transport: transport(cfg.HTTPClient),
		// A redirect would carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Client{core: c}, nil
}

// WithUse gives a Client that books its calls for use and shares all else.
func (c *Client) WithUse(use Use) *Client { return &Client{core: c.core, use: use} }

// Stats gives the counters, which Config.Stats may have named.
func (c *Client) Stats() *Stats { return c.stats }

// Skew tells how far BMW's clock was ahead of ours in its last answer. It is
// known to about a second, 0 before the first answer.
func (c *Client) Skew() time.Duration { return time.Duration(c.skew.Load()) }

func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(s, "/"))
	switch {
	case err != nil || u.Host == "":
		return nil, fmt.Errorf("rest client: base URL %q: give an address such as %s", s, DefaultBaseURL)
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return u, nil
	default:
		return nil, fmt.Errorf("rest client: base URL %q: use https, tokens must not cross a network in clear (http is for loopback alone)", s)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// transport keeps no connection open: net/http repeats a GET by itself when a kept
// one ends under it, and such a call would be BMW's to count and not ours. At 50
// calls a day a handshake each is cheap.
func transport(given *http.Client) http.RoundTripper {
	if given == nil || given.Transport == nil {
		return &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			ForceAttemptHTTP2:      true,
			DisableKeepAlives:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	t, ok := given.Transport.(*http.Transport)
	if !ok {
		return given.Transport
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	return t
}
