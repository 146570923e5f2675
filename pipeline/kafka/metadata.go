package kafka

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// metadata remembers the partitions and leaders of the topics in use. It is safe
// for concurrent use; one refresh runs at a time.
type metadata struct {
	client *Client
	busy   chan struct{} // capacity 1: holds the token of the refresh under way

	mu     sync.Mutex // guards topics
	topics map[string]*topicState
}

// minMetadataAge keeps many partitions that fail at once from asking once each.
const minMetadataAge = 10 * time.Millisecond

// topicState is never changed once published, but for stale under metadata.mu.
type topicState struct {
	leaders  []int32 // by partition; -1 when it has none
	replicas int     // of the last partition told
	err      error   // what the cluster said instead
	at       time.Time
	stale    bool
}

func newMetadata(c *Client) *metadata {
	return &metadata{client: c, busy: make(chan struct{}, 1), topics: make(map[string]*topicState)}
}

// topic gives what is known of a topic, asking the cluster when that is old or
// has proved wrong. An old answer serves while the cluster gives none.
func (m *metadata) topic(ctx context.Context, name string) (*topicState, error) {
	if t := m.fresh(name); t != nil {
		return t, t.err
	}
	select {
	case m.busy <- struct{}{}:
		defer func() { <-m.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t := m.fresh(name); t != nil { // someone else has asked meanwhile
		return t, t.err
	}
	err := m.refresh(ctx, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[name]
	if err == nil {
		return t, t.err
	}
	if t == nil || t.err != nil {
		return nil, err
	}
	again := *t // believed a little longer, so that not every request waits for this
	again.at = time.Now().Add(time.Second - m.client.cfg.MetadataAge)
	again.stale = false
	m.topics[name] = &again
	return &again, nil
}

func (m *metadata) fresh(name string) *topicState {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[name]
	if t == nil {
		return nil
	}
	limit := m.client.cfg.MetadataAge
	if t.stale || t.err != nil {
		limit = minMetadataAge
	}
	if time.Since(t.at) > limit {
		return nil
	}
	return t
}

// refresh asks for all topics in use and name at once.
func (m *metadata) refresh(ctx context.Context, name string) error {
	m.mu.Lock()
	names := make([]string, 0, len(m.topics)+1)
	names = append(names, name)
	for n := range m.topics {
		if n != name {
			names = append(names, n)
		}
	}
	m.mu.Unlock()
	got, err := m.client.fetchMetadata(ctx, names)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.topics, got)
	if m.topics[name] == nil {
		return fmt.Errorf("metadata: topic %s: %w", name, errTruncated)
	}
	return nil
}

// leader gives the node that leads a partition.
func (m *metadata) leader(ctx context.Context, at place) (int32, error) {
	t, err := m.topic(ctx, at.topic)
	if err != nil {
		return 0, err
	}
	if int(at.partition) >= len(t.leaders) {
		m.distrust(at.topic)
		return 0, kafka.UnknownTopicOrPartition
	}
	if t.leaders[at.partition] < 0 {
		m.distrust(at.topic)
		return 0, kafka.LeaderNotAvailable
	}
	return t.leaders[at.partition], nil
}

// distrust has the next look at a topic ask the cluster.
func (m *metadata) distrust(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.topics[name]; t != nil {
		t.stale = true
	}
}

// fetchMetadata asks any broker about the named topics; it creates none.
func (c *Client) fetchMetadata(ctx context.Context, names []string) (map[string]*topicState, error) {
	var x call
	x.begin(protocol.Metadata, metadataVersion, -1, c.cfg.ClientID)
	b := appendInt32(x.request, int32(len(names)))
	for _, n := range names {
		b = appendString(b, n)
	}
	b = append(b, 0) // do not create
	x.request = b
	if err := c.do(ctx, &x, 0); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	r := reader{b: x.reply}
	r.int32() // throttle
	for range r.array(12) {
		r.int32()
		r.text()
		r.int32()
		r.text()
	}
	r.text()  // cluster
	r.int32() // controller
	topics := make(map[string]*topicState, len(names))
	now := time.Now()
	for range r.array(9) {
		err := codeError(r.int16())
		name := string(r.text())
		r.take(1) // internal
		t := &topicState{err: err, at: now}
		t.leaders, t.replicas = leaders(&r)
		topics[name] = t
	}
	if r.err != nil {
		return nil, fmt.Errorf("metadata: %w", r.err)
	}
	return topics, nil
}

func leaders(r *reader) (list []int32, replicas int) {
	n := r.array(18)
	list = make([]int32, n)
	for i := range list {
		list[i] = -1
	}
	for range n {
		r.int16() // its error shows as a missing leader
		id, node := int(r.int32()), r.int32()
		replicas = r.array(4)
		r.take(4 * replicas)
		r.take(4 * r.array(4)) // in-sync replicas
		if id >= 0 && id < n {
			list[id] = node
		}
	}
	return list, replicas
}
