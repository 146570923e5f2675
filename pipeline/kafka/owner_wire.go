package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// The versions of the group requests, known to all brokers since Kafka 2.2.
// kafka-go's own Heartbeat and LeaveGroup read error code and throttle time in
// the wrong order, so that a refusal looks like success.
const (
	findCoordinatorVersion = 2
	joinGroupVersion       = 4 // the first that names a member before it counts
	syncGroupVersion       = 2
	heartbeatVersion       = 2
	leaveGroupVersion      = 2
)

// groupWire sends the requests of one group to its coordinator. It is safe for
// concurrent use. An error with a code of the broker is a kafka.Error.
type groupWire struct {
	client      *Client
	group       string
	coordinator atomic.Int32 // node, negative while unknown
}

func newGroupWire(c *Client, group string) *groupWire {
	w := &groupWire{client: c, group: group}
	w.coordinator.Store(-1)
	return w
}

// ask sends one request; fill writes the fields after the group's name, which
// all of them start with. Its answer begins with throttle time and error code.
func (w *groupWire) ask(ctx context.Context, key protocol.ApiKey, version int16, wait time.Duration, fill func(b []byte) []byte) (*reader, error) {
	node := w.coordinator.Load()
	if node < 0 {
		var err error
		if node, err = w.find(ctx); err != nil {
			return nil, fmt.Errorf("find coordinator: %w", err)
		}
		w.coordinator.Store(node)
	}
	var x call
	x.begin(key, version, node, w.client.cfg.ClientID)
	x.request = fill(appendString(x.request, w.group))
	if err := w.client.do(ctx, &x, wait); err != nil {
		w.coordinator.CompareAndSwap(node, -1)
		return nil, err
	}
	r := &reader{b: x.reply}
	r.int32() // throttle time: the broker itself holds the next answer back
	code := r.int16()
	if r.err != nil {
		return nil, r.err
	}
	if code == notCoordinator || code == coordinatorNotAvailable {
		w.coordinator.CompareAndSwap(node, -1)
	}
	return r, codeError(code)
}

// Codes that send one to another broker.
const (
	coordinatorNotAvailable = 15
	notCoordinator          = 16
)

func (w *groupWire) find(ctx context.Context) (int32, error) {
	var x call
	x.begin(protocol.FindCoordinator, findCoordinatorVersion, -1, w.client.cfg.ClientID)
	x.request = append(appendString(x.request, w.group), 0) // 0: a group's
	if err := w.client.do(ctx, &x, 0); err != nil {
		return -1, err
	}
	r := reader{b: x.reply}
	r.int32()
	code := r.int16()
	r.text()
	node := r.int32()
	if r.err != nil {
		return -1, r.err
	}
	return node, codeError(code)
}

// joinAnswer is what a member learns when the group has formed.
type joinAnswer struct {
	generation int32
	leader, id string
	members    []joinedMember // for the leader alone
}

type joinedMember struct {
	id       string
	metadata []byte
}

// join waits until the group has formed. With MemberIDRequired the answer holds
// the id to join with.
func (w *groupWire) join(ctx context.Context, id string, session, rejoin, wait time.Duration, metadata []byte) (joinAnswer, error) {
	r, err := w.ask(ctx, protocol.JoinGroup, joinGroupVersion, wait, func(b []byte) []byte {
		b = appendInt32(b, int32(session.Milliseconds()))
		b = appendInt32(b, int32(rejoin.Milliseconds()))
		b = appendString(b, id)
		b = appendString(b, protocolType)
		b = appendInt32(b, 1)
		b = appendString(b, protocolName)
		return appendSized(b, metadata)
	})
	if r == nil {
		return joinAnswer{}, err
	}
	a := joinAnswer{generation: r.int32()}
	r.text() // the protocol chosen: there is one
	a.leader, a.id = string(r.text()), string(r.text())
	for range r.array(6) {
		a.members = append(a.members, joinedMember{id: string(r.text()), metadata: r.sized()})
	}
	if err == nil {
		err = r.err
	}
	return a, err
}

// sync gives what the leader handed out. The leader's list goes to every member.
func (w *groupWire) sync(ctx context.Context, joined *joinAnswer, wait time.Duration, list []byte) ([]byte, error) {
	r, err := w.ask(ctx, protocol.SyncGroup, syncGroupVersion, wait, func(b []byte) []byte {
		b = appendInt32(b, joined.generation)
		b = appendString(b, joined.id)
		b = appendInt32(b, int32(len(joined.members)))
		for _, m := range joined.members {
			b = appendSized(appendString(b, m.id), list)
		}
		return b
	})
	if err != nil {
		return nil, err
	}
	got := r.sized()
	return got, r.err
}

func (w *groupWire) heartbeat(ctx context.Context, generation int32, id string) error {
	_, err := w.ask(ctx, protocol.Heartbeat, heartbeatVersion, 0, func(b []byte) []byte {
		return appendString(appendInt32(b, generation), id)
	})
	return err
}

func (w *groupWire) leave(ctx context.Context, id string) error {
	_, err := w.ask(ctx, protocol.LeaveGroup, leaveGroupVersion, 0, func(b []byte) []byte { return appendString(b, id) })
	return err
}

func appendSized(b, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
}

// sized gives bytes behind their length.
func (r *reader) sized() []byte {
	n := r.int32()
	if n <= 0 {
		return nil
	}
	return r.take(int(n))
}
