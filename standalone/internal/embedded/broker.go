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
// stop, so all topics together stay under 256 MiB.
const (
	Partitions     = 4
	PartitionBytes = 256 << 20 / (4 * Partitions) // four topics
	Retention      = 7 * 24 * time.Hour
)

// Broker is a Kafka broker in this process, durable in its folder: each
// acknowledged batch is forced to the disk.
type Broker struct {
	cluster *kfake.Cluster
	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once
}

// BrokerConfig says where the broker lives.
type BrokerConfig struct {
	Dir  string
	Port int // of 127.0.0.1; 0 takes a free one
	// Listen replaces net.Listen, for tests that take the network away.
	Listen func(network, address string) (net.Listener, error)
}

// StartBroker opens the folder and serves.
func StartBroker(cfg BrokerConfig) (*Broker, error) {
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
	b := &Broker{cluster: cluster, stop: make(chan struct{})}
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
	info := b.cluster.GroupInfo(group)
	if info == nil {
		return n
	}
	for _, c := range info.Commits[topic] {
		n -= c.Offset
	}
	return n
}

// retain keeps the topics within their limits, which the broker does not do by
// itself after a restart.
func (b *Broker) retain() {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.cluster.ApplyRetention()
		case <-b.stop:
			return
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
