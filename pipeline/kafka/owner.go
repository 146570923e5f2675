package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
)

// MembershipConfig says how a process takes part in sharing keys out.
type MembershipConfig struct {
	Group string
	Name  string // of this process, the same after a restart
	Note  string // what the other members are told of it, such as an address
	// Former is the coordinator's id of a former life that is surely over, "" for
	// none: it is taken out first, so that nobody waits for its session to end.
	Former string
	// SessionTimeout is how long the group waits for a member that is silent; 15 s
	// when 0. Brokers allow 6 s to 30 min by default.
	SessionTimeout time.Duration
	Heartbeat      time.Duration // 1 s when 0, at most a fifth of SessionTimeout
	// Rejoin is how long a member may take to answer when the group is formed
	// anew; twice the SessionTimeout when 0, and never less than it.
	Rejoin time.Duration

	// Joined hears each new roster, Proof each moment at which this member was sure
	// to be one of the latest roster's. Both are called by one goroutine at a time
	// and must not block.
	Joined func(*Roster)
	Proof  func(at time.Time)
}

// MembershipStats counts what a Membership did. All fields only grow.
type MembershipStats struct {
	GroupJoins    atomic.Int64 // rosters got
	GroupRemovals atomic.Int64 // times the group had gone on without this member
	GroupFaults   atomic.Int64 // requests that failed
}

// Membership is one member of a group that shares keys out: each key belongs to
// one member, by the roster that all of them get. It uses Kafka's group
// coordinator alone: no topic, no offsets.
//
// It speaks the group protocol itself because kafka-go's ConsumerGroup leaves the
// group behind one's back when a connection breaks: then others are given this
// member's keys at once, while it still believes in them. This one leaves
// only when told to.
type Membership struct {
	Stats MembershipStats

	client  *Client
	wire    *groupWire
	cfg     MembershipConfig
	trouble *trouble

	mu     sync.Mutex // guards below
	id     string     // "" when not a member
	roster *Roster
}

// NewMembership gives a member that has not joined yet.
func (c *Client) NewMembership(cfg MembershipConfig) *Membership {
	cfg.SessionTimeout = orDefault(cfg.SessionTimeout, 15*time.Second)
	cfg.Heartbeat = min(orDefault(cfg.Heartbeat, time.Second), cfg.SessionTimeout/5)
	cfg.Rejoin = max(orDefault(cfg.Rejoin, 2*cfg.SessionTimeout), cfg.SessionTimeout)
	return &Membership{
		client: c, cfg: cfg, trouble: newTrouble(c.cfg.Log, "share keys out"),
		wire: newGroupWire(c, cfg.Group),
	}
}

// Roster gives the latest roster, nil before the first.
func (m *Membership) Roster() *Roster {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.roster
}

// ID gives the coordinator's name for this member, "" when it has none.
func (m *Membership) ID() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

// Status gives since when the group cannot be reached, and why. It is safe for
// concurrent use.
func (m *Membership) Status() Status {
	since, last := m.trouble.status()
	return Status{AwaySince: since, LastError: last}
}

// Run takes part until ctx ends, then leaves the group. It goes on through every
// fault: what only a person can cure is in Status and in the log.
func (m *Membership) Run(ctx context.Context) {
	if m.cfg.Former != "" {
		m.leave(ctx, m.cfg.Former)
	}
	for attempt := 0; ctx.Err() == nil; {
		err := m.generation(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			attempt = 0
		default:
			m.Stats.GroupFaults.Add(1)
			m.trouble.fail(joining(), fmt.Errorf("group %s: %w", m.cfg.Group, err))
			_ = backoff.Wait(ctx, m.client.cfg.Backoff.Delay(attempt)) // the loop asks ctx itself
			attempt++
		}
	}
	if id := m.ID(); id != "" {
		m.leave(context.WithoutCancel(ctx), id)
		m.become("")
	}
	m.trouble.forget()
}

func (m *Membership) become(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id = id
}

// generation joins and stays until the group is to be formed anew: then nil.
func (m *Membership) generation(ctx context.Context) error {
	joined, err := m.join(ctx)
	if err != nil || joined == nil {
		return m.judge(err)
	}
	sent := time.Now()
	roster, err := m.sync(ctx, joined)
	if err != nil {
		return m.judge(err)
	}
	m.trouble.ok(joining())
	m.Stats.GroupJoins.Add(1)
	m.mu.Lock()
	m.roster = roster
	m.mu.Unlock()
	m.client.cfg.Log.Info("group shares out anew", slog.String("group", m.cfg.Group),
		slog.Int("generation", int(roster.Generation)), slog.Int("members", len(roster.Members)))
	m.cfg.Joined(roster)
	m.cfg.Proof(sent)
	return m.judge(m.beat(ctx, joined.generation, joined.id))
}

// errRegroup says that the group is being formed anew, with this member.
var errRegroup = errors.New("the group is formed anew")

// judge draws the consequences of an error for the membership; what it returns
// is a fault, after which one waits.
func (m *Membership) judge(err error) error {
	code, _ := errors.AsType[kafka.Error](err)
	switch {
	case err == nil, errors.Is(err, errRegroup):
		return nil
	case code == kafka.RebalanceInProgress, code == kafka.IllegalGeneration:
		return nil
	case code == kafka.UnknownMemberId, code == kafka.FencedInstanceID:
		m.become("")
		m.Stats.GroupRemovals.Add(1)
		m.client.cfg.Log.Warn("group went on without this member, joining again", slog.String("group", m.cfg.Group))
		return nil
	default:
		return err
	}
}

// join waits until the group has formed. While it waits, the former generation is
// the latest one, and heartbeats prove it. Without error and answer it has only
// got its id.
func (m *Membership) join(ctx context.Context) (*joinAnswer, error) {
	var beats sync.WaitGroup
	defer beats.Wait()
	beating, stop := context.WithCancel(ctx)
	defer stop()
	id := m.ID()
	if r := m.Roster(); r != nil && id != "" && r.Members[r.Self].ID == id {
		beats.Go(func() { m.beatWhileJoining(beating, r.Generation, id) }) // ends with beating
	}
	wait := m.cfg.Rejoin + m.cfg.SessionTimeout
	a, err := m.wire.join(ctx, id, m.cfg.SessionTimeout, m.cfg.Rejoin, wait, encodeMember(m.cfg.Name, m.cfg.Note))
	if errors.Is(err, kafka.MemberIDRequired) {
		m.become(a.id)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	m.become(a.id)
	return &a, nil
}

// sync hands the roster out, as the leader, and gets it.
func (m *Membership) sync(ctx context.Context, joined *joinAnswer) (*Roster, error) {
	var list []byte
	if joined.leader == joined.id {
		list = encodeRoster(joined.members)
	}
	got, err := m.wire.sync(ctx, joined, m.cfg.SessionTimeout, list)
	if err != nil {
		return nil, fmt.Errorf("sync: %w", err)
	}
	return decodeRoster(got, joined.generation, joined.id)
}

// beat tells the coordinator that this member lives until it answers otherwise.
// Silence does not end it: whoever cannot be reached has not decided anything.
func (m *Membership) beat(ctx context.Context, generation int32, id string) error {
	t := time.NewTicker(m.cfg.Heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		at := time.Now()
		err := m.heartbeat(ctx, generation, id)
		code, decided := errors.AsType[kafka.Error](err)
		switch {
		case err == nil:
			m.trouble.ok(joining())
			m.cfg.Proof(at)
		case code == kafka.RebalanceInProgress:
			m.cfg.Proof(at)
			return errRegroup
		case decided && code != kafka.GroupCoordinatorNotAvailable && code != kafka.GroupLoadInProgress && code != kafka.NotCoordinatorForGroup:
			return err
		case ctx.Err() == nil:
			m.Stats.GroupFaults.Add(1)
			m.trouble.fail(joining(), fmt.Errorf("group %s: %w", m.cfg.Group, err))
		}
	}
}

// beatWhileJoining proves the former generation while the next one forms.
func (m *Membership) beatWhileJoining(ctx context.Context, generation int32, id string) {
	t := time.NewTicker(m.cfg.Heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		at := time.Now()
		if err := m.heartbeat(ctx, generation, id); err == nil || errors.Is(err, kafka.RebalanceInProgress) {
			m.cfg.Proof(at)
		}
	}
}

func (m *Membership) heartbeat(ctx context.Context, generation int32, id string) error {
	ctx, cancel := context.WithTimeout(ctx, min(m.client.cfg.RequestTimeout, m.cfg.SessionTimeout/3)) // leaves room for another try
	defer cancel()
	if err := m.wire.heartbeat(ctx, generation, id); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}

// leave takes a member out of the group. What fails is left to its session
// timeout.
func (m *Membership) leave(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, leaveGrace)
	defer cancel()
	err := m.wire.leave(ctx, id)
	if err != nil && !errors.Is(err, kafka.UnknownMemberId) {
		m.client.cfg.Log.Info("group member is not taken out, the others wait for its session", slog.String("group", m.cfg.Group), slog.Any("err", err))
	}
}
