package simulator

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// flow is one client's way through the device flow.
type flow struct {
	t    *testing.T
	s    *Simulator
	c    *http.Client
	id   string
	code map[string]any
}

func newFlow(t *testing.T, s *Simulator) *flow {
	t.Helper()
	f := &flow{t: t, s: s, c: httpClient(t, s), id: s.ClientID()}
	status, code, err := post(t, f.c, s.OAuthURL()+"/gcdm/oauth/device/code", startForm(f.id))
	if err != nil || status != http.StatusOK {
		t.Fatalf("device code: %d %v %v", status, code, err)
	}
	f.code = code
	return f
}

func (f *flow) text(key string) string {
	f.t.Helper()
	v, _ := f.code[key].(string)
	return v
}

// poll gives the status and the error code or the token set.
func (f *flow) poll() (int, map[string]any) {
	f.t.Helper()
	status, body, err := post(f.t, f.c, f.s.OAuthURL()+"/gcdm/oauth/token", pollForm(f.id, f.text("device_code")))
	if err != nil {
		f.t.Fatal(err)
	}
	return status, body
}

func (f *flow) want(status int, code string) {
	f.t.Helper()
	got, body := f.poll()
	if got != status || body["error"] != any(code) {
		f.t.Errorf("poll: %d %v, want %d %s", got, body, status, code)
	}
}

func (f *flow) approve(ok bool) {
	f.t.Helper()
	if err := f.s.Approve(f.text("user_code"), ok); err != nil {
		f.t.Fatal(err)
	}
}

// quick is a service whose polls may follow each other at once.
func quick() Config { return Config{Cars: 1, PollInterval: time.Nanosecond} }

func TestDeviceCodeAnswer(t *testing.T) {
	s := startTest(t, Config{Cars: 1})
	f := newFlow(t, s)
	if len(f.text("user_code")) != 8 || f.code["expires_in"] != any(300.0) || f.code["interval"] != any(5.0) ||
		f.text("verification_uri") != s.OAuthURL()+"/oneid/link" || strings.Count(f.text("device_code"), ".") != 2 {
		t.Errorf("device code answer %v", f.code)
	}
	if _, ok := f.code["verification_uri_complete"]; ok {
		t.Error("the answer of 2025 came without its switch")
	}
	s.SetFaults(Faults{CompleteURI: true})
	f = newFlow(t, s)
	if want := s.OAuthURL() + "/oneid/link?user_code=" + f.text("user_code"); f.text("verification_uri_complete") != want {
		t.Errorf("verification_uri_complete %q, want %q", f.text("verification_uri_complete"), want)
	}
}

func TestPollTable(t *testing.T) {
	t.Run("pending, then approved, then used up", func(t *testing.T) {
		f := newFlow(t, startTest(t, quick()))
		f.want(403, "authorization_pending")
		f.approve(true)
		if status, set := f.poll(); status != 200 || set["access_token"] == nil {
			t.Errorf("approved: %d %v", status, set)
		}
		f.want(400, "invalid_grant")
	})
	t.Run("no slow_down on the first poll, then by the interval", func(t *testing.T) {
		f := newFlow(t, startTest(t, Config{Cars: 1}))
		f.want(403, "authorization_pending")
		f.want(400, "slow_down")
	})
	t.Run("denied", func(t *testing.T) {
		f := newFlow(t, startTest(t, quick()))
		f.approve(false)
		f.want(403, "access_denied")
		f.want(403, "access_denied")
	})
	t.Run("expired", func(t *testing.T) {
		cfg := quick()
		cfg.CodeLife = time.Nanosecond
		f := newFlow(t, startTest(t, cfg))
		f.want(401, "expired_token")
		if err := f.s.Approve(f.text("user_code"), true); err == nil {
			t.Error("an expired code was approved")
		}
	})
	t.Run("gateway fault spends the code", func(t *testing.T) {
		cfg := quick()
		cfg.Faults = Faults{GatewayFault: 1}
		f := newFlow(t, startTest(t, cfg))
		f.want(403, "authorization_pending") // the fault comes after consent
		f.approve(true)
		status, body := f.poll()
		text, _ := json.Marshal(body)
		want := `{"fault":{"detail":{"errorcode":"keymanagement.service.invalid_access_token"},"faultstring":"Invalid Access Token"}}`
		if status != 500 || string(text) != want {
			t.Errorf("poll: %d %s, want 500 %s", status, text, want)
		}
		f.want(403, "access_denied")
	})
	t.Run("denied after consent", func(t *testing.T) {
		cfg := quick()
		cfg.Faults = Faults{DenyAfterConsent: 1}
		f := newFlow(t, startTest(t, cfg))
		f.approve(true)
		f.want(403, "access_denied")
	})
	t.Run("server error without JSON", func(t *testing.T) {
		f := newFlow(t, startTest(t, quick()))
		f.s.SetFaults(Faults{ServerErrors: 1})
		if status, body := f.poll(); status != 500 || body != nil {
			t.Errorf("poll: %d %v, want 500 and no JSON", status, body)
		}
		f.want(403, "authorization_pending")
	})
}

func TestMalformedRequests(t *testing.T) {
	s := startTest(t, quick())
	f := newFlow(t, s)
	f.approve(true)
	for name, c := range map[string]struct {
		path   string
		form   url.Values
		set    url.Values // replaces; an empty value removes
		status int
		code   string
	}{
		"start, no client":                {"device/code", startForm(f.id), url.Values{"client_id": nil}, 400, "invalid_request"},
		"start, unknown client":           {"device/code", startForm(f.id), url.Values{"client_id": {"x"}}, 401, "invalid_client"},
		"start, no challenge":             {"device/code", startForm(f.id), url.Values{"code_challenge": nil}, 400, "invalid_request"},
		"start, plain challenge":          {"device/code", startForm(f.id), url.Values{"code_challenge_method": {"plain"}}, 400, "invalid_request"},
		"start, padded challenge":         {"device/code", startForm(f.id), url.Values{"code_challenge": {"x="}}, 400, "invalid_request"},
		"start, wrong response type":      {"device/code", startForm(f.id), url.Values{"response_type": {"code"}}, 400, "invalid_request"},
		"start, scope per key":            {"device/code", startForm(f.id), url.Values{"scope": {"cardata:streaming:vehicle.x"}}, 400, "invalid_request"},
		"start, response type left out":   {"device/code", startForm(f.id), url.Values{"response_type": nil}, 200, ""},
		"poll, no verifier":               {"token", pollForm(f.id, f.text("device_code")), url.Values{"code_verifier": nil}, 400, "invalid_request"},
		"poll, wrong verifier":            {"token", pollForm(f.id, f.text("device_code")), url.Values{"code_verifier": {"x"}}, 400, "invalid_grant"},
		"poll, unknown code":              {"token", pollForm(f.id, "x"), nil, 400, "invalid_grant"},
		"poll, unknown client":            {"token", pollForm("x", f.text("device_code")), nil, 401, "invalid_client"},
		"token, unknown grant":            {"token", pollForm(f.id, "x"), url.Values{"grant_type": {"password"}}, 400, "invalid_request"},
		"refresh, no token":               {"token", url.Values{"client_id": {f.id}, "grant_type": {"refresh_token"}}, nil, 400, "invalid_request"},
		"refresh, unknown token":          {"token", url.Values{"client_id": {f.id}, "grant_type": {"refresh_token"}, "refresh_token": {"x"}}, nil, 400, "invalid_grant"},
		"refresh, before any login, none": {"token", url.Values{"client_id": {f.id}, "grant_type": {"refresh_token"}, "refresh_token": {" "}}, nil, 400, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			maps.Copy(c.form, c.set)
			status, body, err := post(t, f.c, s.OAuthURL()+"/gcdm/oauth/"+c.path, c.form)
			if code, _ := body["error"].(string); err != nil || status != c.status || code != c.code {
				t.Errorf("answer %d %v %v, want %d %s", status, body, err, c.status, c.code)
			}
		})
	}
	r, err := f.c.Post(s.OAuthURL()+"/gcdm/oauth/token", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusBadRequest {
		t.Errorf("JSON in place of a form: %d, want 400", r.StatusCode)
	}
}

func TestTokenAnswer(t *testing.T) {
	s := startTest(t, Config{Cars: 1})
	a := s.Accounts()[0]
	set := login(t, s, a)
	if set["gcid"] != any(string(a.GCID)) || set["token_type"] != any("Bearer") || set["expires_in"] != any(3599.0) || set["scope"] != any(allScopes) {
		t.Errorf("token answer %v", set)
	}
	got := payloadOf(t, set["id_token"].(string))
	for key, want := range map[string]any{
		"sub": string(a.GCID), "aud": a.ClientID, "azp": a.ClientID, "iss": s.OAuthURL() + "/gcdm/oauth",
		"realm": "/customer", "tokenType": "JWTToken",
	} {
		if got[key] != want {
			t.Errorf("claim %s is %v, want %v", key, got[key], want)
		}
	}
	if got["exp"].(float64)-got["iat"].(float64) != 3600 || got["auth_time"] == nil {
		t.Errorf("times of the id token: %v", got)
	}
	if d, ok := got["dynamic_scopes"].([]any); !ok || len(d) != 1 || d[0] != any("read:streaming/*/"+string(a.GCID)+".*") {
		t.Errorf("dynamic_scopes %v", got["dynamic_scopes"])
	}
}

func payloadOf(t *testing.T, token string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMissingSubscriptionsTakeScopes(t *testing.T) {
	for name, c := range map[string]struct {
		faults  Faults
		scope   string
		dynamic bool
	}{
		"no stream": {Faults{NoStream: true}, "authenticate_user openid cardata:api:read", false},
		"no api":    {Faults{NoAPI: true}, "authenticate_user openid cardata:streaming:read", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := startTest(t, Config{Cars: 1, Faults: c.faults})
			set := login(t, s, s.Accounts()[0])
			_, dynamic := payloadOf(t, set["id_token"].(string))["dynamic_scopes"]
			if set["scope"] != any(c.scope) || dynamic != c.dynamic {
				t.Errorf("scope %v, dynamic_scopes %v; want %v, %v", set["scope"], dynamic, c.scope, c.dynamic)
			}
		})
	}
}

func refresh(t *testing.T, s *Simulator, token any) (int, map[string]any, error) {
	t.Helper()
	return post(t, httpClient(t, s), s.OAuthURL()+"/gcdm/oauth/token", url.Values{
		"grant_type": {"refresh_token"}, "client_id": {s.ClientID()}, "refresh_token": {token.(string)},
	})
}

func TestRefreshRotates(t *testing.T) {
	s := startTest(t, Config{Cars: 1})
	first := login(t, s, s.Accounts()[0])
	status, second, err := refresh(t, s, first["refresh_token"])
	if err != nil || status != 200 || second["refresh_token"] == first["refresh_token"] || second["id_token"] == nil || second["gcid"] == nil {
		t.Fatalf("refresh: %d %v %v", status, second, err)
	}
	if status, body, _ := refresh(t, s, first["refresh_token"]); status != 400 || body["error"] != any("invalid_grant") {
		t.Errorf("used token: %d %v, want 400 invalid_grant", status, body)
	}
	s.SetFaults(Faults{UsedTokenInvalidRequest: true, OmitGCID: true, OmitIDToken: true})
	if status, body, _ := refresh(t, s, first["refresh_token"]); status != 400 || body["error"] != any("invalid_request") {
		t.Errorf("used token with the switch: %d %v, want 400 invalid_request", status, body)
	}
	status, third, _ := refresh(t, s, second["refresh_token"])
	if status != 200 || third["gcid"] != nil || third["id_token"] != nil {
		t.Errorf("refresh with switches: %d %v; want no gcid, no id_token", status, third)
	}
	s.RevokeRefresh(s.Accounts()[0].GCID)
	if status, _, _ := refresh(t, s, third["refresh_token"]); status != 400 {
		t.Errorf("revoked token: %d, want 400", status)
	}
}

func TestDroppedAnswerLosesTheLogin(t *testing.T) {
	s := startTest(t, Config{Cars: 1, Faults: Faults{DropRefreshAnswer: 1}})
	set := login(t, s, s.Accounts()[0])
	if status, body, err := refresh(t, s, set["refresh_token"]); err == nil {
		t.Fatalf("refresh: %d %v, want no answer", status, body)
	}
	if status, body, err := refresh(t, s, set["refresh_token"]); err != nil || status != 400 {
		t.Errorf("second try: %d %v %v, want 400", status, body, err)
	}
}

func TestRefreshTokenExpires(t *testing.T) {
	s := startTest(t, Config{Cars: 1, RefreshLife: time.Nanosecond})
	set := login(t, s, s.Accounts()[0])
	if status, _, _ := refresh(t, s, set["refresh_token"]); status != 400 {
		t.Errorf("refresh after the refresh token's life: %d, want 400", status)
	}
}

func TestVerificationPage(t *testing.T) {
	s := startTest(t, quick())
	f := newFlow(t, s)
	get := func(query string) (int, string) {
		t.Helper()
		return fetch(t, func() (*http.Response, error) { return f.c.Get(s.OAuthURL() + "/oneid/link" + query) })
	}
	submit := func(code, decision string) int {
		t.Helper()
		form := url.Values{"user_code": {code}, "decision": {decision}}
		status, _ := fetch(t, func() (*http.Response, error) { return f.c.PostForm(s.OAuthURL()+"/oneid/link", form) })
		return status
	}
	if status, text := get("?user_code=" + f.text("user_code")); status != 200 || !strings.Contains(text, `value="`+f.text("user_code")+`"`) {
		t.Errorf("page: %d %s; want the code filled in", status, text)
	}
	if _, text := get("?user_code=%22%3E%3Cscript%3E"); strings.Contains(text, "<script>") {
		t.Error("the page repeats markup from its address")
	}
	if status := submit("NOSUCH11", "approve"); status != 404 {
		t.Errorf("unknown code: %d, want 404", status)
	}
	if status := submit(f.text("user_code"), "maybe"); status != 400 {
		t.Errorf("no decision: %d, want 400", status)
	}
	f.want(403, "authorization_pending")
	typed := strings.ToLower(f.text("user_code")[:4] + "-" + f.text("user_code")[4:])
	if status := submit(typed, "approve"); status != 200 {
		t.Errorf("approve: %d, want 200", status)
	}
	if status, _ := f.poll(); status != 200 {
		t.Errorf("poll after approval: %d, want 200", status)
	}
	f = newFlow(t, s)
	if status := submit(f.text("user_code"), "deny"); status != 200 {
		t.Errorf("deny: %d, want 200", status)
	}
	f.want(403, "access_denied")
}

func TestAutoApproveAndClockSkewAndUnknownPaths(t *testing.T) {
	cfg := quick()
	cfg.AutoApprove, cfg.Faults = true, Faults{ClockSkew: time.Hour}
	s := startTest(t, cfg)
	f := newFlow(t, s)
	if status, _ := f.poll(); status != 200 {
		t.Errorf("poll: %d, want 200 at once", status)
	}
	r, err := f.c.Get(s.RESTURL() + "/customers/vehicles/nothing")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var body map[string]string
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.StatusCode != http.StatusNotFound || body["exveErrorId"] == "" || len(body["exveErrorRef"]) != 36 {
		t.Errorf("unknown path: %d %v %v; want 404 and an error body", r.StatusCode, body, err)
	}
	date, err := http.ParseTime(r.Header.Get("Date"))
	if ahead := time.Until(date); err != nil || ahead < 59*time.Minute || ahead > 61*time.Minute {
		t.Errorf("Date header is %v ahead, want an hour: %v", ahead, err)
	}
}

func fetch(t *testing.T, do func() (*http.Response, error)) (int, string) {
	t.Helper()
	r, err := do()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}
