package simulator

import (
	"maps"
	"slices"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Progress is how far one account's feed is.
type Progress struct {
	GCID        schema.GCID
	HistoryDone bool      // the past is fed; what is unheard from now on is gone
	FedUntil    time.Time // real time of the last message taken from the cars, zero before the first
	Subscribed  bool      // somebody listens now
	Counts      Counts
}

// Progress tells how far each account's feed is, in the accounts' order.
func (s *Simulator) Progress() []Progress {
	all := make([]Progress, len(s.accounts))
	for i, a := range s.accounts {
		session, _ := a.listening()
		all[i] = a.feed.state.progress()
		all[i].GCID = a.GCID
		all[i].Subscribed = session != nil
		all[i].Counts = s.ledger.Counts(a.GCID)
	}
	return all
}

func (f *feedState) progress() Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := Progress{HistoryDone: f.live}
	if !f.until.IsZero() {
		p.FedUntil = f.clock.real(f.until)
	}
	return p
}

// HistoryDone is closed when every account's past is fed.
func (s *Simulator) HistoryDone() <-chan struct{} { return s.history }

// Pause holds the feed: when it returns, nothing is being handed over. What
// falls due meanwhile is late, not lost. Inject still works.
func (s *Simulator) Pause() { s.gate.shut() }

// Resume lets the feed go on.
func (s *Simulator) Resume() { s.gate.open() }

// SetFaults replaces the faults in force.
func (s *Simulator) SetFaults(f Faults) {
	for _, list := range []*[]schema.VIN{&f.Unselected, &f.Secondary, &f.NoTelematics, &f.NoImage, &f.NoSettings, &f.UnregisteredTyres} {
		*list = slices.Clone(*list)
	}
	s.faults.set(f)
}

// Approve decides about a user code as a person at the verification page
// would. The error is ErrUnknownCode.
func (s *Simulator) Approve(userCode string, ok bool) error {
	if err := s.oauth.decide(userCode, ok); err != nil {
		return err
	}
	s.log.Info("device code decided", "approved", ok)
	return nil
}

// Inject hands bytes to the subscriber of the account as a message of vin, and
// books the entries given as what they mean: with Unreadable set when they must
// end in the dead letters, or with the truth expected. An entry without VIN
// gets vin; Handed and Conn are filled in. The error is ErrNotSubscribed when
// nobody would hear it.
func (s *Simulator) Inject(gcid schema.GCID, vin schema.VIN, payload []byte, entries ...Entry) error {
	a := s.byGCID[string(gcid)]
	if a == nil {
		return ErrNotSubscribed
	}
	return a.feed.inject(vin, payload, slices.Clone(entries))
}

// Evict ends the account's session as another client's login would.
func (s *Simulator) Evict(gcid schema.GCID) {
	if c := s.sessionOf(gcid); c != nil {
		s.Stats.Evicted.Add(1)
		c.end(packets.ErrSessionTakenOver)
	}
}

// DropConnections cuts the account's session as a broken network would: with a
// reset and no word.
func (s *Simulator) DropConnections(gcid schema.GCID) {
	if c := s.sessionOf(gcid); c != nil {
		c.socket.reset()
		c.client.Stop(packets.ErrUnspecifiedError)
	}
}

// ExpireTokens voids the access and id tokens issued so far and ends the
// session that lives on one. The refresh token stays good.
func (s *Simulator) ExpireTokens(gcid schema.GCID) {
	s.store.update(gcid, func(v *saved) { v.Revoked = v.Serial })
	if c := s.sessionOf(gcid); c != nil {
		s.Stats.Expired.Add(1)
		c.end(packets.ErrNotAuthorized)
	}
}

// RevokeRefresh voids the refresh token: the account needs a new login once its
// tokens have run out.
func (s *Simulator) RevokeRefresh(gcid schema.GCID) {
	s.store.update(gcid, func(v *saved) { v.RefreshToken = "" })
}

// RefuseMQTT refuses the next connections, of any account, with a return code
// of MQTT 3.1.1 (3, 4 or 5, translated for MQTT 5) or a reason code of MQTT 5.
func (s *Simulator) RefuseMQTT(code byte, times int) {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	s.broker.refusals = append(s.broker.refusals, slices.Repeat([]byte{code}, max(0, times))...)
}

// Select sets the portal's data selection of a car: nil is everything, as at
// the start; an empty list is none saved.
func (s *Simulator) Select(gcid schema.GCID, vin schema.VIN, keys []schema.Descriptor) {
	a := s.byGCID[string(gcid)]
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	chosen := make(map[schema.VIN]map[schema.Descriptor]bool, len(a.selection)+1)
	maps.Copy(chosen, a.selection) // the feed reads the old one without the lock
	if delete(chosen, vin); keys != nil {
		chosen[vin] = setOf(keys)
	}
	a.selection = chosen
}

// SetContainers sets the descriptors of the account's containers, which matter
// for the stream under Faults.StreamByContainers alone.
func (s *Simulator) SetContainers(gcid schema.GCID, keys []schema.Descriptor) {
	if a := s.byGCID[string(gcid)]; a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.containers = setOf(keys)
	}
}

func setOf(keys []schema.Descriptor) map[schema.Descriptor]bool {
	set := make(map[schema.Descriptor]bool, len(keys))
	for _, k := range keys {
		set[k] = true
	}
	return set
}

func (s *Simulator) sessionOf(gcid schema.GCID) *session {
	if a := s.byGCID[string(gcid)]; a != nil {
		return a.current()
	}
	return nil
}

// choice is what of an account's messages streams at all, as of one moment.
type choice struct {
	unselected   []schema.VIN
	byContainers bool
	containers   map[schema.Descriptor]bool
	selection    map[schema.VIN]map[schema.Descriptor]bool
}

func (a *account) choice(f Faults) choice {
	a.mu.Lock()
	defer a.mu.Unlock()
	return choice{f.Unselected, f.StreamByContainers, a.containers, a.selection}
}

func (c *choice) streams(e *cars.Emission) bool {
	if slices.Contains(c.unselected, e.VIN) {
		return false
	}
	if c.byContainers {
		return c.containers[e.Descriptor]
	}
	keys, limited := c.selection[e.VIN]
	return !limited || keys[e.Descriptor]
}
