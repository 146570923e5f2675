package stream

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// tokenLife is the life of an id token of the service (CarData API, section
// "Lifetimes and refresh").
const tokenLife = time.Hour

// password is an id token in use.
type password struct {
	text    string
	issued  time.Time
	expires time.Time
}

// newPassword reads the time of issue from the token itself. A token that does
// not say is taken as one of an hour.
func newPassword(text string, expires time.Time) *password {
	p := &password{text: text, expires: expires, issued: expires.Add(-tokenLife)}
	if iat, exp, ok := claims(text); ok && iat < exp {
		// Only the span is taken: expires may be corrected for this machine's
		// clock, the claims are not.
		p.issued = expires.Add(-time.Duration(exp-iat) * time.Second)
	}
	return p
}

// claims gives a JWT's iat and exp, Unix seconds. The signature is the
// service's matter.
func claims(token string) (iat, exp int64, ok bool) {
	_, rest, _ := strings.Cut(token, ".")
	body, _, ok := strings.Cut(rest, ".")
	if !ok {
		return 0, 0, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return 0, 0, false
	}
	var c struct {
		Iat int64 `json:"iat"`
		Exp int64 `json:"exp"`
	}
	if json.Unmarshal(raw, &c) != nil || c.Iat <= 0 || c.Exp > c.Iat+int64(30*24*time.Hour/time.Second) {
		return 0, 0, false
	}
	return c.Iat, c.Exp, true
}

func (p *password) life() time.Duration { return p.expires.Sub(p.issued) }

// scaled gives d, meant for a token of one hour, for this token.
func (p *password) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(p.life()) / float64(tokenLife))
}
