package ingest

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
)

// permits is the endpoint that lends tokens and books calls, on its address.
type permits struct {
	endpoint *permit.Endpoint
	server   *permit.Server
}

// listenPermits opens the endpoint; nil when it is off.
func listenPermits(ctx context.Context, cfg Config, owner permit.Owner, log *slog.Logger) (*permits, error) {
	if cfg.PermitAddr == "" {
		return nil, nil
	}
	endpoint := permit.Handler(cfg.PermitSecret, owner, log)
	server, err := permit.Listen(ctx, cfg.PermitAddr, endpoint, log)
	if err != nil {
		return nil, err
	}
	log.Info("permits are given", "permit_addr", server.Addr())
	return &permits{endpoint, server}, nil
}

// advertised is where other replicas reach the endpoint; "" when it is off.
func (p *permits) advertised(cfg Config) string {
	if p == nil {
		return ""
	}
	if cfg.PermitAdvertise != "" {
		return strings.TrimRight(cfg.PermitAdvertise, "/")
	}
	host, port, err := net.SplitHostPort(p.server.Addr())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = cfg.Replica
	}
	return "http://" + net.JoinHostPort(host, port)
}

// share has the endpoint pass on what is asked of other replicas' accounts.
func (p *permits) share(o *owner) {
	if p != nil && o != nil {
		p.endpoint.Share(o)
	}
}

func (p *permits) run(ctx context.Context) error {
	if p == nil {
		return nil
	}
	return p.server.Run(ctx)
}

func (p *permits) close() {
	if p != nil {
		p.server.Close()
	}
}

// List gives the running accounts, for permits.
func (a *accounts) List(context.Context) ([]permit.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]permit.Account, 0, len(a.running))
	for gcid, acc := range a.running {
		list = append(list, permit.Account{GCID: gcid, Tokens: acc.source, Budget: acc.quota, Label: permit.Label(gcid)})
	}
	slices.SortFunc(list, func(x, y permit.Account) int { return cmp.Compare(x.GCID, y.GCID) })
	return list, nil
}

// leastQuota gives the calls left today of the account that has least; -1 when
// none can be told. It reads small files.
func (a *accounts) leastQuota() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	list, _ := a.List(ctx) // it has no errors
	least := -1
	for _, acc := range list {
		status, err := acc.Quota(ctx)
		if err == nil && (least < 0 || status.Left < least) {
			least = status.Left
		}
	}
	return float64(least)
}
