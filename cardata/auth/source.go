package auth

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	checkEvery   = 10 * time.Second   // how often Run looks at the wall clock and the file
	renewEvery   = 3 * time.Minute    // least time between two forced refreshes
	retryAfter   = 2 * time.Second    // before a token is presented a second time
	askAgain     = time.Hour          // a refused token is tried again: BMW has bad days too
	rotationWarn = 7 * 24 * time.Hour // half the life of a refresh token
	warnEvery    = 24 * time.Hour     // least time between two such warnings
	clockSlack   = 2 * time.Minute    // a set from further in the future shows a clock that jumped
	firstDelay   = 10 * time.Second   // bounds of the back-off after a transient failure
	longestDelay = 5 * time.Minute
)

// State tells what a Source can do.
type State string

// The states of a Source.
const (
	StateReady       State = "ready"        // tokens live and were last refreshed without trouble
	StateRetrying    State = "retrying"     // the last refresh failed, another follows
	StateUnsaved     State = "unsaved"      // the disk takes no tokens, so none are rotated or handed out anew
	StateLoginNeeded State = "login_needed" // a person has to log in
)

// Status is a Source at one moment.
type Status struct {
	State          State
	Obtained       time.Time // of access and id token
	Expires        time.Time // of access and id token
	RefreshExpires time.Time
	LastError      error         // nil when ready
	Skew           time.Duration // the service's clock minus ours
}

// SourceConfig tunes a Source.
type SourceConfig struct {
	Log   *slog.Logger // nil is silent
	Stats *SourceStats // may be shared by all Sources of a process; nil for an own one
	// May is asked, under the lock, before a refresh token is spent; its error
	// forbids that. It is for processes among which the account moves: where the
	// store's lock does not reach, only the owner refreshes. nil always allows.
	//
	// A set that was rotated already is saved whatever May says: it is the
	// account's only living login.
	May func(ctx context.Context) error
}

// SourceStats counts what Sources did.
type SourceStats struct {
	TokenRefreshes    atomic.Int64 // sets obtained and saved, cardata_token_refreshes_total
	TokenFailures     atomic.Int64 // transient failures to refresh, cardata_token_failures_total
	TokenRefusals     atomic.Int64 // refresh tokens refused twice, cardata_token_refusals_total
	TokenAdoptions    atomic.Int64 // sets taken over from the file, cardata_token_adoptions_total
	TokenSaveFailures atomic.Int64 // refusals of the disk, cardata_token_save_failures_total
	ForcedRenewals    atomic.Int64 // refreshes after a refusal elsewhere, cardata_forced_renewals_total
}

// Source is the single owner of one account's tokens within a process; with
// other processes it shares them through the Store's lock. It never hands out a
// token that is not durable. It is safe for concurrent use.
type Source struct {
	client *Client
	store  *Store
	log    *slog.Logger
	stats  *SourceStats
	may    func(ctx context.Context) error
	gcid   schema.GCID

	turn chan struct{} // holds one value while somebody refreshes

	mu    sync.Mutex // guards what follows
	set   TokenSet
	due   time.Time // when Run refreshes set
	stamp string    // of the file that set came from
	err   error     // why the last refresh failed
	retry time.Time // no refresh before, monotonic

	// Touched by the holder of turn alone.
	pending  *pendingSet
	failures int
	forcedAt time.Time // monotonic
	refused  Secret    // refresh token the service turned down
}

// pendingSet is a rotated set that the disk did not take.
type pendingSet struct {
	set    TokenSet
	parent Secret // refresh token it was rotated from
}

// NewSource reads the store and becomes the owner of what is in it. It makes no
// request. The error is Store.Load's.
func NewSource(client *Client, store *Store, cfg SourceConfig) (*Source, error) {
	s := &Source{client: client, store: store, log: cfg.Log, stats: cfg.Stats, turn: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.stats == nil {
		s.stats = new(SourceStats)
	}
	if s.may = cfg.May; s.may == nil {
		s.may = func(context.Context) error { return nil }
	}
	stamp := store.stamp()
	set, err := store.Load()
	if err != nil {
		return nil, err
	}
	s.gcid = set.GCID
	s.log = s.log.With("gcid", set.GCID)
	s.adopt(set, stamp)
	return s, nil
}

// GCID gives the account.
func (s *Source) GCID() schema.GCID { return s.gcid }

// Stats gives the counters, which SourceConfig.Stats may have named.
func (s *Source) Stats() *SourceStats { return s.stats }

// Status gives the present state.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		State: StateReady, Obtained: s.set.Obtained, Expires: s.set.Expires,
		RefreshExpires: s.set.RefreshExpires, LastError: s.err, Skew: s.client.Skew(),
	}
	switch {
	case s.err == nil:
	case errors.Is(s.err, ErrLoginNeeded):
		st.State = StateLoginNeeded
	case errors.Is(s.err, ErrNotSaved):
		st.State = StateUnsaved
	default:
		st.State = StateRetrying
	}
	return st
}

// Tokens gives the present set, for Check and the client id; tokens to use come
// from IDToken and AccessToken.
func (s *Source) Tokens() TokenSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set
}

// IDToken gives an id token, the stream's password, that lives longer than
// minLife: the stored one, else a fresh one. minLife counts as at most three
// quarters of a token's whole life. When the refresh fails, the stored token
// serves for the rest of its life, so look at expires, and at Status for why; the
// error comes when that is over.
func (s *Source) IDToken(ctx context.Context, minLife time.Duration) (token string, expires time.Time, err error) {
	set, err := s.living(ctx, minLife)
	return string(set.IDToken), set.Expires, err
}

// AccessToken gives an access token for REST under the rules of IDToken.
func (s *Source) AccessToken(ctx context.Context, minLife time.Duration) (token string, expires time.Time, err error) {
	set, err := s.living(ctx, minLife)
	return string(set.AccessToken), set.Expires, err
}

func (s *Source) living(ctx context.Context, minLife time.Duration) (TokenSet, error) {
	enough := func(t TokenSet) bool { return t.lives(minLife) }
	if set := s.Tokens(); enough(set) {
		return set, nil
	}
	err := s.refresh(ctx, enough, false)
	if set := s.Tokens(); err == nil || ctx.Err() == nil && set.lives(0) {
		return set, nil
	}
	return TokenSet{}, err
}

func (t TokenSet) lives(minLife time.Duration) bool {
	at := now()
	if at.Before(t.Obtained.Add(-clockSlack)) {
		return false // the clock jumped back; how old the tokens are is unknown
	}
	minLife = min(minLife, t.Expires.Sub(t.Obtained)*3/4)
	return at.Add(minLife).Before(t.Expires)
}

// Renew answers a refusal of the token rejected, an id token or an access token,
// by the stream or by REST. When the store meanwhile holds other tokens, that is
// all; else it refreshes once. A second forced refresh within three minutes is
// ErrRenewTooSoon: then the token is not what is wrong.
func (s *Source) Renew(ctx context.Context, rejected string) error {
	replaced := func(t TokenSet) bool {
		return string(t.IDToken) != rejected && string(t.AccessToken) != rejected
	}
	return s.refresh(ctx, replaced, true)
}

// RenewAccess answers a refusal of an access token by REST (CarData API, section
// "REST", CU-101 and CU-102) under the rules of Renew. It looks at the access
// token alone, and does not take one that has run out meanwhile for an answer.
func (s *Source) RenewAccess(ctx context.Context, rejected string) error {
	replaced := func(t TokenSet) bool { return string(t.AccessToken) != rejected && t.lives(0) }
	return s.refresh(ctx, replaced, true)
}

// Run refreshes ahead of time, between 45 and 50 minutes of a one-hour token's
// age, unless somebody else did. It goes by the wall clock, so that a suspended
// machine or a corrected clock is noticed within ten seconds. Failures are logged
// when they start, change and end; only the end of ctx ends it, with nil.
func (s *Source) Run(ctx context.Context) error {
	log := runLog{log: s.log}
	for ctx.Err() == nil {
		if err := s.ahead(ctx); ctx.Err() == nil {
			log.note(err)
		}
		log.age(s.Tokens())
		_ = backoff.Wait(ctx, s.untilLook()) // the loop asks ctx itself
	}
	return nil
}

// untilLook is checkEvery, or less when a refresh falls due before, which matters
// to the short lives of a simulator.
func (s *Source) untilLook() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.due.Sub(now()); d > 0 && d < checkEvery {
		return d
	}
	return checkEvery
}

func (s *Source) ahead(ctx context.Context) error {
	s.mu.Lock()
	stamp, failed, waiting := s.stamp, s.err, time.Now().Before(s.retry)
	s.mu.Unlock()
	changed := stamp != s.store.stamp()
	if waiting && !changed {
		return failed
	}
	fresh := func(t TokenSet) bool {
		at := now()
		s.mu.Lock()
		defer s.mu.Unlock()
		return t.RefreshToken == s.set.RefreshToken && at.Before(s.due) && !at.Before(t.Obtained.Add(-clockSlack))
	}
	if !changed && failed == nil && fresh(s.Tokens()) {
		return nil
	}
	return s.refresh(ctx, fresh, false)
}

// adopt makes a durable set the present one and draws the time of its refresh.
func (s *Source) adopt(set TokenSet, stamp string) {
	life := set.Expires.Sub(set.Obtained)
	early, late := life*45/60, life*50/60
	due := set.Obtained.Add(early)
	if late > early {
		due = due.Add(rand.N(late - early))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set, s.due, s.stamp = set, due, stamp
}

// settle notes how a refresh ended and how long the next one has to wait.
func (s *Source) settle(err error, wait time.Duration) {
	if errors.Is(err, ErrNotSaved) {
		s.stats.TokenSaveFailures.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.retry = err, time.Now().Add(wait)
}

// runLog writes a repeating error when it starts, changes and ends, and warns of
// a refresh token that nobody rotates.
type runLog struct {
	log    *slog.Logger
	text   string
	since  time.Time
	warned time.Time
}

func (l *runLog) note(err error) {
	switch {
	case err == nil && l.text != "":
		l.log.Info("token refresh works again", "elapsed_ms", time.Since(l.since).Milliseconds())
		l.text = ""
	case err == nil, err.Error() == l.text:
	default:
		if l.text == "" {
			l.since = time.Now()
		}
		l.text = err.Error()
		if person(err) {
			l.log.Error("tokens cannot be refreshed, a person should look", "err", err)
			return
		}
		l.log.Warn("token refresh failed, will be tried again", "err", err)
	}
}

func person(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && !e.Transient || errors.Is(err, ErrNotSaved)
}

// age warns once a day in the second half of a refresh token's life.
func (l *runLog) age(set TokenSet) {
	age := now().Sub(set.Rotated())
	if age < rotationWarn || !l.warned.IsZero() && now().Sub(l.warned) < warnEvery {
		return
	}
	l.warned = now()
	l.log.Warn("refresh token is old, the login is lost when it expires",
		"age_hours", int(age/time.Hour), "refresh_expires", set.RefreshExpires)
}
