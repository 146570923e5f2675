package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func TestMessagesArriveInOrderBetweenSubscribedAndLost(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		t := b.t
		pass(time.Second)
		p := b.peer(1)
		if p.user != string(testGCID) || p.password != b.tokens.text() || !slices.Equal(p.topics, []string{string(testGCID) + "/+"}) {
			t.Errorf("connected as %q to %v with the id token: %v", p.user, p.topics, p.password == b.tokens.text())
		}
		for i := range 3 {
			if err := p.publish(fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Second)
		wantState(t, b.conn, StateSubscribed, "", "")
		if s := b.conn.Status(); s.Connects != 1 || s.LastMessage.IsZero() || s.LastInbound.Before(s.LastMessage) {
			t.Errorf("Status() = %+v", s)
		}
		b.stop(t)
		wantNames(t, b.rec, "subscribed", "message 0", "message 1", "message 2", "lost shutdown")
		if b.peer(1).bye.IsZero() {
			t.Error("no DISCONNECT was sent")
		}
		if s := b.conn.Status(); s.State != StateIdle {
			t.Errorf("State after Run = %s", s.State)
		}
	})
}

func TestMessagesSentAheadOfTheSubackFollowSubscribed(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		b.suback = func(_ int, p *peer, id uint16) {
			for i := range maxHeld + 10 {
				_ = p.publish(fmt.Sprint(i))
			}
			p.grant(id, 0)
			_ = p.publish("after")
		}
	}, func(b *bench) {
		t := b.t
		pass(time.Second)
		names := b.rec.names()
		dropped := int(b.conn.cfg.Stats.DroppedEarlyMessages.Load())
		if dropped < 1 || len(names)-1+dropped != maxHeld+11 {
			t.Fatalf("%d events and %d dropped, want what is held at most and the rest counted", len(names), dropped)
		}
		for i, name := range names[:maxHeld+1] {
			if want := fmt.Sprint("message ", i-1); i > 0 && name != want {
				t.Fatalf("event %d = %q, want %q", i, name, want)
			}
		}
		if names[0] != "subscribed" {
			t.Errorf("first event = %q", names[0])
		}
	})
}

func TestWhatTheServiceSentBeforeAnOrderlyDisconnectIsStillRead(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		t := b.t
		pass(time.Second)
		const n = 200
		sent := make(chan int)
		go func() {
			i := 0
			for i < n && b.peer(1).publish(fmt.Sprint(i)) == nil {
				i++
			}
			sent <- i
		}()
		b.stop(t)
		got := len(b.rec.list()) - 2
		if handed := <-sent; got < handed {
			t.Errorf("the service handed over %d messages, %d arrived", handed, got)
		}
	})
}

func TestSilenceIsNoReasonToReconnect(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		t := b.t
		pass(44 * time.Minute)
		if n := b.count(); n != 1 {
			t.Errorf("%d connections in a silent hour, want 1", n)
		}
		if last := b.conn.Status().LastInbound; time.Since(last) > 40*time.Second {
			t.Errorf("last inbound %v ago: ping answers do not count", time.Since(last))
		}
	})
}

func TestMissingPingAnswerEndsCoverageAtTheLastInbound(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) { b.silent = func(n int) bool { return n == 1 } }, func(b *bench) {
		t := b.t
		pass(5 * time.Second)
		if err := b.peer(1).publish("x"); err != nil {
			t.Fatal(err)
		}
		said := time.Now()
		pass(2 * time.Minute)
		l := b.rec.losses()
		if len(l) != 1 || l[0].cause != schema.GapConnection || !l[0].last.Equal(said) || l[0].at.Sub(said) > 51*time.Second {
			t.Fatalf("losses = %+v, want one connection loss from %v noticed within 51 s", l, said)
		}
		if n := b.count(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}

func TestNetworkCutInMidFlow(t *testing.T) {
	bubble(t, nil, func(b *bench) {
		t := b.t
		pass(time.Second)
		if err := b.peer(1).publish("a"); err != nil {
			t.Fatal(err)
		}
		cut := time.Now()
		pass(3 * time.Second)
		b.peer(1).raw.Close()
		pass(11500 * time.Millisecond) // gap and up to 1 s of jitter
		wantNames(t, b.rec, "subscribed", "message a", "lost connection", "subscribed")
		l := b.rec.losses()[0]
		if l.last.After(cut) || l.at.Sub(cut) > 4*time.Second {
			t.Errorf("lost at %v, last inbound %v, cut at %v", l.at, l.last, cut)
		}
		if gap := b.peer(2).opened.Sub(l.at); gap < 10*time.Second {
			t.Errorf("reconnected after %v, want 10 s or more", gap)
		}
	})
}

func TestRefusedTokenIsRenewedOnceAndThenAccepted(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		b.connack = func(n int, _, _ string) byte {
			if n == 1 {
				return 5
			}
			return 0
		}
	}, func(b *bench) {
		t := b.t
		pass(time.Second)
		wantState(t, b.conn, StateWaiting, "code 5", "portal")
		pass(20 * time.Second)
		wantNames(t, b.rec, "subscribed")
		if r := b.tokens.renewals(); len(r) != 1 || r[0] != b.peer(1).password || b.peer(2).password == b.peer(1).password {
			t.Errorf("%d renewals; second password differs: %v", len(r), b.peer(2).password != b.peer(1).password)
		}
		if d := b.peer(2).opened.Sub(b.peer(1).ended); d < 10*time.Second {
			t.Errorf("second attempt %v after the first", d)
		}
	})
}

func TestLastingRefusalBacksOffAndRenewsRarely(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		b.connack = func(int, string, string) byte { return 4 }
	}, func(b *bench) {
		t := b.t
		const span = 3 * time.Hour
		pass(span)
		st := b.conn.cfg.Stats
		attempts, renewals := st.ConnectAttempts.Load(), len(b.tokens.renewals())
		if attempts < 18 || attempts > 120 || st.RefusedCredentials.Load() != attempts {
			t.Errorf("%d attempts in %v, %d refusals", attempts, span, st.RefusedCredentials.Load())
		}
		if renewals < 2 || renewals > int(span/renewEvery) {
			t.Errorf("%d renewals in %v", renewals, span)
		}
		wantNames(t, b.rec)
	})
}

func TestThrottlingWaitsAMinute(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		b.connack = func(n int, _, _ string) byte { return byte(3 * (n % 2)) }
	}, func(b *bench) {
		t := b.t
		pass(59 * time.Second)
		if b.count() != 1 || len(b.tokens.renewals()) != 0 {
			t.Errorf("%d attempts, %d renewals in the first minute", b.count(), len(b.tokens.renewals()))
		}
		pass(12 * time.Second)
		wantNames(t, b.rec, "subscribed")
	})
}

func TestRefusedSubscriptionIsAConfigurationFault(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		b.suback = func(n int, p *peer, id uint16) { p.grant(id, 0x80*byte(n%2)) }
	}, func(b *bench) {
		t := b.t
		pass(4 * time.Minute)
		wantState(t, b.conn, StateMisconfigured, "0x80", "data selection")
		if b.count() != 1 || b.conn.cfg.Stats.SubscribeFaults.Load() != 1 {
			t.Errorf("%d connections, want 1", b.count())
		}
		wantNames(t, b.rec)
		pass(2 * time.Minute)
		wantState(t, b.conn, StateSubscribed, "", "")
	})
}

func TestDroppedSubscriptionIsAConfigurationFault(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		b.suback = func(_ int, p *peer, _ uint16) { p.conn.Close() }
	}, func(b *bench) {
		t := b.t
		pass(9 * time.Second)
		wantState(t, b.conn, StateMisconfigured, "closed the connection", "data selection")
		pass(2 * time.Minute)
		if n := b.count(); n != 2 {
			t.Errorf("%d attempts in two minutes, want one more soon and then none", n)
		}
		pass(3 * time.Hour)
		if n := b.count(); n < 8 || n > 12 {
			t.Errorf("%d attempts in three hours, want 5 to 30 min apart", n)
		}
		wantNames(t, b.rec)
	})
}

func TestRivalClientIsSeenAndYieldedTo(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		b.suback = func(_ int, p *peer, id uint16) {
			p.grant(id, 0)
			b.wg.Go(func() {
				time.Sleep(5 * time.Second) //nolint:forbidigo // bubble time
				p.conn.Close()
			})
		}
	}, func(b *bench) {
		t := b.t
		pass(6 * time.Second)
		pass(12 * time.Second)
		pass(6 * time.Second)
		l := b.rec.losses()
		if len(l) != 2 || l[0].cause != schema.GapConnection || l[1].cause != schema.GapEvicted {
			t.Fatalf("losses = %+v, want connection, then evicted", l)
		}
		wantState(t, b.conn, StateWaiting, "", "another client uses this account")
		pass(2 * time.Hour)
		if n := b.count(); n > 60 {
			t.Errorf("%d connections in two hours: no back-off against a rival", n)
		}
	})
}

func TestCloseAtTheTokensEndIsTheTokens(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		n := 0
		b.tokens.fail = func() error {
			if n++; n > 1 && time.Since(b.tokens.expires) < 0 {
				return errors.New("no answer")
			}
			return nil
		}
	}, func(b *bench) {
		t := b.t
		pass(time.Hour - time.Second)
		if b.count() != 1 {
			t.Fatalf("%d connections before the token's end, want the old one kept while no new token can be had", b.count())
		}
		b.peer(1).conn.Close()
		pass(2 * time.Minute)
		wantNames(t, b.rec, "subscribed", "lost token_expired", "subscribed")
	})
}

func TestExpiredTokenEndsCoverageEvenIfTheServiceDoesNot(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		n := 0
		b.tokens.fail = func() error {
			if n++; n > 1 {
				return loginError{}
			}
			return nil
		}
	}, func(b *bench) {
		t := b.t
		pass(time.Hour + 11*time.Second)
		wantNames(t, b.rec, "subscribed", "lost token_expired")
		pass(15 * time.Second)
		wantState(t, b.conn, StateLoginNeeded, "refresh token spent", "cardata login")
	})
}

func TestLoginNeededIsLookedForAndHealsItself(t *testing.T) {
	var cured bool
	bubble(t, func(b *bench, _ *Config) {
		b.tokens.fail = func() error {
			if cured {
				return nil
			}
			return fmt.Errorf("refresh: %w", loginError{})
		}
	}, func(b *bench) {
		t := b.t
		pass(10 * time.Minute)
		wantState(t, b.conn, StateLoginNeeded, "refresh token spent", "cardata login")
		if len(b.dialled()) != 0 || len(b.tokens.asked) < 19 || len(b.tokens.asked) > 21 {
			t.Errorf("%d dials, %d looks in ten minutes; want 0 and 20", len(b.dialled()), len(b.tokens.asked))
		}
		b.tokens.mu.Lock()
		cured = true
		b.tokens.mu.Unlock()
		pass(31 * time.Second)
		wantNames(t, b.rec, "subscribed")
	})
}

func TestNoNetworkDoesNotClimbTheRefusalLadder(t *testing.T) {
	bubble(t, func(b *bench, _ *Config) {
		b.pacer = NewPacer(1000, time.Minute)
		b.refuse = func(n int) error {
			if n < 100 {
				return &net.DNSError{Err: "no such host", Name: testHost}
			}
			return nil
		}
		b.connack = func(n int, _, _ string) byte { return byte(5 * (n % 2)) }
	}, func(b *bench) {
		t := b.t
		pass(10 * time.Minute)
		wantState(t, b.conn, StateWaiting, "no such host", "")
		for i := 0; i < 200 && b.count() == 0; i++ {
			pass(30 * time.Second)
		}
		d := b.dialled()
		for i := 1; i < 99; i++ {
			if wait := d[i].Sub(d[i-1]); wait > 61*time.Second {
				t.Errorf("wait %d = %v, want at most a minute", i, wait)
			}
		}
		pass(21 * time.Second) // the first rung of the refusal ladder
		wantNames(t, b.rec, "subscribed")
	})
}

func TestCancelEndsEveryPhaseAtOnce(t *testing.T) {
	for name, setup := range map[string]func(*bench, *Config){
		"waiting after a fault": func(b *bench, _ *Config) { b.connack = func(int, string, string) byte { return 3 } },
		"login needed":          func(b *bench, _ *Config) { b.tokens.fail = func() error { return loginError{} } },
		"in line for a turn": func(b *bench, _ *Config) {
			b.pacer = NewPacer(1, time.Hour)
			b.pacer.book(time.Now(), time.Now())
		},
		"TLS handshake": func(_ *bench, c *Config) { c.Dial = mute },
		"CONNACK":       func(b *bench, _ *Config) { b.greet = func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)); drain(c) } },
		"SUBACK":        func(b *bench, _ *Config) { b.suback = func(int, *peer, uint16) {} },
		"subscribed":    func(*bench, *Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, setup, func(b *bench) {
				t := b.t
				pass(2 * time.Second)
				begin := time.Now()
				b.cancel()
				err := <-b.done
				if d := time.Since(begin); err != nil || d > time.Second {
					t.Errorf("Run() = %v after %v", err, d)
				}
				b.done <- nil
			})
		})
	}
}

func TestTLSFaultsAreToldApart(t *testing.T) {
	roots, _ := authority(t)
	tests := map[string]struct {
		setup func(*bench, *Config)
		want  string
	}{
		"server of TLS 1.2": {func(b *bench, _ *Config) { b.tls.MaxVersion = 771 }, "protocol version"},
		"another CA":        {func(_ *bench, c *Config) { c.TLS.RootCAs = roots }, "certificate"},
		"another name":      {func(_ *bench, c *Config) { c.TLS.ServerName = "other.example.test" }, "other.example.test"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, tc.setup, func(b *bench) {
				t := b.t
				pass(time.Minute)
				wantState(t, b.conn, StateMisconfigured, tc.want, "TLS 1.3 only")
				if n := len(b.dialled()); n != 1 {
					t.Errorf("%d dials in a minute, want 1", n)
				}
			})
		})
	}
}

func TestHostileServerIsRefusedAndLeftAlone(t *testing.T) {
	connack := "\x20\x02\x00\x00"
	for name, bytes := range map[string]string{
		"garbage":                    "HTTP/1.1 400 Bad Request\r\n\r\n",
		"unknown CONNACK code":       "\x20\x02\x00\x87",
		"256 MiB message":            connack + "\x30\xff\xff\xff\x7f",
		"5 MiB message":              connack + "\x30\x80\x80\xc0\x02",
		"endless length":             connack + "\x30\xff\xff\xff\xff\xff\xff",
		"SUBACK of too many":         connack + "\x90\x05\x00\x01\x00\x00\x00",
		"SUBACK of none":             connack + "\x90\x02\x00\x01",
		"message at QoS 2":           connack + "\x34\x05\x00\x01a\x00\x01",
		"packet only a client sends": connack + "\xc0\x00",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *bench, _ *Config) {
				b.greet = func(c net.Conn) {
					_, _ = c.Read(make([]byte, 4096))
					_, _ = c.Write([]byte(bytes))
					drain(c)
				}
			}, func(b *bench) {
				t := b.t
				pass(8 * time.Second)
				wantState(t, b.conn, StateWaiting, "not what an MQTT 3.1.1 service sends", "address")
				pass(time.Hour)
				if n := len(b.dialled()); n < 4 || n > 60 {
					t.Errorf("%d dials in an hour", n)
				}
				wantNames(t, b.rec)
			})
		})
	}
}

func TestNewReportsAllFaultsAtOnce(t *testing.T) {
	_, err := New("me", nil, nil, nil, Config{Addr: "nohost", KeepAlive: time.Millisecond, ReconnectGap: -1, ChangeFrom: time.Hour})
	for _, want := range []string{"GCID", "host:port", "keep-alive", "reconnect gap", "change window", "pacer"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New() = %v, want it to name %q", err, want)
		}
	}
}

// mute dials a peer that never says anything.
func mute(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go drain(server)
	return client, nil
}

func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestSuspendedMachineReconnects(t *testing.T) {
	var asleep atomic.Int64
	bubble(t, nil, func(b *bench) {
		t := b.t
		b.stop(t) // only to build one by hand: the clock must be in place before Run
		c, err := New(testGCID, b.tokens, b.rec, b.pacer, b.conn.cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.wall = func() time.Time { return time.Now().Round(0).Add(time.Duration(asleep.Load())) }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		pass(time.Minute)
		before := len(b.rec.losses())
		asleep.Store(int64(2 * time.Minute))
		pass(10 * time.Second)
		if l := b.rec.losses(); len(l) != before+1 || l[before].cause != schema.GapConnection {
			t.Errorf("losses = %+v, want one more after the machine slept", l)
		}
		pass(12 * time.Second)
		wantState(t, c, StateSubscribed, "", "")
		cancel()
		<-done
	})
}
