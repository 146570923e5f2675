package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func TestNew(t *testing.T) {
	tests := map[string]struct {
		cfg    Config
		tokens Tokens
		wrong  string // "" is fine
	}{
		"the zero config is BMW's own":         {tokens: new(purse)},
		"http is for loopback alone":           {cfg: Config{BaseURL: "http://bmw.example"}, tokens: new(purse), wrong: "use https"},
		"http on loopback is for tests":        {cfg: Config{BaseURL: "http://localhost:80/"}, tokens: new(purse)},
		"an address has a host":                {cfg: Config{BaseURL: "bmw"}, tokens: new(purse), wrong: DefaultBaseURL},
		"tokens are required":                  {wrong: "required"},
		"a call cannot take less than no time": {cfg: Config{Timeout: -1}, tokens: new(purse), wrong: "negative"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.cfg, tc.tokens, new(tally))
			if (tc.wrong == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("New = %v, want %q", err, tc.wrong)
			}
		})
	}
}

func TestEveryCallCarriesWhatBMWAsksFor(t *testing.T) {
	from, to := time.Date(2026, 3, 1, 0, 0, 0, 0, time.FixedZone("", 3600)), time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC)
	const car = "/customers/vehicles/" + testVIN
	tests := map[string]struct {
		sample, method, uri string
		call                func(c *Client) error
	}{
		"mappings": {"mappings-200.json", "GET", "/customers/vehicles/mappings", func(c *Client) error {
			_, err := c.Mappings(t.Context())
			return err
		}},
		"basic data": {"basicData-200-electric.json", "GET", car + "/basicData", func(c *Client) error {
			_, err := c.BasicData(t.Context(), testVIN)
			return err
		}},
		"telematic data": {"telematicData-200.json", "GET", car + "/telematicData?containerId=" + testContainer, func(c *Client) error {
			_, err := c.Telematic(t.Context(), testVIN, testContainer)
			return err
		}},
		"charging history": {
			"chargingHistory-200-page1.json", "GET",
			car + "/chargingHistory?from=2026-02-28T23%3A00%3A00.000Z&nextToken=a%2Fb&to=2026-03-31T00%3A00%3A00.000Z",
			func(c *Client) error {
				_, err := c.ChargingHistory(t.Context(), testVIN, from, to, "a/b")
				return err
			},
		},
		"settings": {"locationBasedChargingSettings-200.json", "GET", car + "/locationBasedChargingSettings", func(c *Client) error {
			_, err := c.LocationSettings(t.Context(), testVIN, "")
			return err
		}},
		"tyres": {"smartMaintenanceTyreDiagnosis-200.json", "GET", car + "/smartMaintenanceTyreDiagnosis", func(c *Client) error {
			_, err := c.TyreDiagnosis(t.Context(), testVIN)
			return err
		}},
		"image": {"image-200.png", "GET", car + "/image", func(c *Client) error {
			img, err := c.Image(t.Context(), testVIN)
			if img.ContentType != "image/png" || len(img.Bytes) != 69 {
				t.Errorf("image = %s with %d bytes", img.ContentType, len(img.Bytes))
			}
			return err
		}},
		"containers": {"containers-list-200.json", "GET", "/customers/containers", func(c *Client) error {
			_, err := c.Containers(t.Context())
			return err
		}},
		"create": {"container-create-201.json", "POST", "/customers/containers", func(c *Client) error {
			_, err := c.CreateContainer(t.Context(), "pipeline-v1", "telemetry", []schema.Descriptor{"vehicle.vehicle.travelledDistance"})
			return err
		}},
		"get": {"container-get-200.json", "GET", "/customers/containers/" + testContainer, func(c *Client) error {
			_, err := c.Container(t.Context(), testContainer)
			return err
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, inTurn(t, tc.sample))
			if err := tc.call(r.WithUse(UseOwner)); err != nil {
				t.Fatal(err)
			}
			req := r.wire.asked[0]
			if req.Method != tc.method || req.URL.RequestURI() != tc.uri {
				t.Errorf("asked %s %s, want %s %s", req.Method, req.URL.RequestURI(), tc.method, tc.uri)
			}
			if h := req.Header; h.Get("X-Version") != "v1" || h.Get("Authorization") != "Bearer token-1" || !strings.Contains(h.Get("Accept"), "application/json") {
				t.Errorf("headers = %v", h)
			}
			if r.budget.booked != 1 || r.budget.uses[0] != UseOwner || r.Stats().RESTCalls.Load() != 1 {
				t.Errorf("booked %d for %v, counted %d; want one for the owner", r.budget.booked, r.budget.uses, r.Stats().RESTCalls.Load())
			}
			if strings.Contains(r.log.String(), "token-1") || strings.Contains(r.log.String(), testVIN) {
				t.Errorf("log gives away the token or the car: %s", r.log)
			}
		})
	}
}

func TestTokenRefusedInTheMiddle(t *testing.T) {
	tests := map[string]struct {
		answers []string // samples, or "html" for a web page of 401
		renewed int
		kind    Kind
		ok      bool
	}{
		"an expired token is renewed once":            {answers: []string{"error-401-CU-102-token-expired.json", "mappings-200.json"}, renewed: 1, ok: true},
		"so is one that the gateway refuses with 403": {answers: []string{"error-403-CU-127-gateway-invalid-token.json", "mappings-200.json"}, renewed: 1, ok: true},
		"so is one that a web page refuses":           {answers: []string{"html", "mappings-200.json"}, renewed: 1, ok: true},
		"a second refusal is for a person": {
			answers: []string{"error-401-CU-102-token-expired.json", "error-401-CU-102-token-expired.json"}, renewed: 1, kind: KindAuth,
		},
		"a missing scope is not renewed":    {answers: []string{"error-403-CU-103-scope.json"}, kind: KindScope},
		"a spent quota is no stale token":   {answers: []string{"error-403-CU-429-quota.json"}, kind: KindQuota},
		"after the renewal others may fail": {answers: []string{"error-401-CU-102-token-expired.json", "error-403-CU-104-vin.json"}, renewed: 1, kind: KindVehicle},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &wire{answer: func(n int, _ *http.Request) (*http.Response, error) {
				if tc.answers[n-1] == "html" {
					return respond(401, "text/html", "<html><title>Unauthorized</title></html>"), nil
				}
				return respond(status(t, tc.answers[n-1]), "application/json", sample(t, tc.answers[n-1])), nil
			}})
			_, err := r.Mappings(t.Context())
			if tc.ok && err != nil {
				t.Fatal(err)
			}
			if !tc.ok {
				wantKind(t, err, tc.kind)
			}
			if len(r.tokens.renewed) != tc.renewed || r.budget.booked != len(tc.answers) {
				t.Errorf("renewed %v, booked %d; want %d renewals and each of %d calls booked", r.tokens.renewed, r.budget.booked, tc.renewed, len(tc.answers))
			}
			if len(tc.answers) > 1 && r.wire.asked[1].Header.Get("Authorization") != "Bearer token-2" {
				t.Error("the second call does not carry the new token")
			}
		})
	}
}

func TestARenewedTokenThatIsRefusedIsNotRenewedAgain(t *testing.T) {
	r := newRig(t, always(401, "application/json", sample(t, "error-401-CU-102-token-expired.json")))
	for range 3 {
		_, err := r.Mappings(t.Context())
		wantKind(t, err, KindAuth)
	}
	if len(r.tokens.renewed) != 1 || r.budget.booked != 4 {
		t.Errorf("renewed %d times, %d calls; want one renewal and four calls", len(r.tokens.renewed), r.budget.booked)
	}
}

type loginError struct{ needed bool }

func (loginError) Error() string       { return "refresh refused" }
func (e loginError) LoginNeeded() bool { return e.needed }

func TestTokensThatCannotBeHad(t *testing.T) {
	stale := "error-401-CU-102-token-expired.json"
	tests := map[string]struct {
		err, renewErr error
		kind          Kind
		calls         int
	}{
		"a lost login is for a person":          {err: loginError{true}, kind: KindAuth},
		"a login lost on renewal too":           {renewErr: loginError{true}, kind: KindAuth, calls: 1},
		"a renewal that fails may pass later":   {renewErr: errors.New("network"), kind: KindTransient, calls: 1},
		"a renewal too soon waits some minutes": {renewErr: loginError{false}, kind: KindTransient, calls: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, inTurn(t, stale))
			r.tokens.err, r.tokens.renewErr = tc.err, tc.renewErr
			_, err := r.Mappings(t.Context())
			wantKind(t, err, tc.kind)
			if r.budget.booked != tc.calls {
				t.Errorf("booked %d, want %d", r.budget.booked, tc.calls)
			}
		})
	}
}

func TestQuotaGone(t *testing.T) {
	t.Run("a spent budget sends nothing", func(t *testing.T) {
		r := newRig(t, always(200, "application/json", "[]"))
		r.budget.limit = 1
		if _, err := r.Mappings(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := r.Mappings(t.Context())
		e := wantKind(t, err, KindQuota)
		if _, ok := errors.AsType[*QuotaError](err); !ok || e.After <= 0 || len(r.wire.asked) != 1 {
			t.Errorf("error %v after %s, %d calls; want a QuotaError, a wait, one call", err, e.After, len(r.wire.asked))
		}
	})
	t.Run("a count that cannot be kept sends nothing", func(t *testing.T) {
		r := newRig(t, always(200, "application/json", "[]"))
		r.budget.err = errors.New("disk full")
		if _, err := r.Mappings(t.Context()); err == nil || len(r.wire.asked) != 0 {
			t.Errorf("error %v with %d calls", err, len(r.wire.asked))
		}
	})
	t.Run("CU-429 latches and waits for 00:00 UTC", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(22 * time.Hour) //nolint:forbidigo // the bubble starts at midnight
			r := newRig(t, inTurn(t, "error-403-CU-429-quota.json"))
			_, err := r.Mappings(t.Context())
			if e := wantKind(t, err, KindQuota); e.After != 2*time.Hour || r.budget.exhausted != 1 {
				t.Errorf("after %s, exhausted %d times; want 2h and once", e.After, r.budget.exhausted)
			}
		})
	})
	t.Run("in the middle of pages, what came before stays", func(t *testing.T) {
		r := newRig(t, inTurn(t, "chargingHistory-200-page1.json", "error-403-CU-429-quota.json"))
		got, err := collect(t, r)
		wantKind(t, err, KindQuota)
		if got != 4 {
			t.Errorf("kept %d sessions, want those of page 1", got)
		}
	})
	t.Run("a caller who leaves still latches", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := newRig(t, &wire{answer: func(int, *http.Request) (*http.Response, error) {
			cancel()
			return respond(403, "application/json", sample(t, "error-403-CU-429-quota.json")), nil
		}})
		_, err := r.Mappings(ctx)
		if errors.Is(err, context.Canceled) || r.budget.exhausted != 1 {
			t.Errorf("error %v, exhausted %d times", err, r.budget.exhausted)
		}
	})
}

func collect(t *testing.T, r *rig) (sessions int, err error) {
	t.Helper()
	for page, err := range r.ChargingPages(t.Context(), testVIN, time.Unix(1773000000, 0), time.Unix(1774000000, 0), "") {
		sessions += len(page.Sessions)
		if err != nil {
			return sessions, err
		}
	}
	return sessions, nil
}

func TestAnswersThatAreNone(t *testing.T) {
	page := sample(t, "chargingHistory-200-page1.json")
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    Kind
	}{
		"a web page in place of JSON": {kind: KindTransient, handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<!DOCTYPE html><html><head><title>Maintenance</title></head></html>")
		}},
		"a web page of 403 is bot protection": {kind: KindTransient, handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<html><title>Access Denied</title></html>")
		}},
		"JSON that ends early": {kind: KindTransient, handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, page[:len(page)/2])
		}},
		"a body shorter than it says": {kind: KindTransient, handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			_, _ = io.WriteString(w, page[:1000])
			panic(http.ErrAbortHandler)
		}},
		"nothing at all":             {kind: KindTransient, handler: func(http.ResponseWriter, *http.Request) {}},
		"text that is no JSON":       {kind: KindProtocol, handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "sorry") }},
		"JSON of another shape":      {kind: KindProtocol, handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `"sorry"`) }},
		"data of another shape":      {kind: KindProtocol, handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"data":"sorry"}`) }},
		"a redirect is not followed": {kind: KindProtocol, handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }},
		"an error body under 200": {kind: KindQuota, handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, sample(t, "error-403-CU-429-quota.json"))
		}},
		"a fault body under 200": {kind: KindAuth, handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"fault":{"detail":{"errorcode":"oauth.v2.invalid_access_token"}}}`)
		}},
		"a torn error body has a code": {kind: KindRange, handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"exveErrorId":"CU-401","exveErr`)
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(tc.handler)
			defer srv.Close()
			c, err := New(Config{BaseURL: srv.URL}, new(purse), new(tally))
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.ChargingHistory(t.Context(), testVIN, time.Unix(1, 0), time.Unix(2, 0), "")
			wantKind(t, err, tc.kind)
			if strings.Contains(err.Error(), testVIN) {
				t.Errorf("%v names the car", err)
			}
		})
	}
}

func TestHugeAnswersAreCutOff(t *testing.T) {
	var written atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"data":["`)
		chunk := bytes.Repeat([]byte("a"), 64<<10)
		for range (100 << 20) / len(chunk) {
			n, err := w.Write(chunk)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	c, err := New(Config{BaseURL: srv.URL}, new(purse), new(tally))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.ChargingHistory(t.Context(), testVIN, time.Unix(1, 0), time.Unix(2, 0), "")
	if e := wantKind(t, err, KindProtocol); !errors.Is(e, errTooLarge) {
		t.Errorf("error = %v", err)
	}
	if c.Stats().RESTBytes.Load() != maxJSONBytes {
		t.Errorf("read %d bytes, want %d", c.Stats().RESTBytes.Load(), maxJSONBytes)
	}
	_, err = c.Image(t.Context(), testVIN)
	if e := wantKind(t, err, KindProtocol); !errors.Is(e, errTooLarge) {
		t.Errorf("image error = %v", err)
	}
	if n := c.Stats().RESTBytes.Load() - maxJSONBytes; n != maxImageBytes {
		t.Errorf("read %d bytes of an image, want %d", n, maxImageBytes)
	}
}

func TestASlowAnswerEndsWithTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &wire{answer: func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}})
		started := time.Now()
		_, err := r.Mappings(t.Context())
		wantKind(t, err, KindTransient)
		if waited := time.Since(started); waited != callTimeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited %s: %v", waited, err)
		}
	})
}

func TestClocksThatDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := 10 * time.Minute
		r := newRig(t, &wire{answer: func(int, *http.Request) (*http.Response, error) {
			a := respond(200, "application/json", "[]")
			a.Header.Set("Date", time.Now().UTC().Add(ahead).Format(http.TimeFormat))
			return a, nil
		}})
		for range 3 {
			if _, err := r.Mappings(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if d := (r.Skew() - ahead).Abs(); d > time.Second || r.budget.skew != r.Skew() {
			t.Errorf("skew %s, budget was told %s; want about %s", r.Skew(), r.budget.skew, ahead)
		}
		if n := strings.Count(r.log.String(), "check time synchronisation"); n != 1 {
			t.Errorf("warned %d times, want once", n)
		}
		ahead = 0
		if _, err := r.Mappings(t.Context()); err != nil || r.Skew() != 0 || r.budget.skew != 0 {
			t.Errorf("skew %s, budget %s, %v; want 0 again", r.Skew(), r.budget.skew, err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	tests := map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"seconds":             {http.Header{"Retry-After": {"90"}}, 90 * time.Second},
		"date by BMW's clock": {http.Header{"Retry-After": {"Mon, 02 Mar 2026 10:05:00 GMT"}, "Date": {"Mon, 02 Mar 2026 10:00:00 GMT"}}, 5 * time.Minute},
		"never past a day":    {http.Header{"Retry-After": {"999999"}}, 24 * time.Hour},
		"nonsense":            {http.Header{"Retry-After": {"soon"}}, 0},
		"nothing":             {http.Header{}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := retryAfter(tc.header); got != tc.want {
				t.Errorf("retryAfter(%v) = %s, want %s", tc.header, got, tc.want)
			}
		})
	}
}

// TestNoCallIsRepeatedBehindTheBudget ends a connection under a call in the way
// that makes net/http send a GET again by itself.
func TestNoCallIsRepeatedBehindTheBudget(t *testing.T) {
	var seen atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if seen.Add(1)%2 == 0 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "[]")
	}))
	defer srv.Close()
	for name, given := range map[string]*http.Client{"own transport": nil, "given transport": {Transport: &http.Transport{}}} {
		t.Run(name, func(t *testing.T) {
			seen.Store(0)
			budget := new(tally)
			c, err := New(Config{BaseURL: srv.URL, HTTPClient: given}, new(purse), budget)
			if err != nil {
				t.Fatal(err)
			}
			for range 6 {
				_, _ = c.Mappings(t.Context())
			}
			if int(seen.Load()) != budget.booked || budget.booked != 6 {
				t.Errorf("%d calls arrived, %d were booked, want 6", seen.Load(), budget.booked)
			}
		})
	}
}
