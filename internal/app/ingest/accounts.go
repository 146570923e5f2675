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
// failing alone: for all of them, or for those that are this replica's.
type accounts struct {
	cfg    Config
	log    *slog.Logger
	roots  *x509.CertPool // nil: the system's
	client *auth.Client
	pacer  *stream.Pacer
	tokens auth.SourceStats
	calls  rest.QuotaStats
	stream stream.Stats
	owner  *owner // nil: every account is ours; set before run

	mu      sync.Mutex // guards all below
	known   map[schema.GCID]*auth.Store
	files   map[string]bool          // paths of the known accounts
	held    map[schema.GCID]struct{} // being taken over or running
	running map[schema.GCID]*account
	scanErr string
}

type account struct {
	source     *auth.Source
	connection *stream.Connection
	quota      *rest.Quota
}

func newAccounts(cfg Config, log *slog.Logger) (*accounts, error) {
	a := &accounts{
		cfg: cfg, log: log, running: make(map[schema.GCID]*account), files: make(map[string]bool),
		known: make(map[schema.GCID]*auth.Store), held: make(map[schema.GCID]struct{}),
	}
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

// run holds the accounts of the token folder that are ours, new ones as they
// appear, until ctx ends and every connection is closed.
func (a *accounts) run(ctx context.Context, h stream.Handler) {
	var group sync.WaitGroup
	defer group.Wait()
	tick := time.NewTicker(rescan)
	defer tick.Stop()
	var changed <-chan struct{}
	if a.owner != nil {
		changed = a.owner.wake
	}
	for {
		a.scan()
		for _, gcid := range a.free(ctx) {
			group.Go(func() { // ends with ctx, or when the account is no longer ours
				if a.owner == nil {
					a.hold(ctx, gcid, h, nil)
					a.release(gcid)
					return
				}
				soon := a.owner.hold(ctx, gcid, func(ctx context.Context) {
					a.hold(ctx, gcid, h, func(ctx context.Context) error { return a.owner.confirm(ctx, gcid) })
				})
				a.release(gcid)
				if soon {
					a.owner.nudge()
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-changed:
		}
	}
}

// scan notes the accounts that are new in the folder. A broken file is one
// account's trouble: it is logged when it appears and when it changes.
func (a *accounts) scan() {
	stores, err := auth.Stores(a.cfg.TokenDir)
	for _, store := range stores {
		err = errors.Join(err, a.add(store))
	}
	a.note(err, len(stores))
}

func (a *accounts) add(store *auth.Store) error {
	a.mu.Lock()
	known := a.files[store.Path()]
	a.mu.Unlock()
	if known {
		return nil
	}
	set, err := store.Load()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known[set.GCID] != nil {
		return fmt.Errorf("%s holds an account that another file holds already", store.Path())
	}
	a.known[set.GCID], a.files[store.Path()] = store, true
	return nil
}

// free gives the accounts that are ours and not held yet, and marks them so.
func (a *accounts) free(ctx context.Context) []schema.GCID {
	a.mu.Lock()
	var list []schema.GCID
	for gcid := range a.known {
		if _, held := a.held[gcid]; !held {
			list = append(list, gcid)
		}
	}
	a.mu.Unlock()
	if a.owner != nil {
		list = slices.DeleteFunc(list, func(gcid schema.GCID) bool { return !a.owner.wants(ctx, gcid) })
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, gcid := range list {
		a.held[gcid] = struct{}{}
	}
	return list
}

func (a *accounts) release(gcid schema.GCID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.held, gcid)
	delete(a.running, gcid)
}

// open sets an account up from what its store holds now. may is asked before
// anything that only the account's owner may do; nil allows all.
func (a *accounts) open(gcid schema.GCID, h stream.Handler, may func(context.Context) error) (*account, error) {
	a.mu.Lock()
	store := a.known[gcid]
	a.mu.Unlock()
	source, err := auth.NewSource(a.client, store, auth.SourceConfig{Log: a.log, Stats: &a.tokens, May: may})
	if err != nil {
		return nil, err
	}
	var tokens stream.Tokens = source
	if may != nil {
		tokens = guarded{source, may}
	}
	connection, err := stream.New(gcid, tokens, h, a.pacer, stream.Config{
		Addr: a.cfg.MQTTAddr, TLS: &tls.Config{RootCAs: a.roots, MinVersion: tls.VersionTLS13},
		ReconnectGap: a.cfg.ReconnectGap, Stats: &a.stream, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	quota := rest.OpenQuota(rest.QuotaPath(a.cfg.TokenDir, gcid), rest.QuotaConfig{Log: a.log.With("gcid", gcid), Stats: &a.calls})
	acc := &account{source: source, connection: connection, quota: quota}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running[gcid] = acc
	a.log.Info("account is taken up", "gcid", gcid)
	return acc, nil
}

// guarded asks whether the account is still ours before each connection: an
// eviction may have been its new owner's doing.
type guarded struct {
	*auth.Source
	may func(ctx context.Context) error
}

func (g guarded) IDToken(ctx context.Context, minLife time.Duration) (token string, expires time.Time, err error) {
	if err := g.may(ctx); err != nil {
		return "", time.Time{}, err
	}
	return g.Source.IDToken(ctx, minLife)
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
func (a *accounts) hold(ctx context.Context, gcid schema.GCID, h stream.Handler, may func(context.Context) error) {
	acc, err := a.open(gcid, h, may)
	if err != nil {
		a.log.Error("account is not taken up, will be tried again", "gcid", gcid, "err", redactGCIDs(err.Error()))
		return // the next scan tries again
	}
	var group sync.WaitGroup
	group.Go(func() { // ends with ctx
		if err := acc.source.Run(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("tokens are no longer kept fresh", "gcid", gcid, "err", err)
		}
	})
	if err := acc.connection.Run(ctx); err != nil && ctx.Err() == nil {
		a.log.Error("account has stopped", "gcid", gcid, "err", err)
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

// holding gives the number of accounts that are connected or connecting.
func (a *accounts) holding() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.running)
}
