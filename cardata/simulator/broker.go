package simulator

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// The return codes of a refused CONNECT in MQTT 3.1.1.
const (
	refusedUnavailable  = 3
	refusedCredentials  = 4
	refusedUnauthorised = 5
)

var errRefused = errors.New("connection refused")

// broker is the stream surface (CarData API, sections "MQTT stream" and
// "Simulator specification") as rules on top of mochi's server: mochi speaks
// the protocol with each client, the rules decide who may connect and hear
// what. Nothing is ever published through mochi, whose per-client queue drops
// in silence when it is full: the feed writes to the sockets.
type broker struct {
	mqtt.HookBase
	s      *Simulator
	server *mqtt.Server
	addr   string
	number atomic.Uint64 // of the last session
	served bool

	mu       sync.Mutex // guards all below
	attempts map[string]*attempts
	refusals []byte // codes for the next connections
	chance   *rand.Rand
}

// attempts are one address's connections within the last minute.
type attempts struct {
	at      []time.Time
	blocked time.Time // until then
}

func newBroker(s *Simulator) *broker {
	return &broker{s: s, attempts: make(map[string]*attempts), chance: rand.New(rand.NewPCG(s.cfg.Seed, 9))}
}

// start serves on tcp.
func (b *broker) start(tcp *net.TCPListener, cert tls.Certificate) error {
	limits := mqtt.NewDefaultServerCapabilities()
	limits.MaximumSessionExpiryInterval = 0
	limits.MaximumPacketSize = 64 << 10
	limits.MinimumProtocolVersion = 4
	limits.RetainAvailable = 0
	limits.SharedSubAvailable = 0
	b.server = mqtt.New(&mqtt.Options{
		Capabilities: limits,
		// mochi logs whole packets, passwords included.
		Logger: slog.New(slog.DiscardHandler),
		// Its $SYS topics stop the world to count memory, and nobody may read them.
		SysTopicResendInterval: int64((365 * 24 * time.Hour).Seconds()),
	})
	if err := b.server.AddHook(b, nil); err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	l := newListener(tcp, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}, b.s.cfg.greeting)
	if err := b.server.AddListener(l); err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	b.addr = l.Address()
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	b.served = true
	return nil
}

func (b *broker) close() {
	if b.served {
		_ = b.server.Close()
	}
}

// ID names the hook to mochi.
func (*broker) ID() string { return "cardata" }

// Provides tells mochi which events to bring.
func (*broker) Provides(event byte) bool {
	return bytes.IndexByte([]byte{
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPacketRead, mqtt.OnPacketSent,
		mqtt.OnSubscribed, mqtt.OnUnsubscribed,
	}, event) >= 0
}

// OnConnect judges a CONNECT; everything about acceptance is decided here.
func (b *broker) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	sock, ok := cl.Net.Conn.(*socket)
	if !ok {
		return fmt.Errorf("BUG: connection of type %T", cl.Net.Conn)
	}
	b.s.Stats.Connects.Add(1)
	v5 := cl.Properties.ProtocolVersion == 5
	s, code := b.admit(sock, string(pk.Connect.Username), string(pk.Connect.Password))
	if code != 0 {
		b.s.Stats.Refused.Add(1)
		if v5 {
			code = codeV5(code)
		}
		_ = cl.WritePacket(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, ReasonCode: code})
		return errRefused
	}
	s.client, s.v5 = cl, v5
	// Client ids are the clients' own business: two accounts may well use the
	// same. To mochi every connection is a client of its own, with a clean
	// session and without a will.
	cl.ID = fmt.Sprintf("%s%d", s.account.prefix, s.number)
	cl.Properties.Clean = true
	cl.Properties.Will = mqtt.Will{}
	sock.session.Store(s)
	_ = sock.SetWriteDeadline(time.Time{}) // the greeting is over
	old, taken := s.account.take(s, b.s.faults.get().RefuseNewer)
	if !taken {
		sock.session.Store(nil)
		b.s.Stats.Refused.Add(1)
		code = refusedUnauthorised
		if v5 {
			code = codeV5(code)
		}
		_ = cl.WritePacket(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, ReasonCode: code})
		return errRefused
	}
	if old != nil {
		b.s.Stats.Evicted.Add(1)
		old.end(packets.ErrSessionTakenOver)
	}
	b.s.log.Info("mqtt client connected", "gcid", s.account.GCID, "conn", s.number, "v5", v5)
	return nil
}

// take makes s the account's one session and gives the one before it. With
// refuse an existing session stays.
func (a *account) take(s *session, refuse bool) (old *session, taken bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old = a.session
	if old != nil && refuse {
		return nil, false
	}
	a.session = s
	a.feed.page.opened(s.number)
	return old, true
}

// admit gives a session, or the MQTT 3.1.1 code of the refusal.
func (b *broker) admit(sock *socket, user, password string) (*session, byte) {
	host, _, _ := net.SplitHostPort(sock.RemoteAddr().String())
	now := time.Now()
	if b.throttled(host, now) {
		b.s.Stats.Throttled.Add(1)
		return nil, refusedUnavailable
	}
	if code := b.ordered(); code != 0 {
		return nil, code
	}
	c, err := b.s.signer.verify(password, now)
	a := b.s.byGCID[user]
	if err != nil || a == nil || c.Subject != user || len(c.DynamicScopes) == 0 || c.Serial <= b.s.store.get(a.GCID).Revoked {
		return nil, refusedUnauthorised
	}
	f := b.s.faults.get()
	a.mu.Lock()
	soon := !a.gone.IsZero() && now.Sub(a.gone) < f.reconnectWindow()
	a.mu.Unlock()
	if soon && b.unlucky(f.reconnectRefusal()) {
		return nil, refusedUnauthorised
	}
	return &session{
		number: b.number.Add(1), account: a, socket: sock, serial: c.Serial,
		expires: time.Unix(c.Expires, 0), filters: make(map[string]struct{}), acked: make(chan struct{}),
	}, 0
}

// throttled applies the connection-rate rule.
func (b *broker) throttled(host string, now time.Time) bool {
	limit := b.s.cfg.ConnectsPerMinute
	if limit < 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.attempts[host]
	if a == nil {
		a = new(attempts)
		b.attempts[host] = a
	}
	if now.Before(a.blocked) {
		return true
	}
	for len(a.at) > 0 && now.Sub(a.at[0]) > time.Minute {
		a.at = a.at[1:]
	}
	a.at = append(a.at, now)
	if len(a.at) <= limit {
		return false
	}
	a.at, a.blocked = nil, now.Add(time.Minute)
	return true
}

// ordered gives the refusal asked for by RefuseMQTT, 0 when there is none.
func (b *broker) ordered() byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.refusals) == 0 {
		return 0
	}
	code := b.refusals[0]
	b.refusals = b.refusals[1:]
	return code
}

func (b *broker) unlucky(p float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.chance.Float64() < p
}

// codeV5 translates a return code of 3.1.1; others stay.
func codeV5(code byte) byte {
	switch code {
	case refusedUnavailable:
		return packets.ErrQuotaExceeded.Code
	case refusedCredentials:
		return packets.ErrBadUsernameOrPassword.Code
	case refusedUnauthorised:
		return packets.ErrNotAuthorized.Code
	default:
		return code
	}
}

// OnConnectAuthenticate lets in what OnConnect has let in.
func (*broker) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnACLCheck answers for subscriptions; nobody publishes.
func (b *broker) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	s := sessionOf(cl)
	return s != nil && !write && s.account.judge(topic, b.s.faults.get().Unselected) == granted
}

// OnPacketRead ends the connection of a client that publishes. A CONNECT with
// an empty name or password is given something to refuse: mochi would answer it
// with a code that MQTT 3.1.1 does not have.
func (b *broker) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Connect {
		if pk.Connect.UsernameFlag && len(pk.Connect.Username) == 0 {
			pk.Connect.Username = []byte("-")
		}
		if pk.Connect.PasswordFlag && len(pk.Connect.Password) == 0 {
			pk.Connect.Password = []byte("-")
		}
		return pk, nil
	}
	s := sessionOf(cl)
	if s == nil || pk.FixedHeader.Type != packets.Publish {
		return pk, nil
	}
	b.s.Stats.Publishes.Add(1)
	s.end(packets.ErrNotAuthorized)
	return pk, packets.ErrRejectPacket
}

// OnSubscribed runs before the SUBACK is sent and still decides its codes.
func (b *broker) OnSubscribed(cl *mqtt.Client, pk packets.Packet, codes []byte) {
	s := sessionOf(cl)
	if s == nil {
		return
	}
	unsel := b.s.faults.get().Unselected
	for i, f := range pk.Filters {
		v := s.account.judge(f.Filter, unsel)
		codes[i] = v.code(s.v5)
		s.closing = s.closing || v == bareVIN
		if v == granted {
			s.filters[f.Filter] = struct{}{}
		} else {
			b.s.Stats.SubscribeRefused.Add(1)
		}
	}
	if !s.closing {
		s.listen()
	}
}

// OnPacketSent lets the feed write once the SUBACK is out, or closes after a
// subscription that costs the connection.
func (*broker) OnPacketSent(cl *mqtt.Client, pk packets.Packet, _ []byte) {
	s := sessionOf(cl)
	if s == nil || pk.FixedHeader.Type != packets.Suback {
		return
	}
	if s.closing {
		s.end(packets.ErrNotAuthorized)
		return
	}
	s.acknowledged()
}

// OnUnsubscribed narrows what a session hears.
func (*broker) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	s := sessionOf(cl)
	if s == nil || cl.Closed() {
		return // mochi's own tidying after the end
	}
	for _, f := range pk.Filters {
		delete(s.filters, f.Filter)
	}
	s.listen()
}

func sessionOf(cl *mqtt.Client) *session {
	if sock, ok := cl.Net.Conn.(*socket); ok {
		return sock.session.Load()
	}
	return nil
}

// expire ends every session whose token has run out.
func (b *broker) expire(now time.Time) {
	if b.s.faults.get().KeepExpired {
		return
	}
	for _, a := range b.s.accounts {
		s := a.current()
		if s == nil || now.Before(s.expires) {
			continue
		}
		b.s.Stats.Expired.Add(1)
		s.end(packets.ErrNotAuthorized)
	}
}
