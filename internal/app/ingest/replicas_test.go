package ingest

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

// shared is what replicas share: the service, Kafka, the token folder.
type shared struct {
	t        *testing.T
	sim      *simulator.Simulator
	broker   *kfake.Cluster
	tokenDir string
}

func newShared(t *testing.T, accounts int) *shared {
	t.Helper()
	s := &shared{t: t, tokenDir: t.TempDir()}
	var err error
	if s.sim, err = simulator.Start(t.Context(), simulator.Config{
		Seed: 1, Accounts: accounts, Cars: 1, AutoApprove: true, PollInterval: time.Second, ConnectsPerMinute: -1,
		Faults: simulator.Faults{ReconnectRefusal: -1},
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sim.Close)
	if s.broker, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.broker.Close)
	for _, a := range s.sim.Accounts() {
		if err := login.Run(t.Context(), login.Config{
			ClientID: a.ClientID, BaseURL: s.sim.OAuthURL(), TokenDir: s.tokenDir, CAFile: s.sim.CAFile(),
		}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *shared) start(name string) *Ingest {
	s.t.Helper()
	var cfg Config
	if err := env.Defaults(&cfg); err != nil {
		s.t.Fatal(err)
	}
	cfg.DataDir, cfg.TokenDir, cfg.OauthURL, cfg.MQTTAddr, cfg.CAFile = s.t.TempDir(), s.tokenDir, s.sim.OAuthURL(), s.sim.MQTTAddr(), s.sim.CAFile()
	cfg.KafkaBrokers, cfg.HTTPAddr, cfg.DrainTimeout = s.broker.ListenAddrs(), "127.0.0.1:0", 2*time.Second
	cfg.PermitAddr, cfg.PermitSecret, cfg.ConnectsPerMinute = "127.0.0.1:0", permitSecret, 120
	cfg.AccountGroup, cfg.Replica, cfg.AccountSession, cfg.TakeoverWait, cfg.ReconnectGap = "accounts", name, 3*time.Second, 3*time.Second, time.Second
	in, err := New(s.t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(s.t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		if err := in.Run(ctx); exit.Code(err) != exit.Done {
			s.t.Errorf("Run: %v", err)
		}
	})
	s.t.Cleanup(group.Wait)
	s.t.Cleanup(stop)
	return in
}

func (s *shared) until(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-deadline:
			s.t.Fatalf("%s: not within 30 s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *shared) streaming() int {
	n := 0
	for _, p := range s.sim.Progress() {
		if p.Subscribed {
			n++
		}
	}
	return n
}

// Any replica gives permits for every account, and the calls count once.
func TestAnyReplicaGivesPermitsForAllAccounts(t *testing.T) {
	s := newShared(t, 4)
	a, b := s.start("a"), s.start("b")
	s.until("both have accounts", func() bool {
		return s.streaming() == 4 && a.accounts.holding() > 0 && b.accounts.holding() > 0 && a.accounts.holding()+b.accounts.holding() == 4
	})
	for _, in := range []*Ingest{a, b} {
		accounts, err := permit.Open(t.Context(), permit.Config{URL: "http://" + in.PermitAddr(), Secret: permitSecret}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(accounts.Close)
		list, err := accounts.List(t.Context())
		if err != nil || len(list) != 4 {
			t.Fatalf("List = %d accounts, %v; want 4", len(list), err)
		}
		for _, acc := range list {
			if token, _, err := acc.Tokens.AccessToken(t.Context(), time.Minute); err != nil || token == "" {
				t.Errorf("AccessToken: %v", err)
			}
			if err := acc.Budget.Book(t.Context(), 2, rest.UseScheduled); err != nil {
				t.Errorf("Book: %v", err)
			}
		}
	}
	for _, acc := range s.sim.Accounts() {
		q := rest.OpenQuota(rest.QuotaPath(s.tokenDir, acc.GCID), rest.QuotaConfig{})
		if status, err := q.Status(t.Context()); err != nil || status.Spent != 4 {
			t.Errorf("%d calls booked, %v; want 2 by each replica", status.Spent, err)
		}
	}
	if n := a.permits.endpoint.Stats.PermitsPassedOn.Load() + b.permits.endpoint.Stats.PermitsPassedOn.Load(); n != 8 {
		t.Errorf("%d requests passed on, want a token and a booking for each account of the other", n)
	}
}

// A replica that is killed right after its first connection leaves word enough for
// a gap: the report comes ahead of the connection.
func TestFirstConnectionIsToldAheadOfIt(t *testing.T) {
	s := newShared(t, 1)
	in := s.start("a")
	gcid := s.sim.Accounts()[0].GCID
	s.until("connected", func() bool { return s.sim.Stats.Connects.Load() == 1 })
	r, err := in.owner.claims.told(t.Context(), in.owner.life.ID)
	if err != nil {
		t.Fatal(err)
	}
	state := r.Accounts[gcid]
	if gap, ok := state.Handover(r.Alive); !ok || time.Since(gap.Start) > 3*time.Second {
		t.Errorf("Handover = %+v, %v right after the first connection, want a gap that starts now", gap, ok)
	}
}

// After an eviction the claim is looked at: taken by another, the account is let
// go, and only taken back in order.
func TestEvictedReplicaDoesNotReconnectToWhatIsTaken(t *testing.T) {
	s := newShared(t, 1)
	in := s.start("a")
	gcid := s.sim.Accounts()[0].GCID
	s.until("streaming", func() bool { return s.streaming() == 1 })
	before, err := in.owner.claims.holder(t.Context(), gcid)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.owner.claims.take(t.Context(), gcid, claim{Epoch: before.Epoch + 1, Life: "somebody", Replica: "z"}); err != nil {
		t.Fatal(err)
	}
	taken := time.Now()
	s.sim.Evict(gcid)
	s.until("streaming again", func() bool { return s.sim.Stats.Connects.Load() == 2 && s.streaming() == 1 })
	if d := time.Since(taken); d < in.cfg.TakeoverWait {
		t.Errorf("connected again after %v, want the wait of a takeover, %v", d, in.cfg.TakeoverWait)
	}
	if now, err := in.owner.claims.holder(t.Context(), gcid); err != nil || now.Life != in.owner.life.ID || now.Epoch != before.Epoch+2 {
		t.Errorf("claim %+v, %v; want it claimed anew", now, err)
	}
	if n := in.owner.Stats.AccountsFenced.Load(); n != 1 {
		t.Errorf("AccountsFenced = %d, want 1", n)
	}
}
