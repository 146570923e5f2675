package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Refresh presents old's refresh token once and gives the set that replaces it
// (CarData API, section 2.4). The caller saves it before it uses it.
//
// Errors are *Error: Transient for network, timeout, 5xx and gateway faults, of
// which the network ones may hide a rotation that took place; otherwise the
// refresh token was refused (400, 401). With ErrIncomplete the returned set is
// old with the rotated refresh token in it, and has to be saved all the same.
func (c *Client) Refresh(ctx context.Context, old TokenSet) (TokenSet, error) {
	conf := c.oauth
	if old.ClientID != "" {
		conf.ClientID = old.ClientID
	}
	var last answer
	src := conf.TokenSource(c.through(ctx, &last), &oauth2.Token{RefreshToken: string(old.RefreshToken)})
	tok, err := src.Token()
	if err != nil {
		if last.status/100 == 2 {
			return salvage(old, last)
		}
		return TokenSet{}, failure(ctx, opRefresh, err, last)
	}
	set := c.tokenSet(tok)
	set.ClientID = conf.ClientID
	if set.GCID == "" {
		set.GCID = old.GCID
	}
	if set.Scope == "" {
		set.Scope = old.Scope
	}
	switch {
	case set.GCID != old.GCID:
		return TokenSet{}, &Error{
			Op: opRefresh, Code: "other_account", Status: last.status,
			Description: "the answer belongs to another account", Remedy: remedyLogin,
		}
	case set.IDToken == "":
		return salvage(old, last)
	}
	return set, nil
}

// salvage keeps the one thing that must not be lost of an answer without usable
// tokens: the old refresh token is spent, the new one is in there or nowhere.
func salvage(old TokenSet, last answer) (TokenSet, error) {
	e := &Error{Op: opRefresh, Code: "incomplete", Status: last.status, Transient: true, Remedy: remedyWait, Err: ErrIncomplete}
	var body struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(last.body, &body); err != nil || body.Refresh == "" {
		e.Code, e.Err = codeAnswer, nil
		return TokenSet{}, e
	}
	if Secret(body.Refresh) != old.RefreshToken {
		old.RefreshToken = Secret(body.Refresh)
		old.RefreshExpires = now().Add(refreshLife)
	}
	return old, e
}

// tokenSet reads what BMW adds to the OAuth answer: id_token, gcid, scope.
func (c *Client) tokenSet(tok *oauth2.Token) TokenSet {
	text := func(key string) string {
		s, _ := tok.Extra(key).(string)
		return s
	}
	life := time.Duration(tok.ExpiresIn) * time.Second
	if life <= 0 {
		life = accessLife
	}
	life = min(life, longestLife)
	obtained := now()
	gcid, _ := schema.ParseGCID(text("gcid")) // "" is looked after by the callers
	return TokenSet{
		ClientID: c.cfg.ClientID, GCID: gcid,
		AccessToken: Secret(tok.AccessToken), IDToken: Secret(text("id_token")), RefreshToken: Secret(tok.RefreshToken),
		Scope: text("scope"), Obtained: obtained, Expires: obtained.Add(life), RefreshExpires: obtained.Add(refreshLife),
	}
}

// now is the wall clock alone: a token ages while the machine sleeps, which the
// monotonic clock does not see.
func now() time.Time { return time.Now().UTC().Round(0) }

// refusal tells whether the service itself turned the refresh token down.
func refusal(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && !e.Transient && (e.Status == http.StatusBadRequest || e.Status == http.StatusUnauthorized)
}

// unanswered tells whether nobody knows what the service did.
func unanswered(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Transient && e.Status == 0
}
