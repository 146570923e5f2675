package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const redacted = "[redacted]"

// Secret is text that shows itself to nobody: every formatting verb, slog and
// JSON give "[redacted]". string(s) is the text.
type Secret string

// Format redacts under every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON redacts; the store writes its own form.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// TokenSet is what one login or refresh gave for one account. Times are UTC wall
// clock. Formatted, logged or marshalled it shows no token and no full GCID.
type TokenSet struct {
	ClientID string      // of the portal; a set lives and dies with it
	GCID     schema.GCID // the account; MQTT user name

	AccessToken  Secret // for REST
	IDToken      Secret // JWT; MQTT password
	RefreshToken Secret // single use

	Scope          string    // granted scopes, separated by spaces
	Obtained       time.Time // arrival of access and id token
	Expires        time.Time // of access and id token
	RefreshExpires time.Time // 14 days after the last rotation
}

// Lifetimes (CarData API, section 2.4).
const (
	accessLife = time.Hour // when the answer gives no expires_in
	// longestLife bounds a senseless expires_in: a token that never falls due
	// would let the refresh token run out.
	longestLife = 24 * time.Hour
	refreshLife = 14 * 24 * time.Hour
)

// Rotated gives the time at which the refresh token was issued.
func (t TokenSet) Rotated() time.Time { return t.RefreshExpires.Add(-refreshLife) }

// String describes the set without a secret.
func (t TokenSet) String() string {
	return "tokens of " + t.GCID.LogValue().String() + " until " + t.Expires.Format(time.RFC3339)
}

// Format gives String under every verb.
func (t TokenSet) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue gives account and lifetimes.
func (t TokenSet) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Any("gcid", t.GCID), slog.Time("obtained", t.Obtained),
		slog.Time("expires", t.Expires), slog.Time("refresh_expires", t.RefreshExpires))
}

// MarshalJSON gives String: only a Store writes tokens.
func (t TokenSet) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

const fileVersion = 1

// tokenFile is a TokenSet on disk. Revision grows by one with every save, so
// that of two copies the newer is known without trusting a clock.
type tokenFile struct {
	Version        int       `json:"version"`
	Revision       int64     `json:"revision"`
	ClientID       string    `json:"client_id"`
	GCID           string    `json:"gcid"`
	AccessToken    string    `json:"access_token"`
	IDToken        string    `json:"id_token"`
	RefreshToken   string    `json:"refresh_token"`
	Scope          string    `json:"scope"`
	Obtained       time.Time `json:"obtained"`
	Expires        time.Time `json:"expires"`
	RefreshExpires time.Time `json:"refresh_expires"`
}

func encode(t TokenSet, revision int64) ([]byte, error) {
	b, err := json.MarshalIndent(tokenFile{
		Version: fileVersion, Revision: revision, ClientID: t.ClientID, GCID: string(t.GCID),
		AccessToken: string(t.AccessToken), IDToken: string(t.IDToken), RefreshToken: string(t.RefreshToken),
		Scope: t.Scope, Obtained: t.Obtained, Expires: t.Expires, RefreshExpires: t.RefreshExpires,
	}, "", "  ")
	return append(b, '\n'), err
}

// decode accepts NUL bytes after the object: a reserved file that a crash kept
// from being cut to length.
func decode(b []byte) (TokenSet, int64, error) {
	var f tokenFile
	b = bytes.TrimRight(b, "\x00")
	if len(bytes.TrimSpace(b)) == 0 {
		return TokenSet{}, 0, errors.New("file is empty")
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return TokenSet{}, 0, err
	}
	if f.Version != fileVersion {
		return TokenSet{}, 0, fmt.Errorf("version %d is not known, only %d", f.Version, fileVersion)
	}
	gcid, err := schema.ParseGCID(f.GCID)
	if err != nil {
		return TokenSet{}, 0, err
	}
	if f.RefreshToken == "" {
		return TokenSet{}, 0, errors.New("refresh_token is missing")
	}
	return TokenSet{
		ClientID: f.ClientID, GCID: gcid,
		AccessToken: Secret(f.AccessToken), IDToken: Secret(f.IDToken), RefreshToken: Secret(f.RefreshToken),
		Scope: f.Scope, Obtained: f.Obtained.UTC(), Expires: f.Expires.UTC(), RefreshExpires: f.RefreshExpires.UTC(),
	}, f.Revision, nil
}
