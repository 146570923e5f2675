package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// identity is what makes two entries the same message of the same car's life.
type identity struct {
	vin        schema.VIN
	descriptor schema.Descriptor
	measured   time.Time
	sent       time.Time
	truth      schema.Value
}

func identities(entries []Entry) []identity {
	all := make([]identity, len(entries))
	for i, e := range entries {
		all[i] = identity{e.VIN, e.Descriptor, e.Measured, e.Sent, e.Truth}
	}
	return all
}

// wholeDay feeds the history to one undisturbed subscriber.
func wholeDay(t *testing.T, cfg Config) []identity {
	t.Helper()
	s := startTest(t, cfg)
	a := s.Accounts()[0]
	if _, err := listenTo(t, s, a.GCID, idToken(t, s), string(a.GCID)+"/+"); err != nil {
		t.Fatal(err)
	}
	<-s.HistoryDone()
	s.Pause()
	return identities(ledgerOf(s, a.GCID))
}

// samePrefix tells whether two feeds of about the same span agree; they begin
// and end with the clock and so may differ at both ends.
func samePrefix(t *testing.T, got, want []identity) {
	t.Helper()
	for len(want) > 0 && len(got) > 0 && want[0] != got[0] {
		want = want[1:] // the later start misses what the earlier one began with
	}
	if len(want) < 1000 || len(got) < len(want) {
		t.Fatalf("%d and %d messages in common; want over 1000, and no fewer than the first run", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("message %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestHistoryWaitsAndSurvivesDropsAndEvictions(t *testing.T) {
	cfg := Config{Seed: 3, Cars: 3, History: 48 * time.Hour, Faults: never()}
	want := wholeDay(t, cfg)
	s := startTest(t, cfg)
	a := s.Accounts()[0]
	for round, end := range []func(){
		func() { s.DropConnections(a.GCID) },
		func() { s.Evict(a.GCID) },
		func() { s.ExpireTokens(a.GCID) },
		func() {},
	} {
		r := dialRaw(t, s, byte(4+round%2))
		if code := r.connect(idToken(t, s)); code != 0 {
			t.Fatalf("CONNACK %d", code)
		}
		r.subscribe(string(a.GCID) + "/+")
		for range 500 {
			r.want(packets.Publish)
		}
		end()
		if round < 3 {
			r.wantClosed()
			eventually(t, "the session is gone", func() bool { return !s.Progress()[0].Subscribed })
			continue
		}
		go func() { // read on
			for {
				if _, err := r.read(); err != nil {
					return
				}
			}
		}()
		<-s.HistoryDone()
	}
	s.Pause()
	entries := ledgerOf(s, a.GCID)
	samePrefix(t, identities(entries), want)
	if c := s.Ledger().Counts(a.GCID); c.Unheard != 0 || c.Readings != int64(len(entries)) || c.Messages != c.Readings {
		t.Errorf("counts %+v of %d entries; want nothing unheard", c, len(entries))
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].Conn < entries[i-1].Conn || entries[i].Handed.Before(entries[i-1].Handed) {
			t.Fatalf("entry %d goes back: %+v after %+v", i, entries[i], entries[i-1])
		}
	}
	if last := entries[len(entries)-1].Conn; last != 4 {
		t.Errorf("last connection is number %d, want 4", last)
	}
}

func TestRestartGoesOnWithLoginAndDays(t *testing.T) {
	cfg := Config{Seed: 3, Cars: 3, History: 48 * time.Hour, Faults: never()}
	want := wholeDay(t, cfg)
	cfg.Dir = newDir(t)
	s := startTest(t, cfg)
	a := s.Accounts()[0]
	set := login(t, s, a)
	ca, url := s.CAFile(), s.OAuthURL()
	cfg.HTTPAddr, cfg.MQTTAddr = strings.TrimPrefix(url, "https://"), s.MQTTAddr()
	r := dialRaw(t, s, 4)
	r.connect(set["id_token"].(string))
	r.subscribe(string(a.GCID) + "/+")
	for range 3000 {
		r.want(packets.Publish)
	}
	s.Close()
	got := identities(ledgerOf(s, a.GCID))

	s = startTest(t, cfg)
	if s.CAFile() != ca || s.OAuthURL() != url || s.ClientID() != a.ClientID {
		t.Errorf("after restart: %s %s %s; want all as before", s.CAFile(), s.OAuthURL(), s.ClientID())
	}
	if status, body, err := refresh(t, s, set["refresh_token"]); err != nil || status != 200 {
		t.Fatalf("refresh with the stored login: %d %v %v", status, body, err)
	}
	if _, err := listenTo(t, s, a.GCID, set["id_token"].(string), string(a.GCID)+"/+"); err != nil {
		t.Fatalf("the id token of before: %v", err)
	}
	<-s.HistoryDone()
	s.Pause()
	samePrefix(t, append(got, identities(ledgerOf(s, a.GCID))...), want)
}

func TestLiveIsUnheardWithoutSubscriber(t *testing.T) {
	s := startFeed(t, Config{}, func(c cars.Config) feed { return newLoop(c, 100) })
	a := s.Accounts()[0]
	select {
	case <-s.HistoryDone():
	case <-time.After(10 * time.Second):
		t.Fatal("without history, the past is not over at once")
	}
	eventually(t, "something is unheard", func() bool { return s.Ledger().Counts(a.GCID).Unheard > 0 })
	if s.Ledger().Len() != 0 {
		t.Errorf("ledger has %d entries, want none", s.Ledger().Len())
	}
	h, err := listenTo(t, s, a.GCID, idToken(t, s), string(a.GCID)+"/+")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "live messages", func() bool { return len(h.heard()) > 10 })
	s.Pause()
	n := s.Ledger().Len()
	eventually(t, "what was handed over has come", func() bool { return len(h.heard()) == n })
	s.Resume()
	eventually(t, "the feed goes on", func() bool { return len(h.heard()) > n })
}

// startFeed brings up one account with one car of another kind.
func startFeed(t *testing.T, cfg Config, newFeed func(cars.Config) feed) *Simulator {
	t.Helper()
	cfg.Accounts, cfg.Cars, cfg.ConnectsPerMinute, cfg.Dir = 1, 1, -1, newDir(t)
	s, err := start(t.Context(), cfg, newFeed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestGarbledMessagesAreUnreadableAndMarked(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 1, History: 24 * time.Hour, Faults: Faults{Garble: 0.2}})
	a := s.Accounts()[0]
	h, err := listenTo(t, s, a.GCID, idToken(t, s), string(a.GCID)+"/+")
	if err != nil {
		t.Fatal(err)
	}
	<-s.HistoryDone()
	s.Pause()
	want := ledgerOf(s, a.GCID)
	eventually(t, "all received", func() bool { return len(h.heard()) == len(want) })
	cut, broken := 0, 0
	for i, m := range h.heard() {
		readable := json.Valid(m.payload) && utf8.Valid(m.payload)
		if readable == want[i].Unreadable {
			t.Fatalf("message %s is readable: %v, ledger says unreadable: %v", m.payload, readable, want[i].Unreadable)
		}
		if !utf8.Valid(m.payload) {
			broken++
		} else if !readable {
			cut++
		}
	}
	share := float64(cut+broken) / float64(len(want))
	if c := s.Ledger().Counts(a.GCID); share < 0.15 || share > 0.25 || cut < broken-1 || c.Unreadable != int64(cut+broken) {
		t.Errorf("%d cut, %d broken of %d, counts %+v; want a fifth, half of each kind", cut, broken, len(want), c)
	}
}

func TestInjectBooksWhatItIsTold(t *testing.T) {
	s := startTest(t, Config{Cars: 1, Faults: never()})
	a := s.Accounts()[0]
	if err := s.Inject(a.GCID, a.VINs[0], []byte("x")); !errors.Is(err, ErrNotSubscribed) {
		t.Errorf("Inject without subscriber: %v, want ErrNotSubscribed", err)
	}
	if err := s.Inject("00000000-0000-4000-8000-000000000001", a.VINs[0], []byte("x")); !errors.Is(err, ErrNotSubscribed) {
		t.Errorf("Inject for an unknown account: %v, want ErrNotSubscribed", err)
	}
	r := dialRaw(t, s, 4)
	r.connect(idToken(t, s))
	r.subscribe(string(a.GCID) + "/+")
	entries := []Entry{
		{Descriptor: "vehicle.a", Measured: time.Unix(0, 0).UTC(), Truth: schema.Value{Kind: schema.KindText, Text: "hello"}},
		{Descriptor: "vehicle.b", Truth: schema.Value{Kind: schema.KindBool, Bool: true}, Unreadable: true},
	}
	s.Pause() // Inject works all the same
	before := s.Ledger().Counts(a.GCID)
	if err := s.Inject(a.GCID, a.VINs[0], []byte("{}"), entries...); err != nil {
		t.Fatal(err)
	}
	r.wantPayload("{}")
	got := ledgerOf(s, a.GCID)[before.Readings:]
	if len(got) != 2 {
		t.Fatalf("%d entries, want 2", len(got))
	}
	for i, e := range got {
		want := entries[i]
		want.GCID, want.VIN, want.Conn, want.Handed = a.GCID, a.VINs[0], 1, e.Handed
		if e != want || e.Handed.IsZero() {
			t.Errorf("entry %d is %+v, want %+v", i, e, want)
		}
	}
	if c := s.Ledger().Total(); c.Messages != before.Messages+1 || c.Unreadable != 1 {
		t.Errorf("counts %+v; want one message more, one unreadable", c)
	}
}

func TestSelectionDecidesWhatStreams(t *testing.T) {
	mileage := schema.Descriptor("vehicle.vehicle.travelledDistance")
	for name, c := range map[string]struct {
		prepare func(*Simulator, Account)
		allowed func(Account, Entry) bool
	}{
		"one key of one car": {
			func(s *Simulator, a Account) {
				s.Select(a.GCID, a.VINs[0], []schema.Descriptor{mileage})
				s.Select(a.GCID, a.VINs[1], nil)
			},
			func(a Account, e Entry) bool { return e.VIN != a.VINs[0] || e.Descriptor == mileage },
		},
		"a car without selection": {
			func(s *Simulator, a Account) { s.SetFaults(Faults{Unselected: a.VINs[:1]}) },
			func(a Account, e Entry) bool { return e.VIN != a.VINs[0] },
		},
		"containers by switch": {
			func(s *Simulator, a Account) {
				s.SetFaults(Faults{StreamByContainers: true})
				s.SetContainers(a.GCID, []schema.Descriptor{mileage})
			},
			func(_ Account, e Entry) bool { return e.Descriptor == mileage },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startTest(t, Config{Seed: 1, Cars: 2, History: 24 * time.Hour})
			a := s.Accounts()[0]
			c.prepare(s, a)
			if _, err := listenTo(t, s, a.GCID, idToken(t, s), string(a.GCID)+"/+"); err != nil {
				t.Fatal(err)
			}
			<-s.HistoryDone()
			entries := ledgerOf(s, a.GCID)
			if len(entries) == 0 {
				t.Fatal("nothing streamed at all")
			}
			for _, e := range entries {
				if !c.allowed(a, e) {
					t.Fatalf("streamed without selection: %+v", e)
				}
			}
		})
	}
}

func TestFastCarsNeverStampTheFuture(t *testing.T) {
	cfg := Config{Seed: 1, Cars: 2, Speed: 36_000, Dir: newDir(t)}
	s := startTest(t, cfg)
	a := s.Accounts()[0]
	if _, err := listenTo(t, s, a.GCID, idToken(t, s), string(a.GCID)+"/+"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "hours have passed for the cars", func() bool { return s.Ledger().Len() > 1000 })
	s.Close()
	type key struct {
		vin        schema.VIN
		descriptor schema.Descriptor
	}
	last := make(map[key]Entry)
	for _, e := range ledgerOf(s, a.GCID) {
		if e.Measured.After(e.Handed) || e.Sent.After(e.Handed) {
			t.Fatalf("stamp from the future: %+v", e)
		}
		k := key{e.VIN, e.Descriptor}
		if p, ok := last[k]; ok && p.Measured.Equal(e.Measured) && p.Truth != e.Truth {
			t.Fatalf("two values in one second: %+v and %+v", p, e)
		}
		last[k] = e
	}
	lead := s.store.get(a.GCID).Feed.Lead
	if lead < time.Minute {
		t.Fatalf("cars are %v ahead, want it kept", lead)
	}
	cfg.Speed = 1
	s = startTest(t, cfg)
	if got := s.accounts[0].feed.state.position(time.Now()).Lead; got != lead {
		t.Errorf("lead after restart at speed 1: %v, want %v", got, lead)
	}
}

func TestClockMapsCarsTimeBack(t *testing.T) {
	day := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	c := clock{speed: 60, lead: time.Hour, anchor: day}
	for name, at := range map[string]struct{ car, real time.Time }{
		"past":      {day, day.Add(-time.Hour)},
		"anchor":    {day.Add(time.Hour), day},
		"live":      {day.Add(2 * time.Hour), day.Add(time.Minute)},
		"far ahead": {day.Add(61 * time.Hour), day.Add(time.Hour)},
	} {
		if got := c.real(at.car); !got.Equal(at.real) {
			t.Errorf("%s: real(%v) = %v, want %v", name, at.car, got, at.real)
		}
	}
	if got := c.leadAt(day.Add(time.Minute)); got != time.Hour+59*time.Minute {
		t.Errorf("lead after a minute %v, want 1h59m", got)
	}
}

func TestNothingRunsAfterClose(t *testing.T) {
	startTest(t, Config{}).Close() // whatever the runtime starts once
	before := runtime.NumGoroutine()
	s := startTest(t, Config{Seed: 1, Accounts: 3, Cars: 2, History: 240 * time.Hour, Faults: never()})
	for i, a := range s.accounts {
		r := dialRaw(t, s, byte(4+i%2))
		r.user = a.GCID
		r.connect(tokenOf(t, s, a))
		r.subscribe(string(a.GCID) + "/+") // and never read: the feed hangs in its write
	}
	dialRaw(t, s, 4)             // before CONNECT
	login(t, s, s.Accounts()[0]) // an idle HTTP connection
	s.Close()
	s.Close()
	eventually(t, "all goroutines ended", func() bool { return runtime.NumGoroutine() <= before+4 }) // the test's own HTTP client
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

func TestStartReportsAllFaultsAndFreesWhatItTook(t *testing.T) {
	_, err := Start(t.Context(), Config{Accounts: 0, Cars: -1, Speed: 0.5, History: -1, Quota: -1})
	for _, want := range []string{"accounts", "cars", "speed", "history", "quota"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Start: %v, want %s named", err, want)
		}
	}
	s := startTest(t, Config{})
	if _, err := Start(t.Context(), Config{Accounts: 1, MQTTAddr: s.MQTTAddr()}); err == nil {
		t.Error("Start on a busy port succeeded")
	}
}

func TestFeedStopsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	s, err := Start(ctx, Config{Accounts: 1, Cars: 1, Dir: newDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.Pause()
	stop()
	done := make(chan struct{})
	go func() { s.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Close hangs on a paused feed")
	}
}

func TestAccountsFollowFromTheSeedAlone(t *testing.T) {
	a, b := newAccount(7, 3, 2), newAccount(7, 3, 5)
	if a.GCID != b.GCID || a.ClientID != b.ClientID || a.VINs[1] != b.VINs[1] {
		t.Errorf("accounts %+v and %+v; want the same but for more cars", a, b)
	}
	if _, err := schema.ParseGCID(string(a.GCID)); err != nil {
		t.Error(err)
	}
	seen := make(map[schema.VIN]bool)
	for n := range 50 {
		for _, v := range newAccount(7, n, 150).VINs {
			if _, err := schema.ParseVIN(string(v)); err != nil || seen[v] {
				t.Fatalf("VIN %s: %v, seen %v", v, err, seen[v])
			}
			seen[v] = true
		}
	}
}

func TestADisconnectInMidFlowLosesNothingForAClientThatReadsOn(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 3, History: 300 * 24 * time.Hour, Faults: never()})
	a := s.Accounts()[0]
	for round := range 4 {
		r := dialRaw(t, s, byte(4+round%2))
		r.connect(idToken(t, s))
		before := s.Ledger().Len()
		r.subscribe(string(a.GCID) + "/+")
		for range 500 {
			r.want(packets.Publish)
		}
		r.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
		got := 500
		for p, err := r.read(); err == nil; p, err = r.read() {
			if p.FixedHeader.Type == packets.Publish {
				got++
			}
		}
		if handed := s.Ledger().Len() - before; got != handed {
			t.Errorf("round %d: %d messages read, %d handed over", round, got, handed)
		}
	}
	conns := s.Ledger().Connections(a.GCID)
	if len(conns) != 4 || conns[0].Number != 1 || conns[3].Closed.Before(conns[3].Opened) || conns[3].Opened.Before(conns[0].Closed) {
		t.Errorf("connections %+v; want 4, one after the other", conns)
	}
}
