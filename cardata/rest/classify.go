package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

// subject is what a call is about: the same code asks for different things.
type subject int

const (
	aboutAccount subject = iota
	aboutVehicle
	aboutHistory
	aboutExtra // settings and image, which a car may not have
	aboutTelematic
	aboutContainer
	aboutCreate
)

const (
	remedyLogin = "log in again with `cardata login`; if the new tokens are refused too, check on the portal that the client still exists"
	remedyScope = "on the portal, tick the subscription \"CarData API\" for this client id, wait 30 to 120 seconds, then log in again " +
		"with `cardata login`: tokens from before never gain it"
	remedyVehicle   = "check on the portal that the car belongs to this account as PRIMARY and has a running contract; data of a SECONDARY car are not given out"
	remedyGone      = "the container was deleted elsewhere or belongs to another account: look at `cardata containers`, then use another or create it again"
	remedyLimit     = "an account has at most 10 containers: delete own ones that are no longer needed with `cardata containers`"
	remedyKey       = "compare the descriptors with the current catalogue and leave out those that BMW removed"
	remedyManyKeys  = "ask for fewer descriptors in one container; 50 are known to work"
	remedyRange     = "ask for a shorter time range, 30 days are safe"
	remedyPage      = "page tokens live for minutes: start the pages of this range again"
	remedyQuota     = "the account's 50 calls of this UTC day are spent, by whatever tool: wait for 00:00 UTC"
	remedyWait      = "check the network and try again later"
	remedyServer    = "a fault on BMW's side: try again later; if one history page fails for good, ask for shorter ranges around it"
	remedyBug       = "report this as a fault of the program, with the reference"
	remedyAnswer    = "check the base URL and any proxy in between; if both are right, the service changed its answers: report it"
	remedyCatchAll  = "a web page came in place of data, from a proxy, a captive portal or maintenance: open the address in a browser, try again later"
	remedyTokenWait = "the token was refused and cannot be renewed at the moment: try again in some minutes"
)

// words is every form of an error body: BMW's own, and those of the gateway
// before it (CarData API, section 3.1).
type words struct {
	code, reference, message, note string
	gateway                        bool // a fault body or a web page
}

// understand reads an error body. Nothing in it is needed.
func understand(body []byte) words {
	doc, err := document(body)
	if errors.Is(err, errHTML) {
		return words{gateway: true, message: "web page: " + title(body)}
	}
	if err != nil {
		// A torn body may still name the code.
		return words{code: findCode(body)}
	}
	n := new(notes)
	o, ok := newObject(doc, "", n)
	if !ok {
		return words{}
	}
	if f, ok := o.child("fault"); ok {
		detail, _ := f.child("detail")
		return words{gateway: true, code: clean(detail.text("errorcode")), message: clean(f.text("faultstring"))}
	}
	w := words{
		code:      strings.ToUpper(clean(o.text("exveErrorId"))),
		reference: clean(o.text("exveErrorRef")),
		message:   clean(o.text("exveErrorMsg")),
		note:      clean(o.text("exveNote")),
	}
	if w == (words{}) { // OAuth's and the usual frameworks' bodies
		w.code = clean(o.text("error"))
		w.message = clean(strings.Join(nonEmpty(o.text("error_description"), o.text("message")), "; "))
	}
	return w
}

func findCode(body []byte) string {
	_, rest, found := strings.Cut(string(body[:min(len(body), 4096)]), "CU-")
	if !found {
		return ""
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	if digits != 3 {
		return ""
	}
	return "CU-" + rest[:digits]
}

func title(body []byte) string {
	text := string(body[:min(len(body), 4096)])
	lower := strings.ToLower(text)
	start := strings.Index(lower, "<title>")
	end := strings.Index(lower, "</title>")
	// ToLower keeps the length of ASCII alone; beyond it there is no title to show.
	if start < 0 || end < start || len(lower) != len(text) {
		return "without a title"
	}
	return clean(text[start+len("<title>") : end])
}

// classify tells what an answer outside 2xx asks for: by BMW's code, then by its
// words, and by the status only where neither is there.
func classify(op string, about subject, status int, body []byte, after time.Duration) *Error {
	w := understand(body)
	e := &Error{
		Op: op, Status: status, Code: w.code, Reference: w.reference,
		Message: w.message, Note: w.note, After: after,
	}
	var known bool
	if e.Kind, known = byCode(w, about, status); !known {
		if e.Kind, known = byWords(w, status); !known {
			e.Kind = byStatus(w, about, status)
		}
	}
	e.Remedy = remedyFor(e.Kind, w)
	return e
}

func byCode(w words, about subject, status int) (kind Kind, known bool) {
	switch w.code {
	case "CU-100", "CU-120", "CU-121", "CU-400":
		return KindBug, true
	case "CU-101", "CU-102":
		return KindAuth, true
	case "CU-103":
		return KindScope, true
	case "CU-104":
		return KindVehicle, true
	case "CU-105", "CU-122":
		return KindContainerGone, true
	case "CU-124":
		return KindContainerLimit, true
	case "CU-125":
		return KindPageExpired, true
	case "CU-126":
		return KindNoData, true
	case "CU-127":
		return gateway127(w, about, status), true
	case "CU-401":
		if about == aboutHistory {
			return KindRange, true
		}
		return KindBug, true
	case "CU-402":
		return KindUnknownKey, true
	case "CU-403":
		if about == aboutCreate {
			return KindTooManyKeys, true
		}
		return KindScope, true
	case "CU-429":
		return KindQuota, true
	case "CU-500":
		return KindServer, true
	case "CU-503":
		return KindTransient, true
	default:
		return 0, false
	}
}

// gateway127 tells the two meanings of CU-127 apart: no settings for this car, and
// a stale token by the word of the gateway (CarData API, section 3.1).
func gateway127(w words, about subject, status int) Kind {
	switch {
	case about != aboutExtra, refusesToken(w), status == http.StatusUnauthorized,
		status == http.StatusForbidden && w.message == "":
		return KindAuth
	default:
		return KindNoData
	}
}

func refusesToken(w words) bool {
	text := strings.ToLower(w.message + " " + w.note)
	return strings.Contains(text, "invalid_token") || strings.Contains(text, "token is invalid") || strings.Contains(text, "token expired")
}

// byWords reads bodies without one of BMW's codes.
func byWords(w words, status int) (kind Kind, known bool) {
	code := strings.ToLower(w.code)
	switch {
	case w.gateway && status >= http.StatusInternalServerError:
		// Whatever it says: BMW's gateway blames the token for faults of its own
		// (CarData API, section 2.2).
		return KindTransient, true
	case strings.Contains(code, "insufficientscope"), strings.Contains(code, "insufficient_scope"):
		return KindScope, true
	case strings.Contains(code, "access_token"), strings.Contains(code, "accesstoken"), strings.Contains(code, "invalid_token"),
		(status == http.StatusUnauthorized || status == http.StatusForbidden) && refusesToken(w):
		return KindAuth, true
	case strings.Contains(code, "ratelimit"):
		// The gateway's own limit is not the account's quota.
		return KindTransient, true
	case !w.gateway && strings.Contains(strings.ToLower(w.message), "rate limit reached"):
		return KindQuota, true
	default:
		return 0, false
	}
}

// byStatus is for answers that say nothing else.
func byStatus(w words, about subject, status int) Kind {
	switch status {
	case http.StatusUnauthorized:
		return KindAuth
	case http.StatusForbidden: // bot protection, and waves of refusals that pass (CarData API, section 6)
		return KindTransient
	case http.StatusNotFound:
		return notFound(w, about)
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return KindTransient
	}
	switch {
	case status >= 500:
		return KindServer
	case status >= 400 && !w.gateway:
		return KindBug
	default:
		return KindProtocol
	}
}

func notFound(w words, about subject) Kind {
	switch {
	case w.gateway:
		return KindProtocol // the address is wrong
	case about == aboutContainer, about == aboutTelematic:
		return KindContainerGone
	case about == aboutExtra:
		return KindNoData
	default:
		return KindProtocol
	}
}

func remedyFor(kind Kind, w words) string {
	switch kind {
	case KindAuth:
		return remedyLogin
	case KindScope:
		return remedyScope
	case KindVehicle:
		return remedyVehicle
	case KindContainerGone:
		return remedyGone
	case KindContainerLimit:
		return remedyLimit
	case KindUnknownKey:
		return remedyKey
	case KindTooManyKeys:
		return remedyManyKeys
	case KindRange:
		return remedyRange
	case KindPageExpired:
		return remedyPage
	case KindNoData:
		return "this car has none, there is no need to ask again"
	case KindQuota:
		return remedyQuota
	case KindServer:
		return remedyServer
	case KindBug:
		return remedyBug
	case KindProtocol:
		return remedyAnswer
	default:
		if w.gateway && w.code == "" {
			return remedyCatchAll
		}
		return remedyWait
	}
}

// disguised finds an error body behind a status of 2xx.
func disguised(op string, about subject, status int, body []byte) *Error {
	if len(body) > maxErrorBytes {
		return nil
	}
	doc, err := document(body)
	if err != nil || form(doc) != "object" {
		return nil //nolint:nilerr // what this is instead is the caller's matter
	}
	o, _ := newObject(doc, "", new(notes))
	if !o.has("exveErrorId") && form(o.members["fault"]) != "object" {
		return nil
	}
	return classify(op, about, status, body, 0)
}

// unreadable is an answer of 2xx that is not what it should be.
func unreadable(op string, status int, cause error) *Error {
	e := &Error{Op: op, Status: status, Kind: KindProtocol, Remedy: remedyAnswer, Err: cause}
	switch {
	case errors.Is(cause, errHTML):
		e.Kind, e.Remedy = KindTransient, remedyCatchAll
	case errors.Is(cause, errCut), errors.Is(cause, errEmpty):
		e.Kind, e.Remedy = KindTransient, remedyWait
	}
	return e
}

// unanswered is a call without a whole answer.
func unanswered(op string, status int, cause error) *Error {
	e := &Error{Op: op, Status: status, Kind: KindTransient, Remedy: remedyWait, Err: cause}
	if errors.Is(cause, context.Canceled) {
		e.Remedy = ""
	}
	return e
}

// notBooked is a call that the budget did not let out.
func notBooked(op string, err error) *Error {
	if q, ok := errors.AsType[*QuotaError](err); ok {
		return &Error{Op: op, Kind: KindQuota, After: max(time.Until(q.Until), 0), Remedy: q.remedy(), Err: err}
	}
	return &Error{Op: op, Kind: KindTransient, Err: err}
}

// tokenError is a call without a token that can be used; refusal is BMW's, nil
// when the token was never sent.
func tokenError(op string, refusal *Error, err error) *Error {
	e := &Error{Op: op, Kind: KindTransient, Err: err}
	if refusal != nil {
		e.Status, e.Code, e.Reference, e.Message, e.Note = refusal.Status, refusal.Code, refusal.Reference, refusal.Message, refusal.Note
		e.After, e.Remedy = renewPause, remedyTokenWait
	}
	var login interface{ LoginNeeded() bool }
	if errors.As(err, &login) && login.LoginNeeded() {
		e.Kind, e.Remedy, e.After = KindAuth, remedyLogin, 0
	}
	return e
}
