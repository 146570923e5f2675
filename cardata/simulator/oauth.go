package simulator

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// codeAlphabet leaves out what is misread.
const codeAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// ErrUnknownCode reports a user code that was never issued or has expired.
var ErrUnknownCode = errors.New("unknown or expired user code")

// consent is the state of a device code.
type consent int

const (
	pending consent = iota
	approved
	denied
	spent
)

// deviceCode is one running device flow.
type deviceCode struct {
	account   *account
	userCode  string
	challenge string
	scope     string
	expires   time.Time
	polled    time.Time // zero before the first poll
	consent   consent
}

// oauth is the OAuth surface (CarData API, sections "OAuth 2.0 device
// authorization grant" and "Simulator specification").
type oauth struct {
	s *Simulator

	mu    sync.Mutex // guards codes and what they point to
	codes map[string]*deviceCode
}

// oauthError is the JSON body of a refusal.
type oauthError struct {
	status      int
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func refuse(status int, code, description string) *oauthError {
	return &oauthError{status, code, description}
}

// start answers POST /gcdm/oauth/device/code.
func (o *oauth) start(w http.ResponseWriter, r *http.Request) {
	form, ok := o.form(w, r)
	if !ok {
		return
	}
	a, fail := o.account(form)
	if fail == nil {
		fail = checkStart(form)
	}
	if fail != nil {
		writeJSON(w, fail.status, fail)
		return
	}
	now := time.Now()
	d := &deviceCode{
		account:   a,
		userCode:  newUserCode(),
		challenge: form.Get("code_challenge"),
		scope:     form.Get("scope"),
		expires:   now.Add(o.s.cfg.CodeLife),
	}
	if d.scope == "" {
		d.scope = strings.Join([]string{scopeUser, scopeOpenID, scopeStream}, " ") // seen, against the documents
	}
	if o.s.cfg.AutoApprove {
		d.consent = approved
	}
	// The service's device code is a JWT that clients must treat as opaque.
	code, err := o.s.signer.sign(map[string]any{"tokenName": "device_code", "jti": secretText(), "exp": d.expires.Unix()})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	o.mu.Lock()
	for k, old := range o.codes { // keep spent codes for a while: their polls have answers of their own
		if now.Sub(old.expires) > time.Hour {
			delete(o.codes, k)
		}
	}
	o.codes[code] = d
	o.mu.Unlock()
	o.s.Stats.DeviceCodes.Add(1)
	answer := map[string]any{
		"device_code":      code,
		"user_code":        d.userCode,
		"verification_uri": o.s.OAuthURL() + "/oneid/link",
		"expires_in":       int(o.s.cfg.CodeLife.Seconds()),
		"interval":         max(1, int(o.s.cfg.PollInterval.Seconds())),
	}
	if o.s.faults.get().CompleteURI {
		answer["verification_uri_complete"] = o.s.OAuthURL() + "/oneid/link?user_code=" + d.userCode
	}
	writeJSON(w, http.StatusOK, answer)
}

// checkStart refuses a malformed request for a device code.
func checkStart(form url.Values) *oauthError {
	if t := form.Get("response_type"); t != "" && t != "device_code" {
		return refuse(http.StatusBadRequest, "invalid_request", "response_type must be device_code")
	}
	if form.Get("code_challenge_method") != "S256" {
		return refuse(http.StatusBadRequest, "invalid_request", "code_challenge_method must be S256")
	}
	if sum, err := base64.RawURLEncoding.DecodeString(form.Get("code_challenge")); err != nil || len(sum) != sha256.Size {
		return refuse(http.StatusBadRequest, "invalid_request", "code_challenge must be base64url of a SHA-256 sum without padding")
	}
	for s := range strings.FieldsSeq(form.Get("scope")) {
		if s != scopeUser && s != scopeOpenID && s != scopeAPI && s != scopeStream {
			return refuse(http.StatusBadRequest, "invalid_request", "unknown scope")
		}
	}
	return nil
}

// token answers POST /gcdm/oauth/token.
func (o *oauth) token(w http.ResponseWriter, r *http.Request) {
	form, ok := o.form(w, r)
	if !ok {
		return
	}
	a, fail := o.account(form)
	if fail == nil {
		switch form.Get("grant_type") {
		case deviceGrant:
			o.poll(w, a, form)
			return
		case "refresh_token":
			o.refresh(w, a, form)
			return
		default:
			fail = refuse(http.StatusBadRequest, "invalid_request", "grant_type missing or not supported")
		}
	}
	writeJSON(w, fail.status, fail)
}

// poll answers a device code grant.
func (o *oauth) poll(w http.ResponseWriter, a *account, form url.Values) {
	o.s.Stats.Polls.Add(1)
	d, fail := o.judge(a, form)
	switch {
	case fail != nil:
		writeJSON(w, fail.status, fail)
	case o.s.faults.take(func(f *Faults) *int { return &f.GatewayFault }):
		o.settle(d, denied)
		writeJSON(w, http.StatusInternalServerError, gatewayFault())
	case o.s.faults.take(func(f *Faults) *int { return &f.DenyAfterConsent }):
		o.settle(d, denied)
		f := refuse(http.StatusForbidden, "access_denied", "The user has declined authorization")
		writeJSON(w, f.status, f)
	default:
		answer, err := o.issue(a, d.scope, true)
		o.answer(w, answer, err)
	}
}

// judge finds the code a poll is about and what is to be said of it. An
// approved code comes back spent, so that no second poll gets tokens.
func (o *oauth) judge(a *account, form url.Values) (*deviceCode, *oauthError) {
	code, verifier := form.Get("device_code"), form.Get("code_verifier")
	if code == "" || verifier == "" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "device_code and code_verifier are required")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.codes[code]
	if d == nil || d.account != a {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "The provided access grant is invalid, expired, or revoked.")
	}
	now := time.Now()
	// Clients time their polls by their own clock: allow a tenth for jitter.
	early := !d.polled.IsZero() && now.Sub(d.polled) < o.s.cfg.PollInterval*9/10
	d.polled = now
	sum := sha256.Sum256([]byte(verifier))
	switch {
	case d.consent == spent:
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "The provided access grant is invalid, expired, or revoked.")
	case d.consent == denied:
		return nil, refuse(http.StatusForbidden, "access_denied", "The user has declined authorization")
	case now.After(d.expires):
		return nil, refuse(http.StatusUnauthorized, "expired_token", "The code is expired")
	case early:
		return nil, refuse(http.StatusBadRequest, "slow_down", "The polling interval has not elapsed since the last request")
	case subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(d.challenge)) == 0:
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "code_verifier does not match code_challenge")
	case d.consent == pending:
		return nil, refuse(http.StatusForbidden, "authorization_pending", "The user has not yet completed authorization")
	}
	d.consent = spent
	return d, nil
}

func (o *oauth) settle(d *deviceCode, c consent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d.consent = c
}

// refresh answers a refresh token grant: the token is single use and a new set
// is durable before it is answered.
func (o *oauth) refresh(w http.ResponseWriter, a *account, form url.Values) {
	o.s.Stats.Refreshes.Add(1)
	presented := form.Get("refresh_token")
	if presented == "" {
		writeJSON(w, http.StatusBadRequest, refuse(http.StatusBadRequest, "invalid_request", "refresh_token is required"))
		return
	}
	a.rotate.Lock()
	defer a.rotate.Unlock()
	kept := o.s.store.get(a.GCID)
	if subtle.ConstantTimeCompare([]byte(kept.RefreshToken), []byte(presented)) == 0 || time.Now().After(kept.RefreshExpires) {
		code := "invalid_grant"
		if o.s.faults.get().UsedTokenInvalidRequest {
			code = "invalid_request"
		}
		writeJSON(w, http.StatusBadRequest, refuse(http.StatusBadRequest, code, "The provided access grant is invalid, expired, or revoked."))
		return
	}
	answer, err := o.issue(a, kept.Scope, false)
	if err == nil && o.s.faults.take(func(f *Faults) *int { return &f.DropRefreshAnswer }) {
		panic(http.ErrAbortHandler) // net/http's way to close without an answer
	}
	o.answer(w, answer, err)
}

// issue makes a new token set, which voids the refresh token before it.
// Requested scopes are granted as far as the client's subscriptions reach.
func (o *oauth) issue(a *account, requested string, login bool) (map[string]any, error) {
	f, now := o.s.faults.get(), time.Now()
	granted := slices.DeleteFunc(strings.Fields(requested), func(s string) bool {
		return s == scopeAPI && f.NoAPI || s == scopeStream && f.NoStream
	})
	life := o.s.cfg.TokenLife
	if f.TokenLife > 0 {
		life = f.TokenLife
	}
	set := o.s.store.update(a.GCID, func(v *saved) {
		v.Serial++
		v.RefreshToken, v.RefreshExpires, v.Scope = secretText(), now.Add(o.s.cfg.RefreshLife), requested
		if login {
			v.AuthTime = now.Unix()
		}
	})
	if err := o.s.store.save(); err != nil {
		return nil, err
	}
	scope := strings.Join(granted, " ")
	sealed, err := o.s.signer.seal(access{GCID: a.GCID, Serial: set.Serial, Scope: scope, Expires: now.Add(life).Unix()})
	if err != nil {
		return nil, err
	}
	answer := map[string]any{
		"token_type":    "Bearer",
		"access_token":  sealed,
		"refresh_token": set.RefreshToken,
		"scope":         scope,
		"expires_in":    max(1, int(life.Seconds())-1), // 3599, as seen
	}
	if login || !f.OmitGCID {
		answer["gcid"] = a.GCID
	}
	if slices.Contains(granted, scopeOpenID) && (login || !f.OmitIDToken) {
		c := claims{
			Subject: string(a.GCID), Issuer: o.s.OAuthURL() + "/gcdm/oauth", Audience: a.ClientID, Party: a.ClientID,
			Realm: "/customer", TokenType: "JWTToken", TokenName: "id_token", TrackingID: secretText(), Serial: set.Serial,
			AuthTime: set.AuthTime, IssuedAt: now.Unix(), Expires: now.Add(life).Unix(),
		}
		if slices.Contains(granted, scopeStream) {
			c.DynamicScopes = []string{"read:streaming/*/" + string(a.GCID) + ".*"}
		}
		if answer["id_token"], err = o.s.signer.sign(c); err != nil {
			return nil, err
		}
	}
	o.s.Stats.TokenSets.Add(1)
	return answer, nil
}

// decide settles what a person said to a user code.
func (o *oauth) decide(userCode string, ok bool) error {
	userCode = strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(userCode))
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.codes {
		if d.userCode != userCode || time.Now().After(d.expires) || d.consent == spent {
			continue
		}
		d.consent = denied
		if ok {
			d.consent = approved
		}
		return nil
	}
	return ErrUnknownCode
}

// account finds the account of the request's client id.
func (o *oauth) account(form url.Values) (*account, *oauthError) {
	id := form.Get("client_id")
	if id == "" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "client_id is required")
	}
	a := o.s.byClient[id]
	if a == nil {
		return nil, refuse(http.StatusUnauthorized, "invalid_client", "Client authentication failed")
	}
	return a, nil
}

// form reads a request's fields. It answers the request itself when it is no
// form post, or when the service is to have a bad moment.
func (o *oauth) form(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	if o.s.faults.take(func(f *Faults) *int { return &f.ServerErrors }) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprint(w, "<html><body><h1>Internal Server Error</h1></body></html>")
		return nil, false
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind != "application/x-www-form-urlencoded" || r.ParseForm() != nil {
		writeJSON(w, http.StatusBadRequest, refuse(http.StatusBadRequest, "invalid_request", "a form post is required"))
		return nil, false
	}
	return r.PostForm, true
}

func (o *oauth) answer(w http.ResponseWriter, body map[string]any, err error) {
	if err != nil {
		o.s.fail(err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, body)
}

// newUserCode gives eight characters that a person can read and type.
func newUserCode() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails, by its documentation
	for i := range b {
		b[i] = codeAlphabet[int(b[i])%len(codeAlphabet)]
	}
	return string(b)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}

// gatewayFault is the gateway's own error body, which has no "error" member.
func gatewayFault() any {
	type detail struct {
		Code string `json:"errorcode"`
	}
	type fault struct {
		Text   string `json:"faultstring"`
		Detail detail `json:"detail"`
	}
	return struct {
		Fault fault `json:"fault"`
	}{fault{"Invalid Access Token", detail{"keymanagement.service.invalid_access_token"}}}
}
