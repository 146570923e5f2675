package permit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	askTimeout = 45 * time.Second // ingest may be refreshing tokens, with a retry
	maxAnswer  = 8 << 20          // a list of many accounts
)

// Error is a refusal of the permit endpoint, or the failure to reach it.
type Error struct {
	Op     string // what was asked
	Status int    // HTTP status, 0 without an answer
	Code   string // login_needed, unknown_account, secret, renew_too_soon, bad_request, unavailable, network
	Text   string // the endpoint's words
	Remedy string // what a person can do; empty when nothing
	Err    error  // cause, for Unwrap
}

// Error gives operation, code, words and remedy.
func (e *Error) Error() string {
	text := e.Op + ": " + e.Code
	if e.Text != "" {
		text += " (" + e.Text + ")"
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// LoginNeeded tells whether only a new login helps.
func (e *Error) LoginNeeded() bool { return e.Code == codeLogin }

// remote are the accounts of one or several ingest processes.
type remote struct {
	bases  []string
	secret string
	client *http.Client

	mu    sync.Mutex // guards known
	known map[schema.GCID]*lent
}

func openRemote(cfg Config, transport *http.Transport) (*remote, error) {
	list, err := bases(cfg.URL)
	if len(cfg.Secret) < MinSecret {
		err = errors.Join(err, fmt.Errorf("permit secret must have at least %d characters", MinSecret))
	}
	if err != nil {
		return nil, err
	}
	transport.Proxy = nil // the endpoint is internal, and the secret is not for a proxy
	return &remote{
		bases: list, secret: string(cfg.Secret), known: make(map[schema.GCID]*lent),
		client: &http.Client{
			Transport: transport, Timeout: askTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// List asks every address. An account named by two is taken from the first.
func (r *remote) List(ctx context.Context) ([]Account, error) {
	var (
		list []Account
		errs []error
	)
	for _, base := range r.bases {
		var body accountsAnswer
		if err := r.ask(ctx, "list accounts", http.MethodGet, base+pathAccounts, nil, &body); err != nil {
			errs = append(errs, err)
			continue
		}
		if body.Trouble != "" {
			errs = append(errs, &Error{Op: "list accounts", Code: codeUnavailable, Text: body.Trouble})
		}
		for _, entry := range body.Accounts {
			gcid, err := schema.ParseGCID(entry.GCID)
			if err != nil {
				errs = append(errs, fmt.Errorf("list accounts: %w", err))
				continue
			}
			if _, twice := find(list, string(gcid)); !twice {
				list = append(list, r.account(base, gcid))
			}
		}
	}
	slices.SortFunc(list, byGCID)
	return list, errors.Join(errs...)
}

func (r *remote) account(base string, gcid schema.GCID) Account {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.known[gcid]
	if l == nil || l.base != base { // it moved to another process
		l = &lent{remote: r, base: base, gcid: gcid}
		r.known[gcid] = l
	}
	return Account{GCID: gcid, Tokens: l, Budget: l, Label: Label(gcid)}
}

// Close releases idle connections.
func (r *remote) Close() { r.client.CloseIdleConnections() }

// ask sends one request. A booking is never sent twice: what was booked and not
// used is a call lost, but what was used and not booked would be one too many.
func (r *remote) ask(ctx context.Context, op, method, url string, question, result any) error {
	var body io.Reader = http.NoBody
	if question != nil {
		b, err := json.Marshal(question)
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body) //nolint:gosec // the address is the operator's own
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	req.Header.Set("Authorization", bearer+r.secret)
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req) //nolint:gosec // the address is the operator's own
	if err != nil {
		return &Error{Op: op, Code: "network", Err: err, Remedy: "check that ingest runs and CARDATA_PERMIT_URL is its permit address"}
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return &Error{Op: op, Status: res.StatusCode, Code: "network", Err: err}
	}
	if res.StatusCode/100 != 2 {
		return refusalError(op, res.StatusCode, text)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(text, result); err != nil {
		return &Error{Op: op, Status: res.StatusCode, Code: "unreadable_answer", Remedy: "check that CARDATA_PERMIT_URL is ingest's permit address"}
	}
	return nil
}

func refusalError(op string, status int, text []byte) error {
	var body refusal
	if json.Unmarshal(text, &body) != nil || body.Code == "" {
		return &Error{
			Op: op, Status: status, Code: "unexpected_status", Text: fmt.Sprintf("status %d", status),
			Remedy: "check that CARDATA_PERMIT_URL is ingest's permit address",
		}
	}
	e := &Error{Op: op, Status: status, Code: body.Code, Text: body.Text, Remedy: body.Remedy}
	switch q := body.Quota; {
	case q != nil:
		use, _ := useOf(q.Use)
		return &rest.QuotaError{Use: use, Spent: q.Spent, Limit: q.Limit, Reserve: q.Reserve, Until: q.Until, Latched: q.Latched}
	case body.Code == codeLogin:
		e.Err = auth.ErrLoginNeeded
	case body.Code == codeRenewSoon:
		e.Err = auth.ErrRenewTooSoon
	}
	return e
}

// lent is one account whose tokens and quota another process owns.
type lent struct {
	remote *remote
	base   string
	gcid   schema.GCID

	mu      sync.Mutex // guards what follows
	token   string
	expires time.Time
}

// AccessToken gives the token lent last while it lives longer than minLife, else
// asks for another.
func (l *lent) AccessToken(ctx context.Context, minLife time.Duration) (token string, expires time.Time, err error) {
	l.mu.Lock()
	token, expires = l.token, l.expires
	l.mu.Unlock()
	if token != "" && time.Now().Add(minLife).Before(expires) {
		return token, expires, nil
	}
	seconds := int(max(minLife, time.Second) / time.Second)
	return l.permit(ctx, permitRequest{GCID: string(l.gcid), Use: rest.UseScheduled.String(), MinLifeSeconds: seconds})
}

// RenewAccess has the owner renew the refused token.
func (l *lent) RenewAccess(ctx context.Context, rejected string) error {
	l.mu.Lock()
	if l.token == rejected {
		l.token = ""
	}
	l.mu.Unlock()
	return l.remote.ask(ctx, "renew access token", http.MethodPost, l.base+pathRenew, renewRequest{GCID: string(l.gcid), Rejected: rejected}, nil)
}

// Book has the owner book calls.
func (l *lent) Book(ctx context.Context, calls int, use rest.Use) error {
	_, _, err := l.permit(ctx, permitRequest{GCID: string(l.gcid), Calls: calls, Use: use.String()})
	return err
}

func (l *lent) permit(ctx context.Context, q permitRequest) (string, time.Time, error) {
	var a permitAnswer
	if err := l.remote.ask(ctx, "ask for a permit", http.MethodPost, l.base+pathPermits, q, &a); err != nil {
		return "", time.Time{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.token, l.expires = a.AccessToken, a.Expires
	return a.AccessToken, a.Expires, nil
}

// Exhausted tells the owner that the service saw the quota spent.
func (l *lent) Exhausted(ctx context.Context) error {
	return l.remote.ask(ctx, "report an exhausted quota", http.MethodPost, l.base+pathExhausted, accountRequest{string(l.gcid)}, nil)
}

// Status asks the owner how the quota stands.
func (l *lent) Status(ctx context.Context) (rest.QuotaStatus, error) {
	var s rest.QuotaStatus
	err := l.remote.ask(ctx, "ask for the quota", http.MethodPost, l.base+pathQuota, accountRequest{string(l.gcid)}, &s)
	return s, err
}
