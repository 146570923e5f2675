package influx

import (
	"encoding/base64"
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

	api "github.com/influxdata/influxdb-client-go/v2/api/http"

	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// The values that stand in for zero fields of Config.
const (
	DefaultTimeout       = 30 * time.Second
	DefaultMaxBatchLines = 5000
	DefaultMaxBatchBytes = 8 << 20 // 1.8 takes 25 MB by default
)

// Config says which InfluxDB to write to and how.
type Config struct {
	URL      string          // such as http://127.0.0.1:8086; a path prefix is kept
	Token    pipeline.Secret // 2.x and 3: API token; 1.8: "user:password", or empty without authentication
	User     string          // with Password instead of a token: 1.8, or 2.x with an authorization by `influx v1 auth create`
	Password pipeline.Secret
	Org      string // 2.x organisation name; 1.8 and 3 ignore it
	Bucket   string // 2.x bucket, or 1.8 database as "cardata" or "cardata/autogen"
	Database string // of InfluxQL queries; by default the part of Bucket before the slash

	Timeout       time.Duration // of one write request; 0 means DefaultTimeout
	Silence       time.Duration // longest wait for more of a query's answer; 0 means DefaultSilence
	MaxBatchLines int           // lines in one write request, 1 to 100,000; 0 means DefaultMaxBatchLines
	MaxBatchBytes int           // bytes in one write request before compression, 64 KiB to 64 MiB; 0 means DefaultMaxBatchBytes. A longer line goes alone
	Gzip          bool          // compress writes; worth its CPU on slow links only

	// CAFile holds the authorities to trust instead of the system's; CertFile and
	// KeyFile what the client shows. All are PEM, and read again when they change.
	CAFile   string
	CertFile string
	KeyFile  string

	HTTPClient *http.Client // nil means an own one; its CheckRedirect is not used: no redirect is followed
	Log        *slog.Logger // nil logs nothing
}

func (cfg *Config) setDefaults() {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Silence == 0 {
		cfg.Silence = DefaultSilence
	}
	if cfg.MaxBatchLines == 0 {
		cfg.MaxBatchLines = DefaultMaxBatchLines
	}
	if cfg.MaxBatchBytes == 0 {
		cfg.MaxBatchBytes = DefaultMaxBatchBytes
	}
	if cfg.Database == "" {
		cfg.Database, _, _ = strings.Cut(cfg.Bucket, "/")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
}

func (cfg *Config) validate() error {
	var errs []error
	u, err := url.Parse(cfg.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.User != nil {
		// The text is not repeated: it may hold a password.
		errs = append(errs, errors.New("URL must be http://host:port or https://host:port, without user, password and query"))
	}
	if cfg.Bucket == "" || strings.HasPrefix(cfg.Bucket, "/") {
		errs = append(errs, fmt.Errorf("bucket %q must be a bucket name, or database or database/retention-policy on 1.8", cfg.Bucket))
	}
	if cfg.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout %v must be above 0", cfg.Timeout))
	}
	if cfg.Silence < 0 {
		errs = append(errs, fmt.Errorf("silence %v must be above 0", cfg.Silence))
	}
	if cfg.MaxBatchLines < 1 || cfg.MaxBatchLines > 100_000 {
		errs = append(errs, fmt.Errorf("max batch lines %d must be 1 to 100000", cfg.MaxBatchLines))
	}
	if cfg.MaxBatchBytes < 64<<10 || cfg.MaxBatchBytes > 64<<20 {
		errs = append(errs, fmt.Errorf("max batch bytes %d must be 65536 to 67108864", cfg.MaxBatchBytes))
	}
	fault := func(variable string, value any, allowed string) {
		errs = append(errs, fmt.Errorf("CARDATA_%s=%v: %s", variable, value, allowed))
	}
	CheckLogin(cfg.Token, cfg.User, cfg.Password, fault)
	cfg.files().Check(fault)
	return errors.Join(errs...)
}

// CheckLogin tells fault of what does not go together, by the name of the
// environment variable without its prefix, as env.Faults.Add wants it.
func CheckLogin(token pipeline.Secret, user string, password pipeline.Secret, fault func(variable string, value any, allowed string)) {
	switch {
	case user != "" && token != "":
		fault("INFLUX_USER", user, "must be empty with CARDATA_INFLUX_TOKEN: one of both logs in")
	case user != "" && password == "":
		fault("INFLUX_PASSWORD", password, "must be the password of CARDATA_INFLUX_USER")
	case user == "" && password != "":
		fault("INFLUX_USER", user, "must name the user of CARDATA_INFLUX_PASSWORD")
	}
}

func (cfg *Config) files() tlsfiles.Files {
	return tlsfiles.Files{CA: cfg.CAFile, Cert: cfg.CertFile, Key: cfg.KeyFile, Name: "INFLUX"}
}

// authorization gives the header of every request; "" without authentication.
func (cfg *Config) authorization() string {
	switch {
	case cfg.User != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(cfg.User+":"+string(cfg.Password)))
	case cfg.Token != "":
		return "Token " + string(cfg.Token)
	}
	return ""
}

// write gives the address of writes. Users of 2.x are known to the 1.x addresses
// alone, which find the bucket by its database and retention policy.
func (cfg *Config) write(base, api2 string) string {
	if cfg.User == "" {
		return api2 + "write?" + url.Values{"org": {cfg.Org}, "bucket": {cfg.Bucket}, "precision": {"ns"}}.Encode()
	}
	database, policy, _ := strings.Cut(cfg.Bucket, "/")
	form := url.Values{"db": {database}} // nanoseconds unless told
	if policy != "" {
		form.Set("rp", policy)
	}
	return base + "write?" + form.Encode()
}

// Client is one InfluxDB database or bucket. It is safe for concurrent use.
type Client struct {
	cfg      Config
	base     string // of every URL, ends with a slash
	writeURL string
	http     *http.Client
	service  api.Service
	ownHTTP  bool

	lines   sync.Pool    // of *lines: at 5,000 lines a batch saves 600 KB of allocation and its growth
	touched atomic.Int64 // unix ms of the last day mark, see nextTouch

	listless  atomic.Bool  // the server lists no tag values of this bucket, see seriesOf
	perSeries atomic.Int64 // readings a series of the last scan, see dense; 0 before the first

	// Stats counts what this client did.
	Stats Stats
}

// New checks cfg and gives a client; it does not connect. The error names all
// faults at once.
func New(cfg Config) (*Client, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("influx configuration: %w", err)
	}
	c := &Client{cfg: cfg, base: strings.TrimRight(cfg.URL, "/") + "/"}
	c.lines.New = func() any { return &lines{} }
	if cfg.HTTPClient != nil {
		own := *cfg.HTTPClient
		c.http = &own
	} else {
		source, err := tlsfiles.Open(cfg.files(), cfg.Log)
		if err != nil {
			return nil, fmt.Errorf("influx TLS: %w", err)
		}
		transport := newTransport()
		if u, err := url.Parse(cfg.URL); err == nil { // validate has looked at it
			transport.TLSClientConfig = source.Config(u.Hostname())
		}
		c.http, c.ownHTTP = &http.Client{Transport: &explained{transport, cfg.files()}}, true
	}
	// A redirected POST turns into a GET, whose 200 would pass for success.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	c.service = api.NewService(c.base, cfg.authorization(), api.DefaultOptions().SetHTTPClient(c.http).SetApplicationName("cardata-pipeline"))
	c.writeURL = cfg.write(c.base, c.service.ServerAPIURL())
	return c, nil
}

// explained adds to a failed TLS handshake what to look at.
type explained struct {
	*http.Transport

	files tlsfiles.Files
}

// RoundTrip is http.Transport's.
func (t *explained) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(req)
	if hint := t.files.Hint(err); err != nil && hint != "" {
		return resp, fmt.Errorf("%w: %s", err, hint)
	}
	return resp, err
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
		WriteBufferSize:     64 << 10, // a batch is half a megabyte: the default of 4 KiB costs 125 system calls
		ReadBufferSize:      64 << 10,
		DisableCompression:  true, // a compressed answer costs both sides more CPU than the local network it saves
	}
}

// Close releases idle connections. It may be called twice; requests in flight
// end by their own context.
func (c *Client) Close() {
	if c.ownHTTP {
		c.http.CloseIdleConnections()
	}
}
