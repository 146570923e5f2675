package kafka

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
)

// generation is one span of time with a fixed assignment.
type generation struct {
	run  *run
	gen  *kafka.Generation
	list []*assignment
}

// assignment is one partition of one generation.
type assignment struct {
	at        place
	start     int64        // committed offset, negative when there is none
	next      atomic.Int64 // after the last record handled
	committed atomic.Int64
	end       atomic.Int64
}

func (a *assignment) status() PartitionStatus {
	return PartitionStatus{
		Topic: a.at.topic, Partition: int(a.at.partition),
		Next: a.next.Load(), Committed: a.committed.Load(), End: a.end.Load(),
	}
}

// generation reads the assigned partitions until the generation or ctx ends,
// lets running handler calls finish, and commits.
func (r *run) generation(ctx, ended context.Context, gen *kafka.Generation) {
	g := &generation{run: r, gen: gen}
	for topic, partitions := range gen.Assignments {
		for _, p := range partitions {
			a := &assignment{at: place{topic, int32(p.ID)}, start: p.Offset}
			a.next.Store(-1)
			a.committed.Store(-1)
			a.end.Store(-1)
			g.list = append(g.list, a)
		}
	}
	r.c.assign(true, g.list)
	r.c.client.cfg.Log.Info("kafka partitions assigned", slog.String("group", gen.GroupID),
		slog.Int("generation", int(gen.ID)), slog.Int("partitions", len(g.list)))

	intake, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ended, stop)()
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()

	var partitions, others sync.WaitGroup
	for _, a := range g.list {
		partitions.Go(func() { g.partition(intake, work, a) })
	}
	done, finish := context.WithCancel(context.WithoutCancel(ctx))
	defer finish()
	others.Go(func() { g.commitLoop(done) })
	others.Go(func() { g.watch(intake, stop) })
	others.Go(func() { g.drain(intake, done, cut) })
	<-intake.Done()
	partitions.Wait()
	finish()
	others.Wait()
	g.commit()
	r.c.assign(false, nil)
	r.c.trouble.shift(joining())
}

// drain cuts the handler calls off that still run when the time for it is over
// after intake's end. It ends with done.
func (g *generation) drain(intake, done context.Context, cut context.CancelFunc) {
	<-intake.Done()
	if backoff.Wait(done, g.run.c.cfg.DrainTimeout) == nil {
		cut()
	}
}

// commitLoop commits finished work now and then; it ends with ctx.
func (g *generation) commitLoop(ctx context.Context) {
	t := time.NewTicker(g.run.c.cfg.CommitEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			g.commit()
		}
	}
}

// commit tells the coordinator how far each partition is handled. What it does
// not take is tried again at the next turn, or read again by the next owner.
func (g *generation) commit() {
	offsets := make(map[string]map[int]int64)
	next := make([]int64, len(g.list))
	for i, a := range g.list {
		next[i] = a.next.Load()
		if next[i] < 0 || next[i] == a.committed.Load() {
			next[i] = -1
			continue
		}
		if offsets[a.at.topic] == nil {
			offsets[a.at.topic] = make(map[int]int64)
		}
		offsets[a.at.topic][int(a.at.partition)] = next[i]
	}
	if len(offsets) == 0 {
		return
	}
	c := g.run.c
	if err := g.gen.CommitOffsets(offsets); err != nil {
		c.Stats.CommitErrors.Add(1)
		c.trouble.fail(committing(), c.refusal(err))
		return
	}
	c.trouble.ok(committing())
	c.Stats.Commits.Add(1)
	for i, a := range g.list {
		if next[i] >= 0 {
			a.committed.Store(next[i])
		}
	}
}

// watch ends the generation, so that the group shares out anew, when a topic has
// another number of partitions than at its start. It ends with ctx.
func (g *generation) watch(ctx context.Context, stop context.CancelFunc) {
	c := g.run.c
	t := time.NewTicker(c.cfg.WatchEvery)
	defer t.Stop()
	counts := make(map[string]int)
	for {
		for _, topic := range c.cfg.Topics {
			c.client.meta.distrust(topic)
			state, err := c.client.meta.topic(ctx, topic)
			n := 0
			switch {
			case err == nil:
				n = len(state.leaders)
			case !errors.Is(err, kafka.UnknownTopicOrPartition):
				continue
			}
			before, known := counts[topic]
			counts[topic] = n
			if known && before != n {
				c.client.cfg.Log.Info("kafka topic has changed, rejoining", slog.String("topic", topic),
					slog.Int("partitions", n), slog.Int("before", before))
				stop()
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
