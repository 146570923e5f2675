package permit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	gcid   = schema.GCID("00000000-0000-4000-8000-000000000001")
	secret = pipeline.Secret("a secret of good length")
)

// owner is ingest's side: one account whose parts are func fields.
type owner struct {
	mu       sync.Mutex // guards what follows
	token    string
	expires  time.Time
	asked    int
	tokenErr error
	renewErr error
	bookErr  error
	booked   []int
	uses     []rest.Use
	renewed  []string
	latched  int
}

func (o *owner) List(context.Context) ([]permit.Account, error) {
	return []permit.Account{{GCID: gcid, Tokens: o, Budget: o, Label: permit.Label(gcid)}}, nil
}

func (o *owner) AccessToken(context.Context, time.Duration) (string, time.Time, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	return o.token, o.expires, o.tokenErr
}

func (o *owner) RenewAccess(_ context.Context, rejected string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.renewed = append(o.renewed, rejected)
	if o.renewErr == nil {
		o.token += "'"
	}
	return o.renewErr
}

func (o *owner) Book(_ context.Context, calls int, use rest.Use) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bookErr == nil {
		o.booked, o.uses = append(o.booked, calls), append(o.uses, use)
	}
	return o.bookErr
}

func (o *owner) Exhausted(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latched++
	return nil
}

func (o *owner) Status(context.Context) (rest.QuotaStatus, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, calls := range o.booked {
		n += calls
	}
	return rest.QuotaStatus{Spent: n, Left: 50 - n, Reserve: 10}, nil
}

// serve brings the endpoint up and gives its only account as another process
// sees it.
func serve(t *testing.T, o *owner, log io.Writer) (permit.Account, *permit.Endpoint) {
	t.Helper()
	if o.token == "" {
		o.token, o.expires = "access-1", time.Now().Add(time.Hour)
	}
	endpoint := permit.Handler(secret, o, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	server := httptest.NewServer(endpoint)
	t.Cleanup(server.Close)
	accounts := open(t, server.URL, secret)
	list, err := accounts.List(t.Context())
	if err != nil || len(list) != 1 || list[0].GCID != gcid || strings.Contains(list[0].Label, string(gcid)) {
		t.Fatalf("List: %v, %v", list, err)
	}
	return list[0], endpoint
}

func open(t *testing.T, url string, s pipeline.Secret) permit.Accounts {
	t.Helper()
	accounts, err := permit.Open(t.Context(), permit.Config{URL: url, Secret: s}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(accounts.Close)
	return accounts
}

func TestPermitBooksFirstAndLendsTheToken(t *testing.T) {
	var log bytes.Buffer
	o := &owner{}
	a, endpoint := serve(t, o, &log)
	if err := a.Budget.Book(t.Context(), 3, rest.UseOwner); err != nil {
		t.Fatal(err)
	}
	token, expires, err := a.Tokens.AccessToken(t.Context(), time.Minute)
	if err != nil || token != "access-1" || !expires.Equal(o.expires) {
		t.Fatalf("AccessToken = %q, %v, %v", token, expires, err)
	}
	if o.asked != 1 {
		t.Errorf("the owner was asked %d times, want the permit's token to serve the call", o.asked)
	}
	if len(o.booked) != 1 || o.booked[0] != 3 || o.uses[0] != rest.UseOwner {
		t.Errorf("booked %v for %v, want 3 calls of the person's", o.booked, o.uses)
	}
	if status, err := a.Quota(t.Context()); err != nil || status.Spent != 3 || status.Left != 47 {
		t.Errorf("Quota = %+v, %v", status, err)
	}
	if err := a.Budget.Exhausted(t.Context()); err != nil || o.latched != 1 {
		t.Errorf("Exhausted: %v, latched %d times", err, o.latched)
	}
	if n := endpoint.Stats.PermitCallsBooked.Load(); n != 3 {
		t.Errorf("counted %d booked calls, want 3", n)
	}
	for _, hidden := range []string{"access-1", string(gcid), string(secret)} {
		if strings.Contains(log.String(), hidden) {
			t.Errorf("log shows %q:\n%s", hidden, log.String())
		}
	}
}

func TestPermitRenewsARefusedToken(t *testing.T) {
	o := &owner{}
	a, _ := serve(t, o, io.Discard)
	first, _, err := a.Tokens.AccessToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Tokens.RenewAccess(t.Context(), first); err != nil || len(o.renewed) != 1 || o.renewed[0] != first {
		t.Fatalf("RenewAccess: %v, owner heard %v", err, o.renewed)
	}
	if second, _, err := a.Tokens.AccessToken(t.Context(), 0); err != nil || second == first {
		t.Errorf("AccessToken after the renewal = %q, %v; want another", second, err)
	}
	o.renewErr = auth.ErrRenewTooSoon
	if err := a.Tokens.RenewAccess(t.Context(), first); !errors.Is(err, auth.ErrRenewTooSoon) {
		t.Errorf("RenewAccess too soon: %v, want ErrRenewTooSoon", err)
	}
}

func TestPermitCarriesTheOwnersRefusals(t *testing.T) {
	until := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	o := &owner{bookErr: &rest.QuotaError{Spent: 40, Limit: 50, Reserve: 10, Until: until, Latched: true}}
	a, endpoint := serve(t, o, io.Discard)
	err := a.Budget.Book(t.Context(), 1, rest.UseScheduled)
	q, ok := errors.AsType[*rest.QuotaError](err)
	if !ok || q.Spent != 40 || q.Limit != 50 || q.Reserve != 10 || !q.Until.Equal(until) || !q.Latched {
		t.Errorf("Book: %v, want the owner's QuotaError", err)
	}

	o.bookErr = nil
	o.tokenErr = &auth.Error{Op: "refresh", Code: "invalid_grant", Remedy: "run `cardata login`", Err: auth.ErrLoginNeeded}
	err = a.Budget.Book(t.Context(), 1, rest.UseScheduled)
	e, ok := errors.AsType[*permit.Error](err)
	if !ok || !e.LoginNeeded() || !errors.Is(err, auth.ErrLoginNeeded) || !strings.Contains(err.Error(), "cardata login") {
		t.Errorf("Book without a login: %v, want login needed with the remedy", err)
	}
	if len(o.booked) != 0 {
		t.Error("calls were booked that no token can make")
	}
	if n := endpoint.Stats.PermitsRefused.Load(); n != 2 {
		t.Errorf("counted %d refusals, want 2", n)
	}
}

func TestPermitRefusesWhoDoesNotKnowTheSecret(t *testing.T) {
	o := &owner{token: "access-1", expires: time.Now().Add(time.Hour)}
	post := func(h http.Handler, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/internal/v1/permits", strings.NewReader(`{"gcid":"`+string(gcid)+`","calls":1}`))
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	h := permit.Handler(secret, o, nil)
	for name, given := range map[string]string{
		"none": "", "wrong": "Bearer of bad news, long", "empty": "Bearer ", "a prefix": "Bearer " + string(secret[:len(secret)-1]),
		"longer": "Bearer " + string(secret) + "x", "another scheme": "Basic " + string(secret),
	} {
		t.Run(name, func(t *testing.T) {
			if w := post(h, given); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "access-1") {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
		})
	}
	if w := post(permit.Handler("", o, nil), "Bearer "); w.Code != http.StatusUnauthorized {
		t.Errorf("an empty secret opens the endpoint: status %d", w.Code)
	}
	if len(o.booked) != 0 || h.Stats.PermitsUnauthorized.Load() != 6 {
		t.Errorf("booked %v, counted %d", o.booked, h.Stats.PermitsUnauthorized.Load())
	}
	if w := post(h, "Bearer "+string(secret)); w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("right secret: status %d, headers %v", w.Code, w.Header())
	}
}

func TestPermitRefusesMalformedRequests(t *testing.T) {
	o := &owner{token: "access-1", expires: time.Now().Add(time.Hour)}
	h := permit.Handler(secret, o, nil)
	id := `"gcid":"` + string(gcid) + `"`
	for name, tt := range map[string]struct {
		path, body string
		status     int
	}{
		"no JSON":           {"permits", "calls=1", 400},
		"empty":             {"permits", "", 400},
		"negative calls":    {"permits", `{` + id + `,"calls":-1}`, 400},
		"senseless calls":   {"permits", `{` + id + `,"calls":5000}`, 400},
		"unknown use":       {"permits", `{` + id + `,"calls":1,"use":"mine"}`, 400},
		"unknown account":   {"permits", `{"gcid":"00000000-0000-4000-8000-000000000002","calls":1}`, 404},
		"100 MB":            {"permits", `{` + id + `,"x":"` + strings.Repeat("x", 1<<20) + `"}`, 400},
		"renew of nothing":  {"renew", `{` + id + `}`, 400},
		"unknown path":      {"tokens", `{` + id + `}`, 404},
		"exhausted unknown": {"exhausted", `{}`, 404},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/internal/v1/"+tt.path, strings.NewReader(tt.body))
			r.Header.Set("Authorization", "Bearer "+string(secret))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || len(o.booked) != 0 {
				t.Errorf("status %d, want %d; booked %v", w.Code, tt.status, o.booked)
			}
		})
	}
}

func TestRemoteTellsWhatIsWrongWithTheEndpoint(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>hello</html>")
	}))
	defer page.Close()
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, page.URL, http.StatusTemporaryRedirect)
	}))
	defer away.Close()
	right := httptest.NewServer(permit.Handler(secret, &owner{}, nil))
	defer right.Close()
	for name, tt := range map[string]struct {
		url    string
		secret pipeline.Secret
		want   string
	}{
		"another web server": {page.URL, secret, "unreadable_answer"},
		"a redirect":         {away.URL, secret, "status 307"},
		"nobody there":       {"http://127.0.0.1:1", secret, "check that ingest runs"},
		"another secret":     {right.URL, "not the same secret", "CARDATA_PERMIT_SECRET"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, tt.url, tt.secret).List(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), string(tt.secret)) {
				t.Errorf("List: %v, want %q", err, tt.want)
			}
		})
	}
	list, err := open(t, "http://127.0.0.1:1, "+right.URL+"/", secret).List(t.Context())
	if len(list) != 1 || err == nil {
		t.Errorf("List with one of two processes away: %d accounts, %v; want the other's and an error", len(list), err)
	}
}

func TestOpenReportsFaultsBeforeAnyRequest(t *testing.T) {
	for name, cfg := range map[string]permit.Config{
		"no place":       {},
		"no scheme":      {URL: "ingest:8090", Secret: secret},
		"short secret":   {URL: "http://ingest:8090", Secret: "short"},
		"user in URL":    {URL: "http://u:p@ingest:8090", Secret: secret},
		"no CA file":     {TokenDir: "x", CAFile: "/does/not/exist"},
		"clear OAuth":    {TokenDir: "x", OauthURL: "http://example.org"},
		"empty in a row": {URL: "http://ingest:8090,", Secret: secret},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := permit.Open(t.Context(), cfg, nil); err == nil || strings.Contains(err.Error(), "u:p@") {
				t.Errorf("Open: %v, want an error", err)
			}
		})
	}
}
