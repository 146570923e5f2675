package rest

import (
	"strconv"
	"strings"
	"time"
)

// Kind says what a refusal or failure asks for. The zero Kind is KindTransient,
// so that what is not classified is tried again rather than given up.
type Kind int

// The kinds of an Error.
const (
	KindTransient      Kind = iota // network, timeout, maintenance: the same call may pass later, after Error.After
	KindAuth                       // the tokens are refused, renewed ones too: a person logs in
	KindScope                      // the tokens lack the API scope: portal, then a new login
	KindVehicle                    // the car is not this account's, not PRIMARY, or cannot do it: leave it out
	KindContainerGone              // the container is unknown: forget its id, list or create again
	KindContainerLimit             // ten containers exist: delete own old ones
	KindUnknownKey                 // a descriptor of the container is unknown to BMW: check them against the catalogue
	KindTooManyKeys                // the container has too many descriptors, or ones this account may not have
	KindRange                      // the time range is too long or otherwise refused: shorten it
	KindPageExpired                // the page token lived too long: start paging again
	KindNoData                     // there is none for this car: remember it
	KindQuota                      // the day's calls are spent: wait until Error.After is over, or 00:00 UTC
	KindServer                     // a fault of BMW's: a few tries, then skip it, it can be lasting
	KindBug                        // the request was malformed: a fault of this program
	KindProtocol                   // the answer cannot be understood
)

// String gives the kind in snake_case, fit for a metric label.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kinds()) {
		return "kind_" + strconv.Itoa(int(k))
	}
	return kinds()[k]
}

func kinds() []string {
	return []string{
		"transient", "auth", "scope", "vehicle", "container_gone", "container_limit", "unknown_key", "too_many_keys",
		"range", "page_expired", "no_data", "quota", "server", "bug", "protocol",
	}
}

// Error is a call that did not give what was asked for.
type Error struct {
	Op        string        // what was tried, such as "list containers"
	Status    int           // HTTP status, 0 without an answer
	Code      string        // BMW's, such as "CU-429", or the gateway's; "" if none
	Kind      Kind          // what to do
	Reference string        // BMW's, for its support
	Message   string        // BMW's, cleaned for a terminal
	Note      string        // BMW's, cleaned for a terminal
	Remedy    string        // what a person should do next
	After     time.Duration // wait asked for by the server or until the quota's next day, 0 for none
	Err       error         // cause, for Unwrap
}

// Error gives operation, status, code, BMW's words, the cause and the remedy.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Status != 0 {
		b.WriteString(": status " + strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if words := strings.Join(nonEmpty(e.Message, e.Note), "; "); words != "" {
		b.WriteString(" (" + words + ")")
	}
	if e.Reference != "" {
		b.WriteString(", reference " + e.Reference)
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

func nonEmpty(texts ...string) []string {
	var kept []string
	for _, s := range texts {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}
