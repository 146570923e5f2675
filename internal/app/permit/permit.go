// Package permit gives a process what it needs to call BMW's REST API for an
// account: access tokens and booked calls. A token set has one owner at any
// moment, and the daily quota belongs to the account, not to a process. On one
// machine all commands share token files and quota files under their locks; in a
// cluster ingest owns both, and others ask its internal endpoint for permits.
package permit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// MinSecret is the least length of the secret that guards the endpoint, in
// characters.
const MinSecret = 16

// Account is one account as a user of the REST API sees it. Its parts are safe
// for concurrent use.
type Account struct {
	GCID   schema.GCID
	Tokens rest.Tokens
	Budget rest.Budget
	Label  string // fit for logs and terminals: the GCID, shortened
}

// Quota tells how the account's quota stands, without spending a call.
func (a Account) Quota(ctx context.Context) (rest.QuotaStatus, error) {
	b, ok := a.Budget.(interface {
		Status(ctx context.Context) (rest.QuotaStatus, error)
	})
	if !ok {
		return rest.QuotaStatus{}, errors.New("this account's budget cannot tell how it stands")
	}
	return b.Status(ctx)
}

// Accounts are all accounts at hand, local or remote. It is safe for concurrent
// use.
type Accounts interface {
	// List gives the accounts, sorted by GCID. Those that can be used come even
	// with an error, which names the others.
	List(ctx context.Context) ([]Account, error)
	Close()
}

// Config says where tokens and quota come from. With URL they come from ingest
// and the store is never touched; else from files.
type Config struct {
	TokenDir string // folder of the account files; read and written under their locks
	OauthURL string // of the OAuth service; "" is BMW's
	CAFile   string // PEM file of authorities to trust in addition; "" for none

	URL    string          // of ingest's permit endpoint, several separated by commas; "" for local files
	Secret pipeline.Secret // of the permit endpoint, at least MinSecret characters

	Quota rest.QuotaConfig // of local accounts; zero fields are BMW's numbers
}

// Open checks cfg, reporting all faults at once, and makes no request.
func Open(_ context.Context, cfg Config, log *slog.Logger) (Accounts, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	transport, err := Transport(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	if cfg.URL != "" {
		return openRemote(cfg, transport)
	}
	if cfg.TokenDir == "" {
		return nil, errors.New("permits need a token folder, or the address of ingest's permit endpoint")
	}
	client, err := auth.New(auth.Config{BaseURL: cfg.OauthURL, HTTPClient: &http.Client{Transport: transport}, Log: log})
	if err != nil {
		return nil, err
	}
	if cfg.Quota.Log == nil {
		cfg.Quota.Log = log
	}
	return &local{cfg: cfg, client: client, transport: transport, log: log, known: make(map[string]Account)}, nil
}

// CheckURL tells whether s is an address, or several separated by commas, of a
// permit endpoint.
func CheckURL(s string) error {
	_, err := bases(s)
	return err
}

func bases(s string) ([]string, error) {
	var list []string
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimRight(strings.TrimSpace(part), "/")
		u, err := url.Parse(part)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
			return nil, errors.New("permit address must begin with http:// or https:// and hold no user, password or query")
		}
		list = append(list, part)
	}
	return list, nil
}

// Transport gives HTTP connections that trust the system's authorities and those
// of a PEM file, as the simulator's; "" for none.
func Transport(caFile string) (*http.Transport, error) {
	roots, err := Roots(caFile)
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4,
	}, nil
}

// Roots gives the system's authorities and those of a PEM file; nil, which means
// the system's, when there is no file.
func Roots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // no system roots, as in a bare container
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA file %s: no certificate in PEM form in it", caFile)
	}
	return pool, nil
}

// Label shortens an account's id for logs and terminals.
func Label(gcid schema.GCID) string { return gcid.LogValue().String() }
