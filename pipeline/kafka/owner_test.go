package kafka

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// sharer is a Membership under test with what it heard.
type sharer struct {
	*Membership
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex // guards below
	proofs []time.Time
}

func (w *world) share(c *Client, cfg MembershipConfig) *sharer {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sharer{cancel: cancel, done: make(chan struct{})}
	cfg.Joined = func(*Roster) {}
	cfg.Proof = func(at time.Time) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.proofs = append(s.proofs, at)
	}
	s.Membership = c.NewMembership(cfg)
	go func() { // ends with ctx
		s.Run(ctx)
		close(s.done)
	}()
	w.t.Cleanup(s.stop)
	return s
}

func (s *sharer) stop() {
	s.cancel()
	<-s.done
}

func (s *sharer) lastProof() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.proofs) == 0 {
		return time.Time{}
	}
	return s.proofs[len(s.proofs)-1]
}

func (s *sharer) members() int {
	if r := s.Roster(); r != nil {
		return len(r.Members)
	}
	return 0
}

func keys(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("key-%d", i)
	}
	return list
}

func TestMembersShareEveryKeyOnce(t *testing.T) {
	anywhere(t, func(w *world) {
		group := w.name()
		var all []*sharer
		for _, name := range []string{"a", "b", "c"} {
			all = append(all, w.share(w.client(), MembershipConfig{Group: group, Name: name, Note: "at " + name, SessionTimeout: 6 * time.Second}))
		}
		settled := func(n int) func() bool {
			return func() bool {
				for _, s := range all {
					if s.members() != n || s.Roster().Generation != all[0].Roster().Generation {
						return false
					}
				}
				return true
			}
		}
		eventually(w.t, "three members", settled(3))
		before := make(map[string]string)
		for _, key := range keys(300) {
			mine := 0
			for _, s := range all {
				if s.Roster().Mine(key) {
					mine++
				}
			}
			owner := all[0].Roster().Owner(key)
			if mine != 1 || owner.Note != "at "+owner.Name {
				w.t.Fatalf("%s: %d owners, %+v", key, mine, owner)
			}
			before[key] = owner.Name
		}
		all[1].stop()
		all = []*sharer{all[0], all[2]}
		eventually(w.t, "two members", settled(2))
		for key, was := range before {
			if now := all[0].Roster().Owner(key).Name; was != "b" && now != was {
				w.t.Errorf("%s moved from %s to %s though neither left", key, was, now)
			}
		}
	})
}

// A member that cannot reach the group is out after its session; one that is
// only silent for less stays, and nobody's keys move.
func TestMembershipOutlivesAnOutage(t *testing.T) {
	inMemory(t, func(w *world) {
		a := w.share(w.client(), MembershipConfig{Group: "g", Name: "a"})
		eventually(w.t, "joined", func() bool { return a.members() == 1 })
		id, generation := a.ID(), a.Roster().Generation
		w.net.setDown(true)
		wait(8 * time.Second)
		if proof := a.lastProof(); time.Since(proof) < 7*time.Second {
			w.t.Errorf("proof %v old without a coordinator", time.Since(proof))
		}
		w.net.setDown(false)
		eventually(w.t, "proof", func() bool { return time.Since(a.lastProof()) < 2*time.Second })
		if a.ID() != id || a.Roster().Generation != generation {
			w.t.Errorf("an outage shorter than the session cost the membership")
		}
		w.net.setDown(true)
		wait(time.Minute)
		w.net.setDown(false)
		eventually(w.t, "joined again", func() bool { return a.members() == 1 && a.ID() != id })
		if n := a.Stats.GroupRemovals.Load(); n != 1 {
			w.t.Errorf("GroupRemovals = %d, want 1", n)
		}
	})
}

// While the group waits for a silent member, the others prove their generation.
func TestMembershipProvesItselfWhileTheGroupForms(t *testing.T) {
	inMemory(t, func(w *world) {
		a := w.share(w.client(), MembershipConfig{Group: "g", Name: "a", SessionTimeout: 20 * time.Second})
		eventually(w.t, "joined", func() bool { return a.members() == 1 })
		w.joinAndFallSilent("g", "dead", 20*time.Second)
		eventually(w.t, "two members", func() bool { return a.members() == 2 })
		generation := a.Roster().Generation
		b := w.share(w.client(), MembershipConfig{Group: "g", Name: "b", SessionTimeout: 20 * time.Second})
		for range 10 {
			wait(time.Second)
			if age := time.Since(a.lastProof()); a.Roster().Generation == generation && age > 3*time.Second {
				w.t.Fatalf("last proof is %v old while the group forms", age)
			}
		}
		if a.Roster().Generation != generation {
			w.t.Error("the group did not wait: that proves nothing")
		}
		eventually(w.t, "the group has formed", func() bool { return b.members() == 2 && a.members() == 2 })
	})
}

func (w *world) joinAndFallSilent(group, name string, session time.Duration) {
	w.t.Helper()
	wire := newGroupWire(w.client(), group)
	first, err := wire.join(w.ctx(time.Minute), "", session, session, session, encodeMember(name, ""))
	if err == nil {
		w.t.Fatal("joined without an id")
	}
	joined, err := wire.join(w.ctx(time.Minute), first.id, session, session, session, encodeMember(name, ""))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := wire.sync(w.ctx(time.Minute), &joined, session, encodeRoster(joined.members)); err != nil {
		w.t.Fatal(err)
	}
}

func TestMembershipTakesItsFormerLifeOut(t *testing.T) {
	inMemory(t, func(w *world) {
		a := w.share(w.client(), MembershipConfig{Group: "g", Name: "a", SessionTimeout: 5 * time.Minute})
		eventually(w.t, "joined", func() bool { return a.members() == 1 })
		former := a.ID()
		a.become("") // dies without leaving
		a.stop()
		start := time.Now()
		b := w.share(w.client(), MembershipConfig{Group: "g", Name: "a", Former: former, SessionTimeout: 5 * time.Minute})
		eventually(w.t, "joined", func() bool { return b.members() == 1 })
		if d := time.Since(start); d > 10*time.Second {
			w.t.Errorf("joined after %v: waited for the former life", d)
		}
	})
}
