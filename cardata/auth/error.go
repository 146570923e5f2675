package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"
)

var (
	// ErrLoginNeeded reports that only a person can go on: the device flow has to be run again.
	ErrLoginNeeded = errors.New("login needed")
	// ErrScope reports that a CarData scope is not granted to the tokens.
	ErrScope = errors.New("scope not granted")
	// ErrAPIScope reports that the REST API is not open to the tokens.
	ErrAPIScope = errors.New("no permission for the REST API")
	// ErrStreamScope reports that the stream is not open to the tokens.
	ErrStreamScope = errors.New("no permission for the stream")
	// ErrIncomplete reports a token answer without all tokens. The set that comes
	// with it holds the rotated refresh token and has to be saved.
	ErrIncomplete = errors.New("token answer is incomplete")
	// ErrRenewTooSoon reports a forced refresh less than three minutes after another.
	ErrRenewTooSoon = errors.New("last forced refresh is less than 3 minutes ago")
	// ErrNotSaved reports that tokens cannot be made durable, so that they are not used.
	ErrNotSaved = errors.New("tokens cannot be saved")
	// ErrOvertaken reports that another process saved tokens meanwhile, which are kept.
	ErrOvertaken = errors.New("another process saved tokens meanwhile")
	// ErrStoreMode reports a token file or directory that others may read or change.
	ErrStoreMode = errors.New("token store is open to others")
	// ErrStoreBroken reports a token file that cannot be understood.
	ErrStoreBroken = errors.New("token file is unreadable")
)

// Error is a refusal or failure of BMW's OAuth service, of the network on the
// way there, or of the token store, with what a person should do next.
type Error struct {
	Op          string        // what was tried, such as "refresh"
	Code        string        // OAuth error, fault code, or own word such as "network"
	Description string        // the service's text, cleaned for a terminal
	Status      int           // HTTP status, 0 without an answer
	Remedy      string        // what a person should do next
	Transient   bool          // the same request may pass later without a person
	After       time.Duration // wait asked for by the server, 0 for none
	Err         error         // cause or sentinel, for Unwrap
}

// Error gives operation, status, code, the service's words and the remedy.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Status != 0 {
		b.WriteString(": status " + strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if e.Description != "" {
		b.WriteString(" (" + e.Description + ")")
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// LoginNeeded tells whether only a new login helps.
func (e *Error) LoginNeeded() bool { return errors.Is(e.Err, ErrLoginNeeded) }

// The codes of the token endpoint (CarData API, section 2.2) and our own words
// for what has no code there.
const (
	codeDenied         = "access_denied"
	codeExpired        = "expired_token"
	codeInvalidClient  = "invalid_client"
	codeInvalidRequest = "invalid_request"
	codeInvalidToken   = "invalid_token"
	codeInvalidGrant   = "invalid_grant"
	codeInvalidScope   = "invalid_scope"
	codeSlowDown       = "slow_down"
	codeNetwork        = "network"
	codeTimeout        = "timeout"
	codeAnswer         = "unreadable_answer"
	codeStatus         = "unexpected_status"
)

const (
	opCode    = "ask for a device code"
	opPoll    = "poll for tokens"
	opRefresh = "refresh tokens"
	opSave    = "save tokens"
	opLoad    = "load tokens"
	opCheck   = "check granted scopes"
	opConfig  = "configure login"
)

const (
	remedyLogin    = "run `cardata login` for this account"
	remedyClientID = "compare the client id with the one on the portal (BMW CarData, step \"create CarData client\"); " +
		"a client created just now needs a few minutes"
	remedyDenied = "run `cardata login` again and confirm; if you did confirm, switch off ad blockers for BMW's page, " +
		"and if it happens again delete the CarData client on the portal, create a new one and log in with its client id"
	remedyFault = "this is a fault on BMW's side and the code is spent: run `cardata login` again in some minutes; " +
		"if it stays, delete the CarData client on the portal, create a new one and log in with its client id, " +
		"or write to bmwcardata-b2c-support@bmwgroup.com"
	remedyRequest = "on the portal, tick the subscription \"CarData API\" and, 30 to 120 seconds later, \"CarData Stream\" " +
		"for this client id, then run `cardata login` again"
	remedyWait = "check the network and try again later"
)

type fault struct {
	Fault *struct {
		String string `json:"faultstring"`
		Detail struct {
			Code string `json:"errorcode"`
		} `json:"detail"`
	} `json:"fault"`
}

// failure turns what oauth2 returned into an *Error; last is the answer that the
// recorder saw. The library's own text is left out: it repeats whole bodies.
func failure(ctx context.Context, op string, err error, last answer) *Error {
	if ctx.Err() != nil {
		return &Error{Op: op, Code: codeTimeout, Transient: true, Err: ctx.Err()}
	}
	refusal, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case ok:
		return refused(op, refusal, last)
	case last.status != 0:
		return &Error{Op: op, Code: codeAnswer, Status: last.status, Transient: true, Remedy: remedyWait}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Op: op, Code: codeTimeout, Transient: true, Remedy: remedyWait, Err: err}
	default:
		return &Error{Op: op, Code: codeNetwork, Transient: true, Remedy: remedyWait, Err: err}
	}
}

func refused(op string, r *oauth2.RetrieveError, last answer) *Error {
	e := &Error{
		Op: op, Code: clean(r.ErrorCode), Description: clean(r.ErrorDescription),
		Status: last.status, After: last.retryAfter,
	}
	var f fault
	if json.Unmarshal(r.Body, &f) == nil && f.Fault != nil {
		e.Code, e.Description = clean(f.Fault.Detail.Code), clean(f.Fault.String)
		// A fault says nothing about the refresh token, but it spends a device
		// code (CarData API, section 2.2).
		e.Transient = op != opPoll || e.Status != http.StatusInternalServerError
		e.Remedy = remedyWait
		if !e.Transient {
			e.Remedy = remedyFault
		}
		return e
	}
	switch {
	case e.Status >= 500, e.Status == http.StatusTooManyRequests, e.Status == http.StatusRequestTimeout:
		e.Transient, e.Remedy = true, remedyWait
	case e.Code == "" && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound || e.Status < 400):
		// Bot protection, a captive portal or maintenance in between: not the
		// word of the OAuth service, which gives an error code.
		e.Transient, e.Remedy = true, remedyWait
	default:
		e.Remedy = remedyFor(op, e.Code)
	}
	if e.Code == "" {
		e.Code = codeStatus
	}
	return e
}

func remedyFor(op, code string) string {
	switch code {
	case codeInvalidClient:
		return remedyClientID
	case codeDenied:
		return remedyDenied
	case codeInvalidRequest, codeInvalidToken, codeInvalidScope:
		if op == opCode {
			return remedyRequest
		}
		return remedyLogin
	default:
		return remedyLogin
	}
}

// clean makes foreign text fit for a log line and a terminal.
func clean(s string) string {
	const limit = 200
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
