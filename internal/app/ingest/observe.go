package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/stream"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// registry exports the counts of every stage.
func (in *Ingest) registry(c *schema.Catalogue) *prometheus.Registry {
	r := ops.Registry(ops.Version())
	ops.Info(r, "catalogue", "version", c.Version())
	ops.Counters(r, "intake", &in.intake.Stats)
	ops.Counters(r, "journal", in.journal.Stats())
	ops.Counters(r, "relay", &in.relay.Stats)
	ops.Counters(r, "producer", &in.producer.Stats)
	ops.Counters(r, "token", &in.accounts.tokens)
	ops.Counters(r, "quota", &in.accounts.calls)
	ops.Counters(r, "oauth", &in.accounts.client.Stats)
	ops.Counters(r, "stream", &in.accounts.stream)
	ops.Ledger(r, in.ledger)
	if in.owner != nil {
		ops.Counters(r, "owner", &in.owner.Stats)
		ops.Counters(r, "owner", &in.owner.member.Stats)
		ops.Gauge(r, "accounts_held", "Accounts that this replica has.", func() float64 { return float64(in.accounts.holding()) })
		ops.Gauge(r, "accounts_taking", "Accounts being taken over: claimed, and waiting for the former owner to be gone.", func() float64 { return float64(in.owner.waiting()) })
		ops.Gauge(r, "owner_members", "Replicas that share the accounts, as this one knows.", func() float64 { return float64(in.owner.members()) })
	}
	if in.permits != nil {
		ops.Counters(r, "permit", &in.permits.endpoint.Stats)
	}
	ops.Gauge(r, "quota_left_calls", "REST calls left today of the account that has least, the reserve included; -1 unknown.", in.accounts.leastQuota)
	ops.Gauge(r, "journal_size_bytes", "Bytes of the journal on disk.", func() float64 { return float64(in.journal.Size()) })
	ops.Gauge(r, "journal_limit_bytes", "Size limit of the journal, CARDATA_JOURNAL_MAX_MIB.", func() float64 { return float64(in.cfg.JournalMaxMib) * (1 << 20) })
	ops.Gauge(r, "journal_unsent_records", "Journal records that Kafka has not acknowledged.", func() float64 { return float64(in.Behind()) })
	ops.Gauge(r, "journal_full", "1 while the journal refuses messages.", func() float64 {
		if in.journal.Full() {
			return 1
		}
		return 0
	})
	ops.Gauge(r, "refresh_token_age_seconds", "Age of the oldest refresh token; BMW takes none older than 14 days. 0 without an account.", in.accounts.oldestRefreshToken)
	for _, state := range []stream.State{
		stream.StateConnecting, stream.StateSubscribed, stream.StateWaiting, stream.StateLoginNeeded, stream.StateMisconfigured,
	} {
		ops.Gauge(r, "accounts_"+string(state), "Accounts in this state.", func() float64 { return float64(in.accounts.count(state)) })
	}
	return r
}

// oldestRefreshToken gives the age of the refresh token that was renewed least
// recently, in seconds.
func (a *accounts) oldestRefreshToken() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	oldest := 0.0
	for _, acc := range a.running {
		if t := acc.source.Tokens(); !t.RefreshExpires.IsZero() {
			oldest = max(oldest, time.Since(t.Rotated()).Seconds())
		}
	}
	return oldest
}

// checks names what ingest depends on.
func (in *Ingest) checks() []ops.Check {
	checks := []ops.Check{
		{Name: "journal", Test: func(context.Context) error {
			if in.journal.Full() {
				return fmt.Errorf("full: %d bytes, messages are refused and a gap is open", in.journal.Size())
			}
			return in.journal.Err()
		}},
		{Name: "kafka", Test: in.kafka.Ping},
		{Name: "stream", Test: func(context.Context) error { return in.accounts.trouble() }},
	}
	if in.owner != nil {
		checks = append(checks, ops.Check{Name: "owner", Test: func(context.Context) error { return in.owner.trouble() }})
	}
	return checks
}
