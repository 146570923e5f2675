package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The scopes a login asks for (CarData API, section 2.1).
const (
	scopeUser   = "authenticate_user"
	scopeOpenID = "openid"
	scopeAPI    = "cardata:api:read"
	scopeStream = "cardata:streaming:read"
)

const (
	remedyAPI = "on the portal (BMW CarData), tick the subscription \"CarData API\" for this client id, " +
		"wait 2 minutes, then run `cardata login` again: tokens issued before never gain it"
	remedyStream = "on the portal (BMW CarData), tick the subscription \"CarData Stream\" for this client id " +
		"(30 to 120 seconds after \"CarData API\"), then run `cardata login` again: tokens issued before never gain it"
)

// Check tells whether the tokens open both the REST API and the stream (CarData
// API, sections 1.2 and 2.3). It joins one *Error per missing permission, each
// naming the portal step: ErrScope and ErrAPIScope without the API's scope,
// ErrScope and ErrStreamScope without the stream's, ErrStreamScope alone when
// the scope is there but the id token carries no dynamic_scopes.
//
// The id token's signature is not verified: it came from BMW over TLS, and the
// broker is the one who has to trust it. An id token that cannot be read passes.
func (t TokenSet) Check() error {
	granted := strings.Fields(t.Scope)
	var errs []error
	missing := func(code, remedy string, cause error) {
		errs = append(errs, &Error{Op: opCheck, Code: code, Remedy: remedy, Err: cause})
	}
	if !slices.Contains(granted, scopeAPI) {
		missing(scopeAPI, remedyAPI, fmt.Errorf("%w, %w", ErrScope, ErrAPIScope))
	}
	if !slices.Contains(granted, scopeStream) {
		missing(scopeStream, remedyStream, fmt.Errorf("%w, %w", ErrScope, ErrStreamScope))
		return errors.Join(errs...)
	}
	if c, ok := claimsOf(string(t.IDToken)); ok && !c.Streams.any() {
		missing("dynamic_scopes", remedyStream, ErrStreamScope)
	}
	return errors.Join(errs...)
}

type claims struct {
	Subject string `json:"sub"`
	Streams words  `json:"dynamic_scopes"`
}

// words is a claim that is a string or an array of strings; which of them BMW
// sends is not documented.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*w = strings.Fields(one)
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return err
	}
	*w = many
	return nil
}

func (w words) any() bool {
	return slices.ContainsFunc(w, func(s string) bool { return strings.TrimSpace(s) != "" })
}

// claimsOf reads the payload of a JWT; ok is false for anything else.
func claimsOf(jwt string) (c claims, ok bool) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return claims{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return claims{}, false
	}
	if json.Unmarshal(b, &c) != nil {
		return claims{}, false
	}
	return c, true
}
