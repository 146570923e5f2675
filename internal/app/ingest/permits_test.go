package ingest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const permitSecret = pipeline.Secret("a secret of good length")

// running is an ingest that owns one account of a simulator and gives permits.
type running struct {
	sim  *simulator.Simulator
	in   *Ingest
	cfg  Config
	gcid schema.GCID
}

func startIngest(t *testing.T) *running {
	t.Helper()
	sim, err := simulator.Start(t.Context(), simulator.Config{
		Seed: 1, Accounts: 1, Cars: 1, AutoApprove: true, PollInterval: time.Second, ConnectsPerMinute: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	var cfg Config
	if err := env.Defaults(&cfg); err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.TokenDir, cfg.OauthURL, cfg.MQTTAddr, cfg.CAFile = t.TempDir(), t.TempDir(), sim.OAuthURL(), sim.MQTTAddr(), sim.CAFile()
	cfg.KafkaBrokers, cfg.HTTPAddr, cfg.DrainTimeout = []string{"127.0.0.1:1"}, "127.0.0.1:0", time.Second // Kafka is away: the journal keeps all
	cfg.PermitAddr, cfg.PermitSecret = "127.0.0.1:0", permitSecret
	if err := login.Run(t.Context(), login.Config{
		ClientID: sim.ClientID(), BaseURL: sim.OAuthURL(), TokenDir: cfg.TokenDir, CAFile: sim.CAFile(),
	}, io.Discard); err != nil {
		t.Fatal(err)
	}
	in, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		if err := in.Run(ctx); exit.Code(err) != exit.Done {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(group.Wait)
	t.Cleanup(stop)
	return &running{sim: sim, in: in, cfg: cfg, gcid: sim.Accounts()[0].GCID}
}

// account gives the account as another process sees it: by permit, or by the files.
func (r *running) account(t *testing.T, byPermit bool) (permit.Account, *rest.Client) {
	t.Helper()
	cfg := permit.Config{TokenDir: r.cfg.TokenDir, OauthURL: r.cfg.OauthURL, CAFile: r.cfg.CAFile}
	if byPermit {
		cfg = permit.Config{URL: "http://" + r.in.PermitAddr(), Secret: permitSecret}
	}
	accounts, err := permit.Open(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(accounts.Close)
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for {
		list, err := accounts.List(t.Context())
		if err == nil && len(list) == 1 {
			transport, err := permit.Transport(r.cfg.CAFile)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(transport.CloseIdleConnections)
			c, err := rest.New(rest.Config{BaseURL: r.sim.RESTURL(), HTTPClient: &http.Client{Transport: transport}}, list[0].Tokens, list[0].Budget)
			if err != nil {
				t.Fatal(err)
			}
			return list[0], c
		}
		select {
		case <-deadline.C:
			t.Fatalf("List: %d accounts, %v", len(list), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestProcessesTogetherNeverExceedTheQuotaNorLoseTheLogin(t *testing.T) {
	r := startIngest(t)
	var group sync.WaitGroup
	var made atomic.Int64
	for i := range 4 { // two by permit, two by the files
		acc, c := r.account(t, i%2 == 0)
		group.Go(func() {
			for call := 0; ; call++ {
				_, err := c.Mappings(t.Context())
				if _, spent := errors.AsType[*rest.QuotaError](err); spent {
					return
				}
				if err != nil {
					t.Errorf("call %d: %v", call, err)
					return
				}
				made.Add(1)
				if call%5 == 4 { // in between somebody has the tokens renewed
					token, _, err := acc.Tokens.AccessToken(t.Context(), 0)
					if err == nil {
						err = acc.Tokens.RenewAccess(t.Context(), token)
					}
					if err != nil && !errors.Is(err, auth.ErrRenewTooSoon) {
						t.Errorf("RenewAccess: %v", err)
					}
				}
			}
		})
	}
	group.Wait()
	// A token that another process renewed away may be refused once: that call was
	// booked twice.
	if n := r.sim.QuotaSpent(r.gcid); n != 40 || made.Load() > 40 {
		t.Errorf("BMW counted %d calls, %d answered; want 40, which leaves the reserve", n, made.Load())
	}
	acc, c := r.account(t, true)
	if status, err := acc.Quota(t.Context()); err != nil || status.Spent != 40 || status.Left != 10 {
		t.Errorf("Quota = %+v, %v", status, err)
	}
	if _, err := c.WithUse(rest.UseOwner).Mappings(t.Context()); err != nil {
		t.Errorf("a person's call out of the reserve: %v", err)
	}
	if status := r.in.accounts.running[r.gcid].source.Status(); status.State != auth.StateReady {
		t.Errorf("the login is %s: %v", status.State, status.LastError)
	}
}

func TestPermitsSeeAnExhaustedQuotaAtOnce(t *testing.T) {
	r := startIngest(t)
	r.sim.Spend(r.gcid, 50) // another tool
	_, first := r.account(t, true)
	second, c := r.account(t, false)
	_, err := first.Mappings(t.Context())
	if e, ok := errors.AsType[*rest.Error](err); !ok || e.Kind != rest.KindQuota {
		t.Fatalf("call with the quota spent elsewhere: %v, want KindQuota", err)
	}
	if _, err := c.Mappings(t.Context()); err == nil {
		t.Error("a second process asked again")
	}
	if n := r.sim.QuotaSpent(r.gcid); n > 51 {
		t.Errorf("%d calls reached BMW after the latch", n)
	}
	if status, err := second.Quota(t.Context()); err != nil || status.LatchedUntil.IsZero() || status.Foreign == 0 {
		t.Errorf("Quota = %+v, %v; want the latch and what others spent", status, err)
	}
	if left := r.in.accounts.leastQuota(); left != 0 {
		t.Errorf("metric says %v calls left, want 0", left)
	}
}
