package auth

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	codeLife     = 300 * time.Second // when the answer gives no expires_in
	pollInterval = 5 * time.Second   // when the answer gives no interval
	// codeGrace lets the service itself call a code expired: its clock decides,
	// and a poll that is under way at that moment may carry the tokens.
	codeGrace = 15 * time.Second
	codeTries = 3
)

// Prompt is what a person needs to approve a login.
type Prompt struct {
	UserCode    string    // to be typed at URL
	URL         string    // BMW's page
	URLComplete string    // the same with the code filled in
	Expires     time.Time // of the code, UTC
}

// Login runs the device flow with PKCE (CarData API, sections 2.1 and 2.2): it
// shows the code, waits for the person and gives the tokens, which the caller
// has to save before it uses them. A code that expires is replaced and shown
// anew, up to Config.Codes times. What the flow cannot survive is an *Error with
// a remedy; network faults between two polls are waited out.
func (c *Client) Login(ctx context.Context, show func(Prompt)) (TokenSet, error) {
	if err := CheckClientID(c.cfg.ClientID); err != nil {
		return TokenSet{}, err
	}
	for n := 1; ; n++ {
		set, err := c.loginOnce(ctx, show)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != codeExpired {
			return set, err
		}
		if n == c.cfg.Codes {
			e.Remedy = "run `cardata login` again and type the code within five minutes"
			return TokenSet{}, err
		}
		c.cfg.Log.Info("device code expired, asking for a new one", "attempt", n)
	}
}

func (c *Client) loginOnce(ctx context.Context, show func(Prompt)) (TokenSet, error) {
	verifier := oauth2.GenerateVerifier()
	da, err := c.deviceCode(ctx, verifier)
	if err != nil {
		return TokenSet{}, err
	}
	show(promptOf(da))
	return c.poll(ctx, da, verifier)
}

// deviceCode asks for a code; nothing is lost by asking again, so it does.
func (c *Client) deviceCode(ctx context.Context, verifier string) (*oauth2.DeviceAuthResponse, error) {
	policy := backoff.Policy{Base: 2 * time.Second, Cap: 10 * time.Second}
	conf := c.oauth
	conf.Scopes = c.cfg.Scopes
	for n := 0; ; n++ {
		var last answer
		da, err := conf.DeviceAuth(c.through(ctx, &last),
			oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("response_type", "device_code"))
		var e *Error
		switch {
		case err != nil:
			e = failure(ctx, opCode, err, last)
		case da.DeviceCode == "" || da.UserCode == "" || !webAddress(da.VerificationURI) && !webAddress(da.VerificationURIComplete):
			e = &Error{Op: opCode, Code: codeAnswer, Status: last.status, Transient: true, Remedy: remedyWait}
		default:
			return da, nil
		}
		if !e.Transient || n+1 == codeTries {
			return nil, e
		}
		if err := backoff.Wait(ctx, max(e.After, policy.Delay(n))); err != nil {
			return nil, err
		}
	}
}

func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// promptOf fills in the address with the code, which left BMW's document in 2026.
func promptOf(da *oauth2.DeviceAuthResponse) Prompt {
	if da.Expiry.IsZero() {
		da.Expiry = time.Now().Add(codeLife)
	}
	p := Prompt{
		UserCode: clean(da.UserCode), URL: clean(da.VerificationURI),
		URLComplete: clean(da.VerificationURIComplete), Expires: da.Expiry.UTC().Round(0),
	}
	if p.URL == "" {
		p.URL = p.URLComplete
	}
	if u, err := url.Parse(p.URL); err == nil && !webAddress(p.URLComplete) {
		q := u.Query()
		q.Set("user_code", p.UserCode)
		u.RawQuery = q.Encode()
		p.URLComplete = u.String()
	}
	return p
}

// poll waits for the person. oauth2's loop does pending (whatever the status)
// and slow_down as the table asks; it ends at a network fault or a gateway's
// 5xx, which cost a person the approval, so it is entered again with the
// interval that slow_down had reached.
func (c *Client) poll(ctx context.Context, da *oauth2.DeviceAuthResponse, verifier string) (TokenSet, error) {
	if da.Interval <= 0 {
		da.Interval = int64(pollInterval / time.Second)
	}
	end := *da
	end.Expiry = da.Expiry.Add(codeGrace)
	for {
		var last answer
		tok, err := c.oauth.DeviceAccessToken(c.through(ctx, &last), &end, oauth2.VerifierOption(verifier))
		if err == nil {
			return c.loginSet(tok)
		}
		if ctx.Err() != nil {
			return TokenSet{}, ctx.Err()
		}
		if !time.Now().Before(end.Expiry) {
			return TokenSet{}, &Error{Op: opPoll, Code: codeExpired}
		}
		e := failure(ctx, opPoll, err, last)
		if !e.Transient {
			return TokenSet{}, e
		}
		c.cfg.Log.Warn("poll for tokens failed, going on", "err", e)
		end.Interval += 5 * last.slowDowns
		if wait := e.After - time.Duration(end.Interval)*time.Second; wait > 0 {
			if err := backoff.Wait(ctx, min(wait, time.Until(end.Expiry))); err != nil {
				return TokenSet{}, err
			}
		}
	}
}

// loginSet checks what a login needs beyond what a refresh does: the account.
func (c *Client) loginSet(tok *oauth2.Token) (TokenSet, error) {
	set := c.tokenSet(tok)
	if set.Scope == "" {
		set.Scope = strings.Join(c.cfg.Scopes, " ") // left out means granted as asked (RFC 6749)
	}
	if set.GCID == "" {
		if cl, ok := claimsOf(string(set.IDToken)); ok {
			set.GCID, _ = schema.ParseGCID(cl.Subject)
		}
	}
	switch {
	case set.GCID == "":
		return TokenSet{}, &Error{Op: opPoll, Code: "no_gcid", Remedy: remedyLogin, Err: ErrIncomplete}
	case set.IDToken == "" || set.RefreshToken == "":
		return TokenSet{}, &Error{Op: opPoll, Code: "no_token", Remedy: remedyRequest, Err: ErrIncomplete}
	}
	return set, nil
}
