package simulator

import (
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Faults says where the simulated service misbehaves, and how. The zero value
// is the service as it is on a good day, with the rules it always has. Counts
// mean "the next n times"; a negative count means every time. SetFaults
// replaces all of it at once and so re-arms the counts.
type Faults struct {
	// GatewayFault answers a poll after consent with 500 and the gateway's
	// fault body; the code is spent, its next poll says access_denied.
	GatewayFault int
	// DenyAfterConsent answers a poll after consent with access_denied.
	DenyAfterConsent int
	// DropRefreshAnswer rotates the refresh token and closes the connection
	// without an answer: the login is lost.
	DropRefreshAnswer int
	// ServerErrors answers any OAuth request with 500 and an HTML body.
	ServerErrors int
	// OmitGCID leaves the gcid out of refresh answers.
	OmitGCID bool
	// OmitIDToken leaves the id_token out of refresh answers.
	OmitIDToken bool
	// UsedTokenInvalidRequest answers a spent refresh token with
	// invalid_request in place of invalid_grant.
	UsedTokenInvalidRequest bool
	// CompleteURI adds verification_uri_complete, as the service did in 2025.
	CompleteURI bool
	// NoAPI and NoStream take a subscription from every client: tokens issued
	// from then on lack the scope (and dynamic_scopes).
	NoAPI, NoStream bool
	// TokenLife, when positive, overrides Config.TokenLife for new tokens.
	TokenLife time.Duration
	// ClockSkew is added to the Date header of every answer.
	ClockSkew time.Duration

	// RefuseNewer refuses a second connection of an account; by default the
	// older one is evicted.
	RefuseNewer bool
	// ReconnectRefusal is the probability, 0 to 1, that a connection sooner
	// than ReconnectWindow after the account's last one is refused although
	// the token is good. 0 means 0.3, negative means never.
	ReconnectRefusal float64
	// ReconnectWindow is what counts as too soon; 0 means 10 s.
	ReconnectWindow time.Duration
	// KeepExpired leaves connections open when their token expires.
	KeepExpired bool

	// Garble is the share of messages, 0 to 1, made unreadable: cut JSON and
	// invalid UTF-8 in turn.
	Garble float64
	// StreamByContainers streams the descriptors set by SetContainers in place
	// of the portal's selection.
	StreamByContainers bool
	// Unselected cars have no data selection in the portal: nothing of them
	// streams, and a subscription naming one of them is refused.
	Unselected []schema.VIN
}

func (f Faults) reconnectRefusal() float64 {
	if f.ReconnectRefusal == 0 {
		return 0.3
	}
	return max(0, f.ReconnectRefusal)
}

func (f Faults) reconnectWindow() time.Duration {
	if f.ReconnectWindow == 0 {
		return 10 * time.Second
	}
	return f.ReconnectWindow
}

// faultBox holds the faults in force. Safe for concurrent use.
type faultBox struct {
	mu sync.Mutex // guards f
	f  Faults
}

func (b *faultBox) set(f Faults) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.f = f
}

func (b *faultBox) get() Faults {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.f
}

// take uses up one of the counted faults that field picks, and tells whether
// there was one.
func (b *faultBox) take(field func(*Faults) *int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := field(&b.f)
	if *n > 0 {
		*n--
		return true
	}
	return *n < 0
}
