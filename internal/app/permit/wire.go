package permit

import (
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
)

// Paths of the endpoint.
const (
	pathPermits   = "/internal/v1/permits"
	pathAccounts  = "/internal/v1/accounts"
	pathRenew     = "/internal/v1/renew"
	pathExhausted = "/internal/v1/exhausted"
	pathQuota     = "/internal/v1/quota"
)

// permitRequest asks for an access token and for calls to be booked; 0 calls
// asks for the token alone.
type permitRequest struct {
	GCID           string `json:"gcid"`
	Calls          int    `json:"calls"`
	Use            string `json:"use"` // scheduled or owner
	MinLifeSeconds int    `json:"min_life_seconds,omitempty"`
}

type permitAnswer struct {
	AccessToken string    `json:"access_token"`
	Expires     time.Time `json:"expires"`
	Calls       int       `json:"calls"`
}

type accountsAnswer struct {
	Accounts []accountEntry `json:"accounts"`
	Trouble  string         `json:"trouble,omitempty"` // of accounts that are left out
}

type accountEntry struct {
	GCID  string `json:"gcid"`
	Label string `json:"label"`
}

type renewRequest struct {
	GCID     string `json:"gcid"`
	Rejected string `json:"rejected"`
}

type accountRequest struct {
	GCID string `json:"gcid"`
}

// refusal is the body of every answer that is not 2xx.
type refusal struct {
	Code   string        `json:"code"`
	Text   string        `json:"text"`
	Remedy string        `json:"remedy,omitempty"`
	Quota  *quotaRefusal `json:"quota,omitempty"`
}

type quotaRefusal struct {
	Use     string    `json:"use"`
	Spent   int       `json:"spent"`
	Limit   int       `json:"limit"`
	Reserve int       `json:"reserve"`
	Until   time.Time `json:"until"`
	Latched bool      `json:"latched"`
}

// The codes of a refusal.
const (
	codeSecret      = "secret"
	codeRequest     = "bad_request"
	codeUnknown     = "unknown_account"
	codeQuota       = "quota"
	codeLogin       = "login_needed"
	codeRenewSoon   = "renew_too_soon"
	codeUnavailable = "unavailable"
)

// useOf reads what rest.Use writes; nothing means scheduled.
func useOf(word string) (rest.Use, bool) {
	switch word {
	case rest.UseScheduled.String(), "":
		return rest.UseScheduled, true
	case rest.UseOwner.String():
		return rest.UseOwner, true
	default:
		return rest.UseScheduled, false
	}
}
