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

	// Customer API. What misbehaves after the quota was looked at has been
	// counted on it, as with the real service.

	// RESTStrict answers as the OpenAPI document says, without the real
	// service's quirks: mappings is one object, deleted containers are not
	// listed, telematicData has no nulls, units of mileage are dotted,
	// basicData has the documented fields.
	RESTStrict bool
	// RESTGateway127 answers tokens that are no good with the gateway's 403
	// CU-127 invalid_token in place of 401.
	RESTGateway127 bool
	// RESTTokenRefused refuses good tokens as expired; not counted on the quota.
	RESTTokenRefused int
	// RESTHTML answers with HTML and status RESTHTMLStatus, 0 meaning 502.
	RESTHTML       int
	RESTHTMLStatus int
	// RESTFaultBody answers 500 with the gateway's fault body.
	RESTFaultBody int
	// RESTServerErrors answers 500 CU-500, RESTUnavailable 503 CU-503, with a
	// Retry-After when RetryAfter is positive.
	RESTServerErrors, RESTUnavailable int
	RetryAfter                        time.Duration
	// RESTDropped closes the connection without an answer.
	RESTDropped int
	// RESTCut answers with half a JSON text; RESTTruncated announces the whole,
	// sends half and closes the connection. Both concern good JSON answers.
	RESTCut, RESTTruncated int
	// RESTHugeBytes, when positive, makes every good answer one JSON text of so
	// many bytes.
	RESTHugeBytes int64
	// RESTWrongType gives the members of this name another type in every good
	// JSON answer; "*" means every scalar, "." the whole body.
	RESTWrongType string
	// RESTDelay holds every answer back.
	RESTDelay time.Duration
	// PageAlways500 answers this page of every chargingHistory, from 1, with
	// CU-500.
	PageAlways500 int
	// PageTokenLife is how long a page token is good; 0 means 10 min.
	PageTokenLife time.Duration
	// PageTokenRepeats answers a further page with the token that led to it,
	// so that paging never ends.
	PageTokenRepeats bool
	// PageSize is the number of elements of a page; 0 means 10.
	PageSize int
	// RollingQuota counts the calls of the last 24 hours, not of the UTC day.
	RollingQuota bool
	// Secondary cars are mapped as SECONDARY: listed, but every data call on
	// them fails with CU-104. So it does on NoTelematics cars, listed as
	// PRIMARY.
	Secondary, NoTelematics []schema.VIN
	// NoImage and NoSettings cars have none: CU-126 and CU-127.
	// UnregisteredTyres cars have tyres without data.
	NoImage, NoSettings, UnregisteredTyres []schema.VIN
	// CountDeleted counts deleted containers on the limit of ten.
	CountDeleted bool
	// MaxKeys is the number of keys that a container may have; 0 means 200.
	MaxKeys int
	// ContainerGone404 answers for an unknown container with 404, not 403.
	ContainerGone404 bool
	// ContainerCreated200 answers a creation with 200, not 201.
	ContainerCreated200 bool
	// SessionTimesISO writes the times of sessions as ISO text, SessionCosts
	// adds the costs that the service told in 2025.
	SessionTimesISO, SessionCosts bool
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
