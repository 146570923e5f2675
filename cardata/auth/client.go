package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// DefaultBaseURL is BMW's OAuth service (CarData API, section "Overview").
const DefaultBaseURL = "https://customer.bmwgroup.com"

const (
	requestTimeout = 30 * time.Second
	maxAnswerBytes = 1 << 20
	maxSkew        = 30 * time.Second
)

// Config says how to reach the OAuth service and as which client.
type Config struct {
	BaseURL    string        // "" is DefaultBaseURL; https, or http on loopback
	ClientID   string        // UUID from the portal; Login needs it, Refresh takes the set's own
	Scopes     []string      // nil asks for REST API and stream
	HTTPClient *http.Client  // only its Transport is used; nil for an own one
	Timeout    time.Duration // of one request; 0 is 30 s
	Codes      int           // device codes one Login may use up by expiry; 0 is 3
	Log        *slog.Logger  // nil is silent
}

// Client speaks with the OAuth service. It holds no tokens and is safe for
// concurrent use by any number of accounts.
type Client struct {
	cfg    Config
	oauth  oauth2.Config
	base   http.RoundTripper
	skew   atomic.Int64 // nanoseconds: service's clock minus ours
	warned atomic.Bool  // clock skew has been logged

	// Stats counts what happened since New.
	Stats ClientStats
}

// ClientStats counts requests to the OAuth service.
type ClientStats struct {
	OAuthRequests atomic.Int64 // sent, cardata_oauth_requests_total
	OAuthFailures atomic.Int64 // without an answer, cardata_oauth_failures_total
	OAuthRefusals atomic.Int64 // answered with a status outside 2xx, pending polls left out, cardata_oauth_refusals_total
}

// New checks cfg; all faults are reported at once. It opens nothing.
func New(cfg Config) (*Client, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if cfg.Scopes == nil {
		cfg.Scopes = []string{scopeUser, scopeOpenID, scopeAPI, scopeStream}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = requestTimeout
	}
	if cfg.Codes <= 0 {
		cfg.Codes = 3
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	base := strings.TrimRight(cfg.BaseURL, "/")
	c := &Client{cfg: cfg, base: newTransport(), oauth: oauth2.Config{
		ClientID: cfg.ClientID,
		Endpoint: oauth2.Endpoint{
			DeviceAuthURL: base + "/gcdm/oauth/device/code",
			TokenURL:      base + "/gcdm/oauth/token",
			// The default probes: it sends a refused request a second time,
			// which would spend a refresh token or a poll.
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}}
	if cfg.HTTPClient != nil && cfg.HTTPClient.Transport != nil {
		c.base = cfg.HTTPClient.Transport
	}
	return c, nil
}

func (c Config) validate() error {
	var errs []error
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil || u.Host == "":
		errs = append(errs, &Error{Op: opConfig, Code: "base_url", Remedy: "give an address such as " + DefaultBaseURL})
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
	default:
		errs = append(errs, &Error{
			Op: opConfig, Code: "base_url",
			Remedy: "use https: tokens must not cross a network in clear (http is for loopback alone)",
		})
	}
	if c.ClientID != "" {
		errs = append(errs, CheckClientID(c.ClientID))
	}
	return errors.Join(errs...)
}

// CheckClientID tells whether s has the form of a client id, a UUID.
func CheckClientID(s string) error {
	if _, err := schema.ParseGCID(s); err != nil {
		return &Error{
			Op: opConfig, Code: "client_id", Description: "a client id is a UUID such as 00000000-0000-4000-8000-00000000c11d",
			Remedy: "copy it from the portal (BMW CarData, step \"create CarData client\")",
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     30 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
}

// Skew tells how far the service's clock was ahead of ours in its last answer.
// It is known to about a second, 0 before the first answer.
func (c *Client) Skew() time.Duration { return time.Duration(c.skew.Load()) }

// answer is what came back last, kept beside what oauth2 makes of it.
type answer struct {
	status     int // 0 without an answer
	retryAfter time.Duration
	body       []byte
	slowDowns  int64 // since through was called
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// through gives ctx with the HTTP client that oauth2 shall use for the requests
// of one exchange. It mends what the library leaves open: the device code
// request ignores the context and its body stays unclosed, a text/plain answer is
// read as a form, and the Date header is lost. Redirects are not followed, since
// a redirected POST carries the tokens elsewhere. last must not be read while a
// request is under way.
func (c *Client) through(ctx context.Context, last *answer) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
			defer cancel()
			defer context.AfterFunc(r.Context(), cancel)() //nolint:contextcheck // either context ends the request
			*last = answer{slowDowns: last.slowDowns}
			return c.send(r.WithContext(ctx), last)
		}),
	})
}

func (c *Client) send(r *http.Request, last *answer) (*http.Response, error) {
	c.Stats.OAuthRequests.Add(1)
	sent := time.Now()
	res, err := c.base.RoundTrip(r)
	if err != nil {
		c.Stats.OAuthFailures.Add(1)
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	_ = res.Body.Close()
	if err != nil {
		c.Stats.OAuthFailures.Add(1)
		return nil, fmt.Errorf("read answer: %w", err)
	}
	c.compareClocks(res.Header.Get("Date"), sent, time.Now())
	last.status, last.body = res.StatusCode, body
	c.count(last)
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		last.retryAfter = time.Duration(min(s, 3600)) * time.Second
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		res.Header = res.Header.Clone()
		if res.Header == nil {
			res.Header = http.Header{}
		}
		res.Header.Set("Content-Type", "application/json")
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

func (c *Client) count(last *answer) {
	if last.status/100 == 2 {
		return
	}
	var body struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(last.body, &body) // anything else has no code
	switch body.Error {
	case "authorization_pending":
	case codeSlowDown:
		last.slowDowns++
	default:
		c.Stats.OAuthRefusals.Add(1)
	}
}

// compareClocks takes the middle of the request as the moment at which the
// service wrote its Date, which has whole seconds.
func (c *Client) compareClocks(date string, sent, received time.Time) {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return
	}
	ours := sent.Add(received.Sub(sent) / 2).Round(0)
	skew := theirs.Add(500 * time.Millisecond).Sub(ours)
	c.skew.Store(int64(skew))
	if skew.Abs() <= maxSkew {
		c.warned.Store(false)
		return
	}
	if !c.warned.Swap(true) {
		c.cfg.Log.Warn("clock differs from the OAuth service, check time synchronisation", "skew_ms", skew.Milliseconds())
	}
}
