package doctor

import (
	"context"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Overview is how an installation stands, gathered from files and from ingest's
// health address alone: it costs no REST call and no connection to BMW.
type Overview struct {
	At       time.Time         `json:"at"`
	Ingest   string            `json:"ingest"` // how it was found; "" when none runs
	Checks   map[string]string `json:"checks,omitempty"`
	Accounts []AccountView     `json:"accounts"`
	Trouble  []string          `json:"trouble,omitempty"` // accounts that cannot be read
}

// AccountView is one account of an Overview. Pointers are nil where nothing is known.
type AccountView struct {
	Account      string            `json:"account"`
	Renewed      *time.Time        `json:"login_renewed,omitempty"`
	LoginExpires *time.Time        `json:"login_expires,omitempty"`
	Subscribed   *time.Time        `json:"subscribed_since,omitempty"` // as of ingest's last snapshot, at most a minute old while it runs
	Gap          *time.Time        `json:"gap_since,omitempty"`
	GapCause     schema.GapCause   `json:"gap_cause,omitempty"`
	Cars         []schema.VIN      `json:"cars,omitempty"` // heard on the stream
	Quota        *rest.QuotaStatus `json:"quota,omitempty"`
}

// Look gives the overview. The error is a Config that cannot be used.
func Look(ctx context.Context, cfg Config) (Overview, error) {
	e, err := prepare(cfg, nil)
	if err != nil {
		return Overview{}, exit.With(exit.Usage, err)
	}
	defer e.close()
	e.tokens(ctx)
	e.lookForIngest(ctx)
	o := Overview{
		At: time.Now().UTC().Truncate(time.Second), Ingest: e.ingest.found, Checks: e.ingest.checks,
		Accounts: make([]AccountView, 0, len(e.patients)),
	}
	for _, f := range e.findings {
		if f.Step == stepTokens && f.Subject == "" && f.Level == Fail {
			o.Trouble = append(o.Trouble, f.Text+"; "+f.Remedy)
		}
	}
	coverage, err := e.coverage()
	for _, p := range e.patients {
		v := AccountView{Account: permit.Label(p.GCID)}
		if p.source != nil {
			set := p.source.Tokens()
			renewed := set.Rotated()
			v.Renewed, v.LoginExpires = &renewed, &set.RefreshExpires
		}
		if s, known := coverage.State(p.GCID); err == nil && known {
			v.Cars = s.Known
			switch {
			case s.Open != nil:
				v.Gap, v.GapCause = &s.Open.Start, s.Open.Cause
			case s.Subscribed:
				v.Subscribed = &s.Since
			}
		}
		if q, err := p.Quota(ctx); err == nil {
			v.Quota = &q
		}
		o.Accounts = append(o.Accounts, v)
	}
	return o, nil
}
