package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// ConsumerConfig says what a group member reads and how much it may hold.
type ConsumerConfig struct {
	Group  string
	Topics []string
	// MaxBatch is the most records of one handler call; 5000 when 0.
	MaxBatch int
	// MaxWait is how long the broker gathers before it answers with less than
	// MinBytes, and so what reading adds to a record's age; 250 ms when 0.
	MaxWait  time.Duration
	MinBytes int // 64 KiB when 0
	// MaxBytes bounds one fetch of one partition; 1 MiB when 0. Each assigned
	// partition holds at most two fetches: one with the handler, one ahead.
	MaxBytes int
	Parallel int // handler calls at once; 4 when 0
	// CommitEvery is how often finished work is committed; 1 s when 0.
	CommitEvery time.Duration
	// DrainTimeout is how long a running handler call may go on after the
	// partition is revoked or ctx has ended; 20 s when 0. It must stay under
	// SessionTimeout, as no heartbeat is sent meanwhile.
	DrainTimeout   time.Duration
	SessionTimeout time.Duration // 30 s when 0
	Heartbeat      time.Duration // 1 s when 0; also how soon a rebalance is noticed
	WatchEvery     time.Duration // looks for new partitions; 15 s when 0
}

// Handler makes a batch of one partition durable. It returns nil only when it
// is, and must honour ctx, which ends when the time to drain is over. The batch
// is valid until the handler returns.
type Handler func(ctx context.Context, topic string, partition int, batch []pipeline.Record) error

// ConsumerStats counts what a Consumer did. All fields only grow.
type ConsumerStats struct {
	Records      atomic.Int64 // handled
	Bytes        atomic.Int64 // fetched
	Fetches      atomic.Int64 // answered
	Commits      atomic.Int64 // requests that succeeded
	CommitErrors atomic.Int64
	Rebalances   atomic.Int64 // generations joined
	LostRecords  atomic.Int64 // deleted by retention before they were read
	OffsetResets atomic.Int64 // times a position was outside the log
	Abandoned    atomic.Int64 // handler calls cut off by the drain timeout
}

// PartitionStatus is where one assigned partition stands.
type PartitionStatus struct {
	Topic     string
	Partition int
	Next      int64 // offset after the last record handled; -1: not yet known
	Committed int64 // -1: nothing committed in this assignment
	End       int64 // end of the log as last seen; -1: not yet known
}

// Lag is the number of records not yet handled, 0 while unknown.
func (p PartitionStatus) Lag() int64 {
	if p.Next < 0 || p.End < p.Next {
		return 0
	}
	return p.End - p.Next
}

// ConsumerStatus is where a Consumer stands.
type ConsumerStatus struct {
	Joined     bool // a member of the group now
	Partitions []PartitionStatus
	Status
}

// Consumer is one member of a consumer group. Run may be called once; Stats and
// Status may be read at any time.
type Consumer struct {
	Stats ConsumerStats

	client  *Client
	cfg     ConsumerConfig
	trouble *trouble
	slots   chan struct{} // capacity Parallel

	mu       sync.Mutex // guards joined, assigned
	joined   bool
	assigned []*assignment
}

// NewConsumer gives a group member that has not joined yet.
func (c *Client) NewConsumer(cfg ConsumerConfig) *Consumer {
	cfg.MaxBatch = orDefault(cfg.MaxBatch, 5000)
	cfg.MaxWait = orDefault(cfg.MaxWait, 250*time.Millisecond)
	cfg.MinBytes = orDefault(cfg.MinBytes, 64<<10)
	cfg.MaxBytes = orDefault(cfg.MaxBytes, 1<<20)
	cfg.Parallel = orDefault(cfg.Parallel, 4)
	cfg.CommitEvery = orDefault(cfg.CommitEvery, time.Second)
	cfg.SessionTimeout = orDefault(cfg.SessionTimeout, 30*time.Second)
	cfg.DrainTimeout = orDefault(cfg.DrainTimeout, 20*time.Second)
	cfg.DrainTimeout = min(cfg.DrainTimeout, cfg.SessionTimeout*9/10)
	cfg.Heartbeat = min(orDefault(cfg.Heartbeat, time.Second), cfg.SessionTimeout/3)
	cfg.WatchEvery = orDefault(cfg.WatchEvery, 15*time.Second)
	return &Consumer{
		client:  c,
		cfg:     cfg,
		trouble: newTrouble(c.cfg.Log, "consume"),
		slots:   make(chan struct{}, cfg.Parallel),
	}
}

// Consume runs a Consumer of its own; see Run.
func (c *Client) Consume(ctx context.Context, cfg ConsumerConfig, handle Handler) error {
	return c.NewConsumer(cfg).Run(ctx, handle)
}

// Run joins the group and hands each assigned partition's records to handle, in
// order, one call at a time per partition, until ctx ends. It then lets running
// calls finish, commits, leaves the group and returns nil. Brokers that are away
// only make it wait.
//
// An offset is committed only after handle returned nil for all records before
// it. An error of handle is final: Run stops everywhere, commits what is done
// and returns that error. What needs a person is a *pipeline.WriteError of class Fatal.
//
// A partition without a committed offset starts at its first record. A committed
// offset outside the log is counted, logged as an error, and starts there too.
func (c *Consumer) Run(ctx context.Context, handle Handler) error {
	r := &run{c: c, handle: handle}
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	r.stop = cancel
	if err := c.awaitCoordinator(stop); err != nil {
		return r.result(err)
	}
	conns := &connSet{open: make(map[net.Conn]struct{})}
	group, err := c.join(conns)
	if err != nil {
		return fatalError("kafka join group", err)
	}
	err = r.generations(stop, group)
	cancel()
	c.leave(group, conns)
	c.trouble.forget()
	return r.result(err)
}

// Status gives assigned partitions, positions and trouble. It is safe for
// concurrent use.
func (c *Consumer) Status() ConsumerStatus {
	since, last := c.trouble.status()
	s := ConsumerStatus{Status: Status{AwaySince: since, LastError: last}}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Joined = c.joined
	for _, a := range c.assigned {
		s.Partitions = append(s.Partitions, a.status())
	}
	return s
}

func (c *Consumer) assign(joined bool, list []*assignment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined, c.assigned = joined, list
}

// awaitCoordinator asks until the group has a coordinator. A broker's first group
// has none at first, and kafka-go's join would then pause for its whole back-off.
func (c *Consumer) awaitCoordinator(ctx context.Context) error {
	client := &kafka.Client{Addr: c.client.addr, Transport: c.client.transport, Timeout: c.client.cfg.RequestTimeout}
	for attempt := 0; ; attempt++ {
		res, err := client.FindCoordinator(ctx, &kafka.FindCoordinatorRequest{Key: c.cfg.Group, KeyType: kafka.CoordinatorKeyTypeConsumer})
		if err == nil {
			err = res.Error
		}
		if err == nil {
			c.trouble.ok(joining())
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if judge(err) == fatal {
			return c.client.fatal("kafka find coordinator", c.refusal(err))
		}
		c.trouble.fail(joining(), c.client.explain(err))
		if err := backoff.Wait(ctx, c.client.cfg.Backoff.Delay(attempt)); err != nil {
			return err
		}
	}
}

// refusal names what the group protocol was refused: kafka-go tells a code alone.
func (c *Consumer) refusal(err error) error {
	if errors.Is(err, kafka.GroupAuthorizationFailed) {
		return c.client.refusal(opRead, c.cfg.Group, err)
	}
	return c.client.refusal(opRead, strings.Join(c.cfg.Topics, ", "), err)
}

func (c *Consumer) join(conns *connSet) (*kafka.ConsumerGroup, error) {
	dialer := c.client.newDialer()
	dialer.DialFunc = conns.track(dialer.DialFunc)
	return kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                c.cfg.Group,
		Brokers:           c.client.cfg.Brokers,
		Dialer:            dialer,
		Topics:            c.cfg.Topics,
		HeartbeatInterval: c.cfg.Heartbeat,
		SessionTimeout:    c.cfg.SessionTimeout,
		RebalanceTimeout:  c.cfg.DrainTimeout + 5*time.Second,
		JoinGroupBackoff:  250 * time.Millisecond,
		StartOffset:       kafka.FirstOffset,
		Timeout:           min(5*time.Second, c.client.cfg.RequestTimeout),
	})
}

// leaveGrace is what a member may take beyond the drain to leave in order.
const leaveGrace = 5 * time.Second

// leave ends the generation, which commits, and tells the coordinator. A member
// that is just joining waits for the others; its patience is the drain's.
func (c *Consumer) leave(group *kafka.ConsumerGroup, conns *connSet) {
	limit := time.AfterFunc(c.cfg.DrainTimeout+leaveGrace, func() {
		c.client.cfg.Log.Warn("kafka group not left in order, its partitions wait for the session timeout", slog.String("group", c.cfg.Group))
		conns.cut()
	})
	defer limit.Stop()
	_ = group.Close() // it waits, and has no error to give
	c.assign(false, nil)
}

// joining and committing are places of the group's own, beside its partitions.
func joining() place    { return place{partition: -1} }
func committing() place { return place{partition: -2} }

// run is one call of Run.
type run struct {
	c      *Consumer
	handle Handler
	stop   context.CancelFunc

	mu    sync.Mutex // guards final
	final error
}

// fail ends the run with the first error given.
func (r *run) fail(err error) {
	r.mu.Lock()
	if r.final == nil {
		r.final = err
	}
	r.mu.Unlock()
	r.stop()
}

// result gives what Run returns: a stop in order is no error.
func (r *run) result(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.final != nil {
		return r.final
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// generations takes part in one generation of the group after the other.
func (r *run) generations(ctx context.Context, group *kafka.ConsumerGroup) error {
	var departures sync.WaitGroup
	defer departures.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends them
	member := ""
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, kafka.ErrGroupClosed):
			return nil
		case err != nil && judge(err) == fatal:
			return r.c.client.fatal("kafka join group", r.c.refusal(err))
		case err != nil:
			r.c.assign(false, nil)
			r.c.trouble.fail(joining(), fmt.Errorf("group %s: %w", r.c.cfg.Group, r.c.client.explain(err)))
			if stale := member; stale != "" && !errors.Is(err, kafka.RebalanceInProgress) {
				member = "" // kafka-go joins as a new one
				departures.Go(func() { r.c.depart(ctx, stale) })
			}
			continue
		}
		member = gen.MemberID
		r.c.trouble.ok(joining())
		r.c.Stats.Rebalances.Add(1)
		gen.Start(func(ended context.Context) { r.generation(ctx, ended, gen) })
	}
}

// depart takes a membership back that ended with its connection, so that the
// group need not wait for its session timeout. It ends when the coordinator has
// let it go, when that timeout has passed, or with ctx.
func (c *Consumer) depart(ctx context.Context, member string) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.SessionTimeout)
	defer cancel()
	client := &kafka.Client{Addr: c.client.addr, Transport: c.client.transport, Timeout: c.client.cfg.RequestTimeout}
	req := &kafka.LeaveGroupRequest{GroupID: c.cfg.Group, Members: []kafka.LeaveGroupRequestMember{{ID: member}}}
	for attempt := 0; ; attempt++ {
		res, err := client.LeaveGroup(ctx, req)
		if err == nil {
			err = errors.Join(res.Error, res.Members[0].Error)
		}
		if err == nil {
			return // not for an unknown member: a coordinator still loading may say so too
		}
		if backoff.Wait(ctx, c.client.cfg.Backoff.Delay(attempt)) != nil {
			return
		}
	}
}
