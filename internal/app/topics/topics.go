// Package topics says how the pipeline's topics are made when they are missing.
package topics

import (
	"fmt"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
)

// Plan is what an operator may choose. Topics that exist are left as they are.
type Plan struct {
	Names             pipeline.Topics
	Partitions        int
	Replication       int
	MinInSync         int           // 0 is 2 from 3 replicas on: no acknowledged record is on one disk alone, and one broker may be away
	ReadingsRetention time.Duration // of readings, gaps, charging sessions and vehicles
	RawRetention      time.Duration // of raw and dead letters: personal data
	MaxBytes          int64         // per partition; 0 leaves it to the broker
}

// LargeMessageBytes is the largest message of the raw and dead-letter topics.
const LargeMessageBytes = 4 << 20

// List gives the topics in the order of the data flow.
func (p Plan) List() []kafka.Topic {
	small := kafka.Topic{
		Partitions: p.Partitions, Replication: p.Replication, MinInSync: p.minInSync(), Retention: p.ReadingsRetention, RetentionBytes: p.MaxBytes,
	}
	large := small
	large.Retention, large.MaxMessageBytes = p.RawRetention, LargeMessageBytes
	named := func(t kafka.Topic, name string) kafka.Topic {
		t.Name = name
		return t
	}
	return []kafka.Topic{
		named(large, p.Names.Raw), named(small, p.Names.Readings), named(small, p.Names.Gaps),
		named(small, p.Names.ChargingSessions), named(small, p.Names.Vehicles), named(large, p.Names.DeadLetters),
	}
}

func (p Plan) minInSync() int {
	if p.MinInSync == 0 && p.Replication >= 3 {
		return 2
	}
	return p.MinInSync
}

// Without is List but for the topics named.
func (p Plan) Without(names ...string) []kafka.Topic {
	return slices.DeleteFunc(p.List(), func(t kafka.Topic) bool { return slices.Contains(names, t.Name) })
}

// The rights that the processes need of Kafka's access rules, for errors that say
// what to grant. Creating is needed only for topics that nobody else makes.

// IngestRights gives those of ingest.
func IngestRights(prefix string) string {
	return fmt.Sprintf("Describe, Write and (unless the topics are there) Create on topics %s*", prefix)
}

// SinkRights gives those of the sink.
func SinkRights(prefix, group string) string {
	return fmt.Sprintf("Describe, Read and (unless the topics are there) Create on topics %s*, Write on topic %s, Read on group %s",
		prefix, pipeline.TopicsFor(prefix).DeadLetters, group)
}

// BackfillRights gives those of backfill.
func BackfillRights(prefix, group string) string {
	return fmt.Sprintf("Describe, Read, Write and (unless the topics are there) Create on topics %s*, Read on group %s", prefix, group)
}

// Producer gives the batch limits that fit the topics of List.
func Producer(names pipeline.Topics) kafka.ProducerConfig {
	const limit = LargeMessageBytes - 1<<10
	return kafka.ProducerConfig{TopicMaxBytes: map[string]int{names.Raw: limit, names.DeadLetters: limit}}
}
