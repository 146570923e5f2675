package permit

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
)

// local are the accounts of a folder of token files. It keeps nothing running:
// tokens are refreshed when somebody asks for one.
type local struct {
	cfg       Config
	client    *auth.Client
	transport *http.Transport
	log       *slog.Logger

	mu    sync.Mutex // guards known
	known map[string]Account
}

// List looks at the folder anew, so that a login is seen without a restart.
func (l *local) List(context.Context) ([]Account, error) {
	stores, err := auth.Stores(l.cfg.TokenDir)
	list := make([]Account, 0, len(stores))
	for _, store := range stores {
		a, failed := l.account(store)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		list = append(list, a)
	}
	return list, err
}

func (l *local) account(store *auth.Store) (Account, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a, ok := l.known[store.Path()]; ok {
		return a, nil
	}
	source, err := auth.NewSource(l.client, store, auth.SourceConfig{Log: l.log})
	if err != nil {
		return Account{}, err
	}
	a := Account{
		GCID: source.GCID(), Tokens: source, Label: Label(source.GCID()),
		Budget: rest.OpenQuota(rest.QuotaPath(l.cfg.TokenDir, source.GCID()), l.cfg.Quota),
	}
	l.known[store.Path()] = a
	return a, nil
}

// Close releases idle connections.
func (l *local) Close() { l.transport.CloseIdleConnections() }

func byGCID(a, b Account) int { return cmp.Compare(a.GCID, b.GCID) }

// find gives one account of a list.
func find(list []Account, gcid string) (Account, bool) {
	i := slices.IndexFunc(list, func(a Account) bool { return string(a.GCID) == gcid })
	if i < 0 {
		return Account{}, false
	}
	return list[i], true
}
