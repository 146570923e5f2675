package ingest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/stream"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// rescan is how often the token folder is looked at for new accounts.
const rescan = 5 * time.Second

// accounts runs one token source and one connection per account file, each
// failing alone.
type accounts struct {
	cfg    Config
	log    *slog.Logger
	roots  *x509.CertPool // nil: the system's
	client *auth.Client
	pacer  *stream.Pacer
	tokens auth.SourceStats
	calls  rest.QuotaStats
	stream stream.Stats

	mu      sync.Mutex // guards all below
	running map[schema.GCID]*account
	files   map[string]bool // paths of the running accounts
	scanErr string
}

type account struct {
	source     *auth.Source
	connection *stream.Connection
	quota      *rest.Quota
}

func newAccounts(cfg Config, log *slog.Logger) (*accounts, error) {
	a := &accounts{cfg: cfg, log: log, running: make(map[schema.GCID]*account), files: make(map[string]bool)}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("CARDATA_CA_FILE: %w", err)
		}
		a.roots = x509.NewCertPool()
		if !a.roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CARDATA_CA_FILE=%s: holds no PEM certificate", cfg.CAFile)
		}
	}
	transport := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{RootCAs: a.roots, MinVersion: tls.VersionTLS12}, IdleConnTimeout: time.Minute,
		ForceAttemptHTTP2: true,
	}
	var err error
	a.client, err = auth.New(auth.Config{BaseURL: cfg.OauthURL, HTTPClient: &http.Client{Transport: transport}, Log: log})
	if err != nil {
		return nil, err
	}
	a.pacer = stream.NewPacer(cfg.ConnectsPerMinute, time.Minute)
	return a, nil
}

// run starts an account for each file in the token folder, new ones as they
// appear, until ctx ends and every connection is closed.
func (a *accounts) run(ctx context.Context, h stream.Handler) {
	var group sync.WaitGroup
	defer group.Wait()
	tick := time.NewTicker(rescan)
	defer tick.Stop()
	for {
		for _, started := range a.scan(h) {
			group.Go(func() { a.hold(ctx, started) }) // ends with ctx
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// scan sets up the accounts that are new in the folder. A broken file is one
// account's trouble: it is logged when it appears and when it changes.
func (a *accounts) scan(h stream.Handler) []*account {
	stores, err := auth.Stores(a.cfg.TokenDir)
	var fresh []*account
	for _, store := range stores {
		added, startErr := a.add(store, h)
		err = errors.Join(err, startErr)
		if added != nil {
			fresh = append(fresh, added)
		}
	}
	a.note(err, len(stores))
	return fresh
}

func (a *accounts) add(store *auth.Store, h stream.Handler) (*account, error) {
	a.mu.Lock()
	known := a.files[store.Path()]
	a.mu.Unlock()
	if known {
		return nil, nil
	}
	source, err := auth.NewSource(a.client, store, auth.SourceConfig{Log: a.log, Stats: &a.tokens})
	if err != nil {
		return nil, err
	}
	gcid := source.GCID()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running[gcid] != nil {
		return nil, fmt.Errorf("%s holds an account that another file holds already", store.Path())
	}
	connection, err := stream.New(gcid, source, h, a.pacer, stream.Config{
		Addr: a.cfg.MQTTAddr, TLS: &tls.Config{RootCAs: a.roots, MinVersion: tls.VersionTLS13},
		ReconnectGap: a.cfg.ReconnectGap, Stats: &a.stream, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	quota := rest.OpenQuota(rest.QuotaPath(a.cfg.TokenDir, gcid), rest.QuotaConfig{Log: a.log.With("gcid", gcid), Stats: &a.calls})
	a.running[gcid] = &account{source: source, connection: connection, quota: quota}
	a.files[store.Path()] = true
	a.log.Info("account is taken up", "gcid", gcid)
	return a.running[gcid], nil
}

func (a *accounts) note(err error, found int) {
	text := ""
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && found == 0:
		text = "no account in " + a.cfg.TokenDir + "; run 'cardata login'"
	case err != nil:
		text = redactGCIDs(err.Error())
	}
	a.mu.Lock()
	changed := text != a.scanErr
	a.scanErr = text
	a.mu.Unlock()
	if changed && text != "" {
		a.log.Error("token folder needs a person", "err", text)
	}
}

// redactGCIDs hides account ids: the files are named after them.
func redactGCIDs(text string) string {
	const length = 36
	for i := 0; i+length <= len(text); i++ {
		if gcid, err := schema.ParseGCID(text[i : i+length]); err == nil {
			text = text[:i] + gcid.LogValue().String() + text[i+length:]
		}
	}
	return text
}

// hold keeps one account's tokens fresh and its connection up until ctx ends.
func (a *accounts) hold(ctx context.Context, acc *account) {
	var group sync.WaitGroup
	group.Go(func() { // ends with ctx
		if err := acc.source.Run(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("tokens are no longer kept fresh", "gcid", acc.source.GCID(), "err", err)
		}
	})
	if err := acc.connection.Run(ctx); err != nil && ctx.Err() == nil {
		a.log.Error("account has stopped", "gcid", acc.source.GCID(), "err", err)
	}
	group.Wait()
}

// trouble names what keeps accounts from streaming; nil when all stream.
func (a *accounts) trouble() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.scanErr != "" {
		return errors.New(a.scanErr)
	}
	byState := make(map[stream.State]int)
	for _, acc := range a.running {
		byState[acc.connection.Status().State]++
	}
	if len(a.running) > 0 && byState[stream.StateSubscribed] == 0 {
		states := slices.Sorted(maps.Keys(byState))
		return fmt.Errorf("none of %d accounts is subscribed: %v", len(a.running), states)
	}
	return nil
}

// count gives the number of accounts in a state.
func (a *accounts) count(state stream.State) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, acc := range a.running {
		if acc.connection.Status().State == state {
			n++
		}
	}
	return n
}
