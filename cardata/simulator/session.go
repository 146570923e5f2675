package simulator

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// account is one account's side of the service while it runs.
type account struct {
	Account
	prefix string // of its topics: GCID and a slash
	feed   *feeder
	rotate sync.Mutex // held while a refresh token is judged and replaced

	mu         sync.Mutex // guards all below
	session    *session   // the one accepted connection, nil when there is none
	gone       time.Time  // when the last one ended
	containers map[schema.Descriptor]bool
	selection  map[schema.VIN]map[schema.Descriptor]bool // only cars whose selection is not everything
	memories   map[schema.VIN]*memory                    // of cars the Customer API was asked about
}

// session is one accepted MQTT connection.
type session struct {
	number  uint64
	account *account
	client  *mqtt.Client
	socket  *socket
	v5      bool
	expires time.Time // of its id token
	serial  uint64    // of its id token

	filters map[string]struct{} // what was granted; touched by the broker's reader alone
	closing bool                // the SUBACK being sent is the last packet; likewise
	heard   atomic.Pointer[hearing]
	ack     sync.Once
	acked   chan struct{} // closed once the first SUBACK is out, or the session over
}

// hearing is what a session's subscriptions cover. It is never changed.
type hearing struct {
	all  bool
	vins map[schema.VIN]struct{}
}

func (h *hearing) hears(v schema.VIN) bool {
	if h == nil {
		return false
	}
	_, one := h.vins[v]
	return h.all || one
}

// listening gives the account's session if it subscribes to anything.
func (a *account) listening() (*session, *hearing) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == nil {
		return nil, nil
	}
	h := a.session.heard.Load()
	if h == nil {
		return nil, nil
	}
	return a.session, h
}

// release forgets a session that has ended.
func (a *account) release(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = time.Now()
	a.feed.page.closed(s.number)
	if a.session == s {
		a.session = nil
	}
}

// current gives the account's session, nil when there is none.
func (a *account) current() *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.session
}

// verdict is what becomes of a subscription.
type verdict int

const (
	granted    verdict = iota
	foreign            // outside the account's topics
	unselected         // a car without a data selection, or not of this account
	bareVIN            // the portal's "topic" field taken for one
	malformed          // the broker's own refusal
)

// judge applies the service's rules to a filter (CarData API, sections
// "Topics" and "Simulator specification").
func (a *account) judge(filter string, unsel []schema.VIN) verdict {
	if _, err := schema.ParseVIN(filter); err == nil {
		return bareVIN
	}
	rest, ok := strings.CutPrefix(filter, a.prefix)
	if !ok || rest == "" {
		return foreign
	}
	if !mqtt.IsValidFilter(filter, false) {
		return malformed
	}
	name, _, _ := strings.Cut(rest, "/")
	if name == "+" || name == "#" {
		return granted
	}
	if _, own := a.Models[schema.VIN(name)]; !own || !a.selected(schema.VIN(name), unsel) {
		return unselected
	}
	return granted
}

// selected tells whether the car has a data selection in the portal.
func (a *account) selected(v schema.VIN, unsel []schema.VIN) bool {
	if slices.Contains(unsel, v) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	keys, limited := a.selection[v]
	return !limited || len(keys) > 0
}

// code is the verdict as SUBACK says it.
func (v verdict) code(v5 bool) byte {
	switch {
	case v == granted:
		return 0 // always QoS 0, whatever was asked for
	case v == unselected || !v5:
		return packets.ErrUnspecifiedError.Code
	case v == malformed:
		return packets.ErrTopicFilterInvalid.Code
	default:
		return packets.ErrNotAuthorized.Code
	}
}

// listen works out what the granted filters cover and makes it count.
func (s *session) listen() {
	h := &hearing{vins: make(map[schema.VIN]struct{})}
	for f := range s.filters {
		rest := strings.TrimPrefix(f, s.account.prefix)
		switch name, below, deep := strings.Cut(rest, "/"); {
		case name == "#", name == "+" && (!deep || below == "#"):
			h.all = true
		case !deep || below == "#":
			h.vins[schema.VIN(name)] = struct{}{}
		}
	}
	if !h.all && len(h.vins) == 0 {
		h = nil
	}
	s.heard.Store(h)
	s.account.feed.wake()
}

// acknowledged lets the feed write.
func (s *session) acknowledged() { s.ack.Do(func() { close(s.acked) }) }

// quiet takes the session from its account, so that no other batch begins, and
// waits for the one on its way. It returns with the socket's busy held.
func (s *session) quiet() {
	s.account.release(s) // before the client can see the end and come back
	s.acknowledged()
	_ = s.socket.SetWriteDeadline(time.Now().Add(farewell))
	s.socket.busy.Lock()
}

// end closes the session. MQTT 5 is told why; 3.1.1 has no packet for it.
func (s *session) end(code packets.Code) {
	s.quiet()
	if s.v5 {
		_ = s.client.WritePacket(packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Disconnect},
			ReasonCode:  code.Code,
			Properties:  packets.Properties{ReasonString: code.Reason},
		})
	}
	s.socket.busy.Unlock()
	s.client.Stop(code)
}
