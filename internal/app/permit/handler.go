package permit

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

const (
	maxRequest = 16 << 10
	maxCalls   = 50              // in one permit: no account has more in a day
	tokenLife  = 5 * time.Minute // least life of a token handed out, unless asked otherwise
	longestAsk = time.Hour       // bound of min_life_seconds
	bearer     = "Bearer "
)

// Owner knows the accounts whose tokens and quota this process owns.
type Owner interface {
	List(ctx context.Context) ([]Account, error)
}

// Stats counts what the endpoint did.
type Stats struct {
	PermitsGranted      atomic.Int64 // cardata_permits_granted_total
	PermitsRefused      atomic.Int64 // for quota, login or an unknown account, cardata_permits_refused_total
	PermitsUnauthorized atomic.Int64 // wrong or missing secret, cardata_permits_unauthorized_total
	PermitCallsBooked   atomic.Int64 // cardata_permit_calls_booked_total
	PermitsPassedOn     atomic.Int64 // answered by the process that has the account, cardata_permits_passed_on_total
}

// Endpoint answers permits over HTTP. It is safe for concurrent use.
type Endpoint struct {
	// Stats counts what happened.
	Stats Stats

	owner  Owner
	log    *slog.Logger
	secret [sha256.Size]byte
	word   string // the secret itself, for peers
	peers  Peers  // nil: every account is here
	client *http.Client
	usable bool
	mux    *http.ServeMux
}

// Handler gives the endpoint that lends the owner's tokens and books its quota
// for whoever knows the secret. With a secret below MinSecret characters it
// refuses everybody. It never logs a token, and answers with
// Cache-Control: no-store.
func Handler(secret pipeline.Secret, owner Owner, log *slog.Logger) *Endpoint {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := &Endpoint{
		owner: owner, log: log, secret: sha256.Sum256([]byte(secret)), word: string(secret), usable: len(secret) >= MinSecret, mux: http.NewServeMux(),
	}
	e.mux.HandleFunc("POST "+pathPermits, e.permits)
	e.mux.HandleFunc("GET "+pathAccounts, e.accounts)
	e.mux.HandleFunc("POST "+pathRenew, e.renew)
	e.mux.HandleFunc("POST "+pathExhausted, e.exhausted)
	e.mux.HandleFunc("POST "+pathQuota, e.quota)
	return e
}

// ServeHTTP looks at the secret before anything else.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), bearer)
	sum := sha256.Sum256([]byte(given)) // equal lengths, so that the comparison tells nothing
	if !ok || !e.usable || subtle.ConstantTimeCompare(sum[:], e.secret[:]) != 1 {
		if e.Stats.PermitsUnauthorized.Add(1) == 1 {
			e.log.Warn("permit refused: wrong secret, later ones are counted only", "remote", r.RemoteAddr)
		}
		refuse(w, http.StatusUnauthorized, refusal{
			Code: codeSecret, Text: "wrong or missing secret",
			Remedy: "set CARDATA_PERMIT_SECRET to the same value here and at ingest",
		})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	if !e.pass(w, r) {
		e.mux.ServeHTTP(w, r)
	}
}

func (e *Endpoint) permits(w http.ResponseWriter, r *http.Request) {
	var q permitRequest
	a, ok := e.open(w, r, &q, func() string { return q.GCID })
	if !ok {
		return
	}
	use, known := useOf(q.Use)
	if !known || q.Calls < 0 || q.Calls > maxCalls || q.MinLifeSeconds < 0 {
		refuse(w, http.StatusBadRequest, refusal{
			Code: codeRequest, Text: fmt.Sprintf("calls must be 0 to %d, use scheduled or owner", maxCalls),
		})
		return
	}
	minLife := tokenLife
	if q.MinLifeSeconds > 0 {
		minLife = min(time.Duration(q.MinLifeSeconds)*time.Second, longestAsk)
	}
	// The token first: without one no call is worth booking.
	token, expires, err := a.Tokens.AccessToken(r.Context(), minLife)
	if err == nil && q.Calls > 0 {
		err = a.Budget.Book(r.Context(), q.Calls, use)
	}
	if err != nil {
		e.refused(w, a, err)
		return
	}
	e.Stats.PermitsGranted.Add(1)
	e.Stats.PermitCallsBooked.Add(int64(q.Calls))
	e.log.Debug("permit granted", "gcid", a.GCID, "calls", q.Calls, "use", use.String())
	answer(w, permitAnswer{AccessToken: token, Expires: expires.UTC(), Calls: q.Calls})
}

func (e *Endpoint) accounts(w http.ResponseWriter, r *http.Request) {
	list, err := e.owner.List(r.Context())
	body := accountsAnswer{Accounts: make([]accountEntry, 0, len(list))}
	for _, a := range list {
		body.Accounts = append(body.Accounts, accountEntry{GCID: string(a.GCID), Label: a.Label})
	}
	if err != nil {
		body.Trouble = err.Error()
	}
	if e.peers != nil && r.Header.Get(forwarded) == "" {
		e.gather(r.Context(), &body)
	}
	answer(w, body)
}

func (e *Endpoint) renew(w http.ResponseWriter, r *http.Request) {
	var q renewRequest
	a, ok := e.open(w, r, &q, func() string { return q.GCID })
	if !ok {
		return
	}
	if q.Rejected == "" {
		refuse(w, http.StatusBadRequest, refusal{Code: codeRequest, Text: "rejected must be the access token that was refused"})
		return
	}
	e.done(w, a, a.Tokens.RenewAccess(r.Context(), q.Rejected))
}

func (e *Endpoint) exhausted(w http.ResponseWriter, r *http.Request) {
	var q accountRequest
	if a, ok := e.open(w, r, &q, func() string { return q.GCID }); ok {
		e.done(w, a, a.Budget.Exhausted(r.Context()))
	}
}

func (e *Endpoint) quota(w http.ResponseWriter, r *http.Request) {
	var q accountRequest
	a, ok := e.open(w, r, &q, func() string { return q.GCID })
	if !ok {
		return
	}
	status, err := a.Quota(r.Context())
	if err != nil {
		e.refused(w, a, err)
		return
	}
	answer(w, status)
}

// open reads the request and finds its account; what is wrong it answers itself.
func (e *Endpoint) open(w http.ResponseWriter, r *http.Request, q any, gcid func() string) (Account, bool) {
	if err := json.NewDecoder(r.Body).Decode(q); err != nil {
		refuse(w, http.StatusBadRequest, refusal{Code: codeRequest, Text: "the body must be a JSON object of at most 16 KiB"})
		return Account{}, false
	}
	list, _ := e.owner.List(r.Context()) // the accounts it has serve, whatever ails the others
	a, ok := find(list, gcid())
	if !ok && e.peers != nil {
		e.Stats.PermitsRefused.Add(1)
		refuse(w, http.StatusServiceUnavailable, refusal{
			Code: codeUnavailable, Text: "no replica has the account at the moment", Remedy: "ask again in some seconds: it may be moving, or wait for a login",
		})
		return Account{}, false
	}
	if !ok {
		e.Stats.PermitsRefused.Add(1)
		refuse(w, http.StatusNotFound, refusal{
			Code: codeUnknown, Text: "this process does not hold the account", Remedy: "ask the ingest that runs it, or run `cardata login` there",
		})
	}
	return a, ok
}

func (e *Endpoint) done(w http.ResponseWriter, a Account, err error) {
	if err != nil {
		e.refused(w, a, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// refused is the one place that turns the owner's errors into answers.
func (e *Endpoint) refused(w http.ResponseWriter, a Account, err error) {
	e.Stats.PermitsRefused.Add(1)
	status, body := http.StatusServiceUnavailable, refusal{Code: codeUnavailable, Text: err.Error()}
	if q, ok := errors.AsType[*rest.QuotaError](err); ok {
		status, body.Code = http.StatusTooManyRequests, codeQuota
		body.Quota = &quotaRefusal{Use: q.Use.String(), Spent: q.Spent, Limit: q.Limit, Reserve: q.Reserve, Until: q.Until, Latched: q.Latched}
	} else if t, ok := errors.AsType[*auth.Error](err); ok {
		body.Text, body.Remedy = t.Op+": "+t.Code, t.Remedy // its cause may name a file
		if t.LoginNeeded() {
			body.Code = codeLogin
		}
	} else if errors.Is(err, auth.ErrRenewTooSoon) {
		status, body.Code = http.StatusConflict, codeRenewSoon
	}
	e.log.Debug("permit refused", "gcid", a.GCID, "reason", body.Code)
	refuse(w, status, body)
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, body refusal) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
