package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// faultKind decides what happens after an attempt that led to no subscription.
type faultKind int

const (
	faultNetwork   faultKind = iota // DNS, dial, timeout, reset: nothing to do with the account
	faultTLS                        // certificate or version: the same tomorrow
	faultProtocol                   // the other side is no MQTT 3.1.1 service
	faultRefused                    // CONNACK 4 or 5
	faultThrottled                  // CONNACK 3
	faultVersion                    // CONNACK 1 or 2: this client is not welcome at all
	faultSubscribe                  // subscription refused
	faultDropped                    // connection closed, or nothing said, instead of a SUBACK
	faultToken                      // no token for now
	faultLogin                      // no token until a person logs in
)

// faultError is why an attempt failed.
type faultError struct {
	kind faultKind
	op   string
	err  error
}

func (f *faultError) Error() string { return fmt.Sprintf("%s: %v", f.op, f.err) }
func (f *faultError) Unwrap() error { return f.err }

// The remedies tell a person what to do; they name the portal steps of the
// CarData API, section "Portal steps".
const (
	remedyTLS = "check the stream address, the CA and that nothing in between ends TLS; " +
		"the service speaks TLS 1.3 only"
	remedyProtocol  = "check the stream address: what answers there is not the CarData stream"
	remedyRefused   = "if this lasts: in the portal tick the stream subscription of the CarData client, then log in again"
	remedySubscribe = "in the portal tick the stream subscription of the CarData client and save a data selection " +
		"for each car; after changing the subscription log in again"
	remedyLogin   = "log in again with: cardata login"
	remedyEvicted = "another client uses this account; the service allows one: stop the other, or feed it from here"
)

// ladders count the failures in a row, each kind on its own: a night without
// network must not make the first refusal wait ten minutes, nor the reverse.
type ladders struct{ network, protocol, refused, subscribe, evicted int }

// The waits. All but throttling are upper bounds of a jittered wait.
const (
	waitLogin      = 30 * time.Second
	waitThrottled  = time.Minute
	waitMistake    = 5 * time.Minute
	waitMistakeCap = 30 * time.Minute
	renewEvery     = 3 * time.Minute
)

// plan is what to do next: how to show it, how long to wait, and what is
// already prepared for the next attempt.
type plan struct {
	state  State
	wait   time.Duration
	err    error
	remedy string

	next   *password // already fetched; nil to ask for one
	booked bool      // the pacer's turn is already ours
}

// afterFault gives the plan for an attempt that failed with f.
func (l *ladders) afterFault(f *faultError, gap time.Duration) plan {
	p := plan{state: StateWaiting, err: f}
	switch f.kind {
	case faultNetwork, faultToken:
		p.wait = climb(&l.network, time.Second, time.Minute)
	case faultProtocol:
		p.remedy = remedyProtocol
		p.wait = gap + climb(&l.protocol, 10*time.Second, 10*time.Minute)
	case faultRefused:
		p.remedy = remedyRefused
		p.wait = gap + climb(&l.refused, 10*time.Second, 10*time.Minute)
	case faultThrottled:
		// The window is a minute; jitter so that accounts do not return at once.
		p.wait = waitThrottled + backoff.Policy{Base: 10 * time.Second, Cap: 10 * time.Second}.Delay(0)
	case faultTLS:
		p.state, p.remedy, p.wait = StateMisconfigured, remedyTLS, waitMistake
	case faultVersion:
		p.state, p.remedy, p.wait = StateMisconfigured, remedyProtocol, waitMistake
	case faultSubscribe:
		p.state, p.remedy = StateMisconfigured, remedySubscribe
		p.wait = min(waitMistake<<min(l.subscribe, 8), waitMistakeCap)
		l.subscribe++
	case faultDropped:
		// The service closes on a subscription it does not like, but a restart
		// over there or a rival can hit this moment too: try once more soon.
		p.state, p.remedy = StateMisconfigured, remedySubscribe
		p.wait = gap
		if l.subscribe > 0 {
			p.wait = min(waitMistake<<min(l.subscribe-1, 8), waitMistakeCap)
		}
		l.subscribe++
	case faultLogin:
		p.state, p.remedy, p.wait = StateLoginNeeded, remedyLogin, waitLogin
	}
	return p
}

func climb(rung *int, base, limit time.Duration) time.Duration {
	d := backoff.Policy{Base: base, Cap: limit}.Delay(*rung)
	*rung++
	return d
}

// loss is how a subscribed connection ended.
type loss struct {
	cause  schema.GapCause
	err    error
	next   *password // token_change: what to connect with
	booked bool
}

// ended is what lossCause needs to know of the connection that ended and of the
// one before.
type ended struct {
	at           time.Time
	subscribed   time.Time
	expires      time.Time
	closedByPeer bool
	previous     time.Time // when the peer last closed an earlier connection; zero if never
	previousLast bool      // the connection just before this one ended like that
}

// Limits of lossCause.
const (
	expiryMargin = 5 * time.Second // clocks differ; closing at the token's end is never exact
	evictSession = 2 * time.Minute
	evictRepeat  = 10 * time.Minute
)

// lossCause infers why the connection ended on its own, since MQTT 3.1.1 gives
// no reason: the service just closes (CarData API, section "Connection rules").
//
// At or after the token's end it is the token. A close in order within the
// token's life may be a restart over there or another client of the account
// that took over. Once proves nothing; two clients that both reconnect, though,
// throw each other out again and again, within seconds. So a second orderly
// close counts as an eviction if it comes within 10 minutes of the one before,
// or within 2 minutes of subscribing when the connection before ended the same
// way (back-off may by then have stretched the time between). All else, such
// as a reset, a timeout or a missing ping answer, is the network. A service
// that restarts twice in ten minutes is thus taken for a rival; the price is a
// longer wait and a misleading line in the log.
func lossCause(e ended) schema.GapCause {
	if !e.at.Before(e.expires.Add(-expiryMargin)) {
		return schema.GapTokenExpired
	}
	if !e.closedByPeer || e.previous.IsZero() {
		return schema.GapConnection
	}
	if e.at.Sub(e.previous) < evictRepeat || e.previousLast && e.at.Sub(e.subscribed) < evictSession {
		return schema.GapEvicted
	}
	return schema.GapConnection
}

// handshakeFault tells a broken network from a TLS fault, which no repetition
// cures.
func handshakeFault(err error) *faultError {
	f := &faultError{kind: faultNetwork, op: "TLS handshake", err: err}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		f.kind = faultTLS // an alert, which crypto/tls dresses as a network error
		return f
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		f.kind = faultTLS
		return f
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		f.kind = faultTLS
		return f
	}
	_, isNet := errors.AsType[net.Error](err)
	if !isNet && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrClosedPipe) {
		f.kind = faultTLS // version not supported, record header of another protocol, …
	}
	return f
}

// tokenFault tells a missing login from a passing trouble.
func tokenFault(op string, err error) *faultError {
	f := &faultError{kind: faultToken, op: op, err: err}
	type loginNeeded interface {
		error
		LoginNeeded() bool
	}
	if e, ok := errors.AsType[loginNeeded](err); ok && e.LoginNeeded() {
		f.kind = faultLogin
	}
	return f
}
