package stream

import (
	"sync/atomic"
	"time"
)

// State is what a connection is doing.
type State string

// The states of a connection.
const (
	StateIdle          State = "idle"          // Run has not begun, or has ended
	StateConnecting    State = "connecting"    // getting a token, a turn, a connection
	StateSubscribed    State = "subscribed"    // covered
	StateWaiting       State = "waiting"       // will try again by itself, see NextTry
	StateLoginNeeded   State = "login_needed"  // a person must log in; looked for every 30 s
	StateMisconfigured State = "misconfigured" // a person must act; tried again slowly
)

// Status is one look at a connection.
type Status struct {
	State        State
	Since        time.Time // when State began
	LastInbound  time.Time // last read off the socket, ping answers included; zero before the first
	LastMessage  time.Time // last message; zero before the first
	TokenExpires time.Time // of the token last connected with
	Err          string    // what went wrong last; while subscribed only that the next token cannot be had
	Remedy       string    // what a person can do about Err; empty when nothing
	NextTry      time.Time // when the next attempt is due; zero while connecting or subscribed
	Connects     int64     // subscriptions granted so far
}

// Stats counts the events of one or many connections. All fields may be read
// at any time; they only grow.
type Stats struct {
	ConnectAttempts       atomic.Int64 // connections begun, after token and pacing
	Connects              atomic.Int64 // connections that reached a granted subscription
	RefusedProtocol       atomic.Int64 // CONNACK 1: protocol version
	RefusedClientID       atomic.Int64 // CONNACK 2: client id
	RefusedThrottled      atomic.Int64 // CONNACK 3: unavailable, which is how throttling shows
	RefusedCredentials    atomic.Int64 // CONNACK 4: user name or password
	RefusedNotAuthorized  atomic.Int64 // CONNACK 5: not authorized
	NetworkFaults         atomic.Int64 // attempts that ended in DNS, dial, timeout or reset
	TLSFaults             atomic.Int64 // attempts that ended in a certificate or version fault
	ProtocolFaults        atomic.Int64 // packets that no MQTT 3.1.1 server may send
	SubscribeFaults       atomic.Int64 // subscriptions refused, or dropped instead of answered
	TokenFaults           atomic.Int64 // tokens that could not be had
	TokenRenewals         atomic.Int64 // renewals forced because the service refused a token
	TokenChanges          atomic.Int64 // planned token changes
	LossesTokenChange     atomic.Int64 // coverage ended by a planned token change
	LossesShutdown        atomic.Int64 // … by an orderly stop
	LossesConnection      atomic.Int64 // … by network or broker
	LossesEvicted         atomic.Int64 // … by another client of the account, as far as can be told
	LossesTokenExpired    atomic.Int64 // … by the token's end
	ReceivedMessages      atomic.Int64 // messages handed to the Handler
	ReceivedPayloadBytes  atomic.Int64 // their payload bytes
	DroppedEarlyMessages  atomic.Int64 // sent before the subscription was granted, beyond what is held back
	DisconnectsIncomplete atomic.Int64 // orderly disconnects cut off by their deadline
}
