package simulator

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// The scopes a client may ask for (CarData API, section "OAuth 2.0 device
// authorization grant").
const (
	scopeUser   = "authenticate_user"
	scopeOpenID = "openid"
	scopeAPI    = "cardata:api:read"
	scopeStream = "cardata:streaming:read"
)

// claims are those of an id token (CarData API, section "Token answer").
type claims struct {
	Subject       string   `json:"sub"`
	Issuer        string   `json:"iss"`
	Audience      string   `json:"aud"`
	Party         string   `json:"azp"`
	Realm         string   `json:"realm"`
	TokenType     string   `json:"tokenType"`
	TokenName     string   `json:"tokenName"`
	TrackingID    string   `json:"auditTrackingId"`
	Serial        uint64   `json:"jti,string"` // counts the account's tokens, so that they can be revoked by number
	AuthTime      int64    `json:"auth_time"`
	IssuedAt      int64    `json:"iat"`
	Expires       int64    `json:"exp"`
	DynamicScopes []string `json:"dynamic_scopes,omitempty"`
}

var (
	errTokenForm      = errors.New("token is not a JWT of this issuer")
	errTokenSignature = errors.New("token signature does not verify")
	errTokenExpired   = errors.New("token has expired")
)

// signer makes and checks the tokens of all accounts. Safe for concurrent use.
type signer struct {
	key    *rsa.PrivateKey
	header string
	secret [sha256.Size]byte // seals access tokens
}

func newSigner(key *rsa.PrivateKey) *signer {
	id := sha256.Sum256(key.N.Bytes())
	header, _ := json.Marshal(map[string]string{"typ": "JWT", "alg": "RS256", "kid": base64.RawURLEncoding.EncodeToString(id[:])})
	return &signer{
		key:    key,
		header: base64.RawURLEncoding.EncodeToString(header),
		secret: sha256.Sum256(key.D.Bytes()),
	}
}

// sign encodes v as a JWT.
func (s *signer) sign(v any) (string, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	text := s.header + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// verify gives the claims of a token that this signer made and that lives.
func (s *signer) verify(token string, now time.Time) (claims, error) {
	var c claims
	text, signature, ok := cutLast(token)
	header, body, ok2 := strings.Cut(text, ".")
	if !ok || !ok2 || header != s.header {
		return c, errTokenForm
	}
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		return c, errTokenForm
	}
	sum := sha256.Sum256([]byte(text))
	if rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], sig) != nil {
		return c, errTokenSignature
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(raw, &c) != nil || c.TokenName != "id_token" {
		return c, errTokenForm
	}
	if now.Unix() >= c.Expires {
		return c, errTokenExpired
	}
	return c, nil
}

func cutLast(token string) (text, signature string, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return "", "", false
	}
	return token[:i], token[i+1:], true
}

// access is what an access token says inside; clients see sealed text.
type access struct {
	GCID    schema.GCID `json:"g"`
	Serial  uint64      `json:"n"`
	Scope   string      `json:"s"`
	Expires int64       `json:"e"`
}

// seal makes the opaque access token. It needs no memory, so a token outlives
// a restart of the simulator as it would one of the service.
func (s *signer) seal(a access) (string, error) {
	body, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("encode access token: %w", err)
	}
	m := hmac.New(sha256.New, s.secret[:])
	m.Write(body)
	return base64.RawURLEncoding.EncodeToString(append(m.Sum(nil), body...)), nil
}

// secretText gives 256 random bits as text.
func secretText() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(b)
}
