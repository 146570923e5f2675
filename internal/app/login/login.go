// Package login is the command that logs an account in: it shows address and
// code, waits for the person, and stores the tokens. It prints no token and no
// full account identifier.
package login

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

// Help texts of the flags that fill a Config.
const (
	HelpClientID = "client id (UUID) from the portal: BMW CarData, step \"create CarData client\""
	HelpBaseURL  = "address of the OAuth service; default BMW's, " + auth.DefaultBaseURL
	HelpTokenDir = "directory of the token files, one <gcid>.json per account; created with mode 0700 where missing"
	HelpCAFile   = "PEM file of a certificate authority to trust in addition, such as the simulator's"
	HelpJSON     = "one JSON object per line instead of text: event code, stored, missing"
)

const saveTimeout = 30 * time.Second

// Config is what the flags of the command say.
type Config struct {
	ClientID string       // HelpClientID
	BaseURL  string       // HelpBaseURL
	TokenDir string       // HelpTokenDir; "" is DefaultTokenDir
	CAFile   string       // HelpCAFile; "" for none
	JSON     bool         // HelpJSON
	Log      *slog.Logger // nil is silent
}

// DefaultTokenDir gives the directory of token files in the user's own
// configuration folder.
func DefaultTokenDir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find token directory: %w", err)
	}
	return filepath.Join(dir, "cardata", "tokens"), nil
}

// Run logs one account in and tells on out what a person needs to know. Its
// error carries the exit code: 2 for a wrong Config, 3 when a person has to act
// (refused, expired, or stored but a subscription is missing), 1 for the rest.
func Run(ctx context.Context, cfg Config, out io.Writer) error {
	cfg, client, err := prepare(cfg)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	if err := auth.PrepareDir(cfg.TokenDir); err != nil {
		return exit.With(exit.Usage, err)
	}
	w := newPrinter(out, cfg.JSON)
	set, err := client.Login(ctx, w.prompt)
	if err != nil {
		return classify(ctx, err)
	}
	if err := store(ctx, cfg.TokenDir, set); err != nil {
		return err
	}
	missing := set.Check()
	w.stored(set, cfg.TokenDir, missing)
	if missing != nil {
		return errors.Join(exit.With(exit.NeedsPerson, &missingError{missing}), w.err)
	}
	return w.err
}

// missingError ends a login that left something to do, which has been told on
// the output already.
type missingError struct{ err error }

func (e *missingError) Error() string {
	return "logged in, but the account's client id lacks a subscription: see what to do in the output"
}

func (e *missingError) Unwrap() error { return e.err }

// prepare reports every fault of cfg at once.
func prepare(cfg Config) (Config, *auth.Client, error) {
	var errs []error
	if cfg.TokenDir == "" {
		dir, err := DefaultTokenDir()
		cfg.TokenDir = dir
		errs = append(errs, err)
	}
	if cfg.ClientID == "" {
		errs = append(errs, auth.CheckClientID(cfg.ClientID))
	}
	transport, err := transport(cfg.CAFile)
	errs = append(errs, err)
	client, err := auth.New(auth.Config{
		BaseURL: cfg.BaseURL, ClientID: cfg.ClientID, HTTPClient: &http.Client{Transport: transport}, Log: cfg.Log,
	})
	return cfg, client, errors.Join(append(errs, err)...)
}

func transport(caFile string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 30 * time.Second,
	}
	if caFile == "" {
		return t, nil
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
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// store saves even when ctx ends at this moment: the person has consented and
// the code is spent.
func store(ctx context.Context, dir string, set auth.TokenSet) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	s := auth.OpenStore(auth.StorePath(dir, set.GCID))
	unlock, err := s.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return s.Save(set)
}

func classify(ctx context.Context, err error) error {
	e, ok := errors.AsType[*auth.Error](err)
	if ctx.Err() != nil || !ok || e.Transient {
		return err
	}
	return exit.With(exit.NeedsPerson, err)
}
