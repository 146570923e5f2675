package simulator

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// never is the switch that takes chance out of quick reconnects.
func never() Faults { return Faults{ReconnectRefusal: -1} }

func TestTLSBelow13IsRefused(t *testing.T) {
	s := startTest(t, Config{})
	config := clientTLS(t, s)
	config.MaxVersion = tls.VersionTLS12
	if c, err := tls.Dial("tcp", s.MQTTAddr(), config); err == nil {
		c.Close()
		t.Fatal("a TLS 1.2 client was let in")
	}
}

func TestConnect(t *testing.T) {
	s := startTest(t, Config{Accounts: 2, Cars: 1, Faults: never()})
	good := idToken(t, s)
	forged := good[:len(good)-8] + "AAAAAAAA"
	other := tokenOf(t, s, s.accounts[1])
	s.SetFaults(Faults{ReconnectRefusal: -1, NoStream: true})
	scopeless := idToken(t, s)
	s.SetFaults(Faults{ReconnectRefusal: -1, TokenLife: time.Nanosecond})
	expired := idToken(t, s)
	s.SetFaults(never())
	for name, c := range map[string]struct {
		password string
		user     schema.GCID
		v3, v5   byte
	}{
		"good token":                         {good, "", 0, 0},
		"no password":                        {"", "", 5, 135},
		"not a token":                        {"secret", "", 5, 135},
		"forged signature":                   {forged, "", 5, 135},
		"token of another account":           {other, "", 5, 135},
		"token without stream subscription":  {scopeless, "", 5, 135},
		"expired token":                      {expired, "", 5, 135},
		"unknown user":                       {good, "00000000-0000-4000-8000-000000000001", 5, 135},
		"user of the token's form, not GCID": {good, "someone", 5, 135},
	} {
		t.Run(name, func(t *testing.T) {
			for version, want := range map[byte]byte{4: c.v3, 5: c.v5} {
				r := dialRaw(t, s, version)
				if c.user != "" {
					r.user = c.user
				}
				if code := r.connect(c.password); code != want {
					t.Errorf("CONNACK of version %d: %d, want %d", version, code, want)
				}
				if want != 0 {
					r.wantClosed()
				}
			}
		})
	}
}

func TestSubscribe(t *testing.T) {
	s := startTest(t, Config{Accounts: 2, Cars: 2, Faults: never()})
	a, other := s.Accounts()[0], s.Accounts()[1]
	g := string(a.GCID)
	f := never()
	f.Unselected = []schema.VIN{a.VINs[1]}
	s.SetFaults(f)
	token := idToken(t, s)
	for name, c := range map[string]struct {
		filter string
		v3, v5 byte
		closes bool
	}{
		"all cars":                  {g + "/+", 0, 0, false},
		"everything":                {g + "/#", 0, 0, false},
		"one car":                   {g + "/" + string(a.VINs[0]), 0, 0, false},
		"one car and below":         {g + "/" + string(a.VINs[0]) + "/#", 0, 0, false},
		"car without selection":     {g + "/" + string(a.VINs[1]), 0x80, 0x80, false},
		"car of another account":    {g + "/" + string(other.VINs[0]), 0x80, 0x80, false},
		"topics of another account": {string(other.GCID) + "/+", 0x80, 0x87, false},
		"everyone's topics":         {"+/+", 0x80, 0x87, false},
		"the broker's own topics":   {"$SYS/#", 0x80, 0x87, false},
		"shared":                    {"$share/x/" + g + "/+", 0x80, 0x87, false},
		"GCID alone":                {g, 0x80, 0x87, false},
		"filter that is none":       {g + "/#/x", 0x80, 0x8f, false},
		"bare VIN":                  {string(a.VINs[0]), 0x80, 0x87, true},
	} {
		t.Run(name, func(t *testing.T) {
			for version, want := range map[byte]byte{4: c.v3, 5: c.v5} {
				r := dialRaw(t, s, version)
				if code := r.connect(token); code != 0 {
					t.Fatalf("CONNACK %d", code)
				}
				if codes := r.subscribe(c.filter); len(codes) != 1 || codes[0] != want {
					t.Errorf("SUBACK of version %d: %v, want %#x", version, codes, want)
				}
				if !c.closes {
					r.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
					r.want(packets.Pingresp)
					continue
				}
				if reason := r.wantClosed(); version == 5 && reason != 0x87 {
					t.Errorf("DISCONNECT with %#x, want 0x87", reason)
				}
			}
		})
	}
}

func TestOnlySubscribedCarsAreHeardUntilUnsubscribed(t *testing.T) {
	s := startTest(t, Config{Cars: 2, Faults: never()})
	a := s.Accounts()[0]
	r := dialRaw(t, s, 5)
	r.connect(idToken(t, s))
	one := string(a.GCID) + "/" + string(a.VINs[0])
	r.subscribe(one)
	if err := s.Inject(a.GCID, a.VINs[0], []byte("x")); err != nil {
		t.Fatal(err)
	}
	if p := r.wantPayload("x"); p.TopicName != one || p.FixedHeader.Qos != 0 || p.FixedHeader.Retain {
		t.Errorf("PUBLISH %+v; want x on %s at QoS 0, not retained", p, one)
	}
	if err := s.Inject(a.GCID, a.VINs[1], []byte("x")); err == nil {
		t.Error("a car nobody subscribed to was heard")
	}
	r.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}, PacketID: 8,
		Filters: packets.Subscriptions{{Filter: one}},
	})
	r.want(packets.Unsuback)
	eventually(t, "nobody listens", func() bool { return s.Inject(a.GCID, a.VINs[0], []byte("x")) != nil })
}

func TestSecondLoginEvictsTheFirst(t *testing.T) {
	for version, want := range map[byte]byte{4: 0, 5: packets.ErrSessionTakenOver.Code} {
		s := startTest(t, Config{Cars: 1, Faults: never()})
		token := idToken(t, s)
		first, second := dialRaw(t, s, version), dialRaw(t, s, version)
		first.connect(token)
		if code := second.connect(token); code != 0 {
			t.Fatalf("CONNACK of the second login %d, want 0", code)
		}
		if reason := first.wantClosed(); reason != want {
			t.Errorf("version %d: evicted with %#x, want %#x", version, reason, want)
		}
		if codes := second.subscribe(string(second.user) + "/+"); codes[0] != 0 {
			t.Errorf("SUBACK of the second login %v, want 0", codes)
		}
		s.Evict(second.user)
		if reason := second.wantClosed(); reason != want {
			t.Errorf("version %d: Evict ends with %#x, want %#x", version, reason, want)
		}
	}
}

func TestSecondLoginIsRefusedBySwitch(t *testing.T) {
	s := startTest(t, Config{Cars: 1, Faults: Faults{ReconnectRefusal: -1, RefuseNewer: true}})
	token := idToken(t, s)
	first, second := dialRaw(t, s, 4), dialRaw(t, s, 5)
	first.connect(token)
	if code := second.connect(token); code != 135 {
		t.Errorf("CONNACK of the second login %d, want 135", code)
	}
	if codes := first.subscribe(string(first.user) + "/+"); codes[0] != 0 {
		t.Errorf("the first login's SUBACK is %v, want 0", codes)
	}
}

func TestTwoAccountsMayUseOneMQTTClientID(t *testing.T) {
	s := startTest(t, Config{Accounts: 2, Cars: 1, Faults: never()})
	first, second := dialRaw(t, s, 4), dialRaw(t, s, 4)
	second.user = s.Accounts()[1].GCID
	first.connect(tokenOf(t, s, s.accounts[0]))
	second.connect(tokenOf(t, s, s.accounts[1]))
	if codes := first.subscribe(string(first.user) + "/+"); codes[0] != 0 {
		t.Errorf("the first account's SUBACK is %v, want 0", codes)
	}
}

func TestReconnectTooSoonIsRefusedByChance(t *testing.T) {
	s := startTest(t, Config{Cars: 1, Faults: Faults{ReconnectRefusal: 1}})
	token := idToken(t, s)
	r := dialRaw(t, s, 4)
	if code := r.connect(token); code != 0 {
		t.Fatalf("first CONNACK %d, want 0", code)
	}
	r.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
	r.wantClosed()
	if code := dialRaw(t, s, 4).connect(token); code != 5 {
		t.Errorf("CONNACK at once after a disconnect %d, want 5", code)
	}
	s.SetFaults(Faults{ReconnectRefusal: 1, ReconnectWindow: time.Nanosecond})
	if code := dialRaw(t, s, 4).connect(token); code != 0 {
		t.Errorf("CONNACK after the window %d, want 0", code)
	}
}

func TestTooManyAttemptsAreThrottled(t *testing.T) {
	s := startTest(t, Config{Cars: 1, ConnectsPerMinute: 3, Faults: never()})
	token := idToken(t, s)
	for range 3 {
		if code := dialRaw(t, s, 4).connect(token); code != 0 {
			t.Fatalf("CONNACK %d within the limit, want 0", code)
		}
	}
	for version, want := range map[byte]byte{4: 3, 5: 151} {
		if code := dialRaw(t, s, version).connect(token); code != want {
			t.Errorf("version %d: CONNACK %d over the limit, want %d", version, code, want)
		}
	}
}

func TestThrottlingEndsAfterAMinute(t *testing.T) {
	b := newBroker(&Simulator{cfg: Config{ConnectsPerMinute: 10}})
	start := time.Now()
	for i := range 10 {
		if b.throttled("a", start.Add(time.Duration(i)*time.Second)) {
			t.Fatalf("attempt %d is throttled", i+1)
		}
	}
	for _, c := range []struct {
		after time.Duration
		host  string
		want  bool
	}{
		{10 * time.Second, "a", true},
		{10 * time.Second, "b", false},
		{69 * time.Second, "a", true},
		{70 * time.Second, "a", false},
	} {
		if got := b.throttled(c.host, start.Add(c.after)); got != c.want {
			t.Errorf("%s throttled %v after the first attempt: %v, want %v", c.host, c.after, got, c.want)
		}
	}
}

func TestOrderedRefusals(t *testing.T) {
	s := startTest(t, Config{Cars: 1, Faults: never()})
	token := idToken(t, s)
	s.RefuseMQTT(5, 1)
	s.RefuseMQTT(3, 1)
	s.RefuseMQTT(4, 1)
	for i, want := range []byte{5, 3, 4, 0} {
		if code := dialRaw(t, s, 4).connect(token); code != want {
			t.Errorf("CONNACK %d is %d, want %d", i+1, code, want)
		}
	}
}

func TestConnectionEndsWithItsToken(t *testing.T) {
	for version, want := range map[byte]byte{4: 0, 5: 0x87} {
		s := startTest(t, Config{Cars: 1, TokenLife: 2 * time.Second, Faults: never()})
		r := dialRaw(t, s, version)
		if code := r.connect(idToken(t, s)); code != 0 {
			t.Fatalf("CONNACK %d", code)
		}
		if reason := r.wantClosed(); reason != want {
			t.Errorf("version %d: closed with %#x at the token's end, want %#x", version, reason, want)
		}
	}
}

func TestExpireTokensEndsSessionAndVoidsWhatWasIssued(t *testing.T) {
	s := startTest(t, Config{Cars: 1, Faults: never()})
	old := idToken(t, s)
	r := dialRaw(t, s, 5)
	r.connect(old)
	s.ExpireTokens(r.user)
	if reason := r.wantClosed(); reason != 0x87 {
		t.Errorf("closed with %#x, want 0x87", reason)
	}
	if code := dialRaw(t, s, 4).connect(old); code != 5 {
		t.Errorf("CONNACK with the old token %d, want 5", code)
	}
	if code := dialRaw(t, s, 4).connect(idToken(t, s)); code != 0 {
		t.Errorf("CONNACK with a new token %d, want 0", code)
	}
}

func TestPublishingEndsTheConnection(t *testing.T) {
	s := startTest(t, Config{Cars: 1, Faults: never()})
	for version, want := range map[byte]byte{4: 0, 5: 0x87} {
		r := dialRaw(t, s, version)
		r.connect(idToken(t, s))
		r.send(packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish}, TopicName: string(r.user) + "/x", Payload: []byte("x"),
		})
		if reason := r.wantClosed(); reason != want {
			t.Errorf("version %d: closed with %#x, want %#x", version, reason, want)
		}
	}
}

func TestHostileBytesEndOneConnectionOnly(t *testing.T) {
	s := startTest(t, Config{Cars: 1, Faults: never()})
	token := idToken(t, s)
	good := dialRaw(t, s, 4)
	good.connect(token)
	for name, junk := range map[string][]byte{
		"http":                   []byte("GET / HTTP/1.1\r\n\r\n"),
		"claim of 256 MB":        {0x10, 0xff, 0xff, 0xff, 0x7f},
		"publish before connect": {0x30, 0x03, 0, 1, 'x'},
		"zeros":                  make([]byte, 64),
	} {
		t.Run(name, func(t *testing.T) {
			r := dialRaw(t, s, 4)
			if _, err := r.conn.Write(junk); err != nil {
				t.Fatal(err)
			}
			r.wantClosed()
		})
	}
	if codes := good.subscribe(string(good.user) + "/+"); !bytes.Equal(codes, []byte{0}) {
		t.Errorf("SUBACK of the good client %v, want 0", codes)
	}
}

func TestLargePayloadArrivesWhole(t *testing.T) {
	s := startTest(t, Config{Cars: 1, Faults: never()})
	a := s.Accounts()[0]
	r := dialRaw(t, s, 4)
	r.connect(idToken(t, s))
	r.subscribe(string(a.GCID) + "/+")
	big := strings.Repeat("x", 1<<20)
	done := make(chan error, 1)
	go func() { done <- s.Inject(a.GCID, a.VINs[0], []byte(big)) }()
	r.wantPayload(big)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestGreetingIsBoundedAndOverAfterConnect(t *testing.T) {
	s := startTest(t, Config{Cars: 1, Faults: never(), greeting: 300 * time.Millisecond})
	a := s.Accounts()[0]
	good, mute := dialRaw(t, s, 4), dialRaw(t, s, 4)
	good.connect(idToken(t, s))
	good.subscribe(string(a.GCID) + "/+")
	mute.wantClosed() // which lasts longer than the greeting
	if err := s.Inject(a.GCID, a.VINs[0], []byte("x")); err != nil {
		t.Fatal(err)
	}
	good.wantPayload("x")
}
