// Package embedded holds the servers that a single machine runs in its own
// process: a broker that speaks Kafka's protocol and an InfluxDB 1.8.
package embedded

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Limits of the embedded broker. It reads its log into memory after an unclean
// stop, so all topics together stay near 256 MiB.
const (
	Partitions     = 4
	PartitionBytes = 256 << 20 / (6 * Partitions) // six topics
	Retention      = 7 * 24 * time.Hour
)

// trimEvery is how often the limit is looked at: a past that is fed at full
// pace brings 100 MB a second.
const trimEvery = 5 * time.Second

// Broker is a Kafka broker in this process, durable in its folder: each
// acknowledged batch is forced to the disk.
type Broker struct {
	cluster *kfake.Cluster
	cfg     BrokerConfig
	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once
}

// BrokerConfig says where the broker lives and what it may forget.
type BrokerConfig struct {
	Dir  string
	Port int // of 127.0.0.1; 0 takes a free one
	// Listen replaces net.Listen, for tests that take the network away.
	Listen func(network, address string) (net.Listener, error)

	// Topics are kept within LimitBytes for each partition, the oldest records
	// going first. What Group has not committed in the topics it has ever
	// committed in is never forgotten.
	Topics     []string
	Group      string
	LimitBytes int64 // 0 means PartitionBytes
}

// StartBroker opens the folder and serves.
func StartBroker(cfg BrokerConfig) (*Broker, error) {
	if cfg.LimitBytes == 0 {
		cfg.LimitBytes = PartitionBytes
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(cfg.Port), kfake.DataDir(cfg.Dir), kfake.SyncWrites(),
		kfake.DefaultNumPartitions(Partitions),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms": strconv.FormatInt(Retention.Milliseconds(), 10), "message.max.bytes": strconv.Itoa(5 << 20),
			"log.segment.bytes": strconv.Itoa(4 << 20),
		}),
	}
	if cfg.Listen != nil {
		opts = append(opts, kfake.ListenFn(cfg.Listen))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	b := &Broker{cluster: cluster, cfg: cfg, stop: make(chan struct{})}
	b.stopped.Go(b.retain) // ends with Close
	return b, nil
}

// Addr is what clients are given as bootstrap address.
func (b *Broker) Addr() string { return b.cluster.ListenAddrs()[0] }

// End gives the number of records ever written to a topic, over all partitions.
func (b *Broker) End(topic string) int64 {
	var n int64
	for _, p := range b.cluster.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	return n
}

// Behind gives the number of a topic's records that a group has not committed.
func (b *Broker) Behind(group, topic string) int64 {
	n := b.End(topic)
	for _, c := range b.commits(group)[topic] {
		n -= c.Offset
	}
	return n
}

// Bytes gives the size of a topic's records.
func (b *Broker) Bytes(topic string) int64 {
	var n int64
	for _, p := range b.cluster.PartitionInfos(topic) {
		n += p.NumBytes
	}
	return n
}

func (b *Broker) commits(group string) map[string]map[int32]kfake.GroupCommit {
	info := b.cluster.GroupInfo(group)
	if info == nil {
		return nil
	}
	return info.Commits
}

// retain keeps the topics within their limits, which the broker does not do by
// itself after a restart.
func (b *Broker) retain() {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
			b.Trim()
			if n%int(time.Minute/trimEvery) == 0 {
				b.cluster.ApplyRetention()
			}
		case <-b.stop:
			return
		}
	}
}

// Trim forgets the oldest records of partitions over their limit, as if all of
// a partition's records had one size. The broker does it every few seconds.
func (b *Broker) Trim() {
	commits := b.commits(b.cfg.Group)
	for _, topic := range b.cfg.Topics {
		for _, p := range b.cluster.PartitionInfos(topic) {
			if p.NumBytes <= b.cfg.LimitBytes {
				continue
			}
			kept := (p.HighWatermark - p.LogStartOffset) * b.cfg.LimitBytes / p.NumBytes
			start := p.HighWatermark - kept
			if read, ok := commits[topic]; ok {
				start = min(start, read[p.Partition].Offset)
			}
			if start > p.LogStartOffset {
				_ = b.cluster.DeleteRecords(topic, p.Partition, start) // fails only for a topic that is gone
			}
		}
	}
}

// Close stops the broker; its clients should have gone before.
func (b *Broker) Close() {
	b.once.Do(func() {
		close(b.stop)
		b.stopped.Wait()
		b.cluster.Close()
	})
}
