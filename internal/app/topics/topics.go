// Package topics says how the pipeline's topics are made when they are missing.
package topics

import (
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
)

// Plan is what an operator may choose. Topics that exist are left as they are.
type Plan struct {
	Names             pipeline.Topics
	Partitions        int
	Replication       int
	ReadingsRetention time.Duration // of readings, gaps, charging sessions and vehicles
	RawRetention      time.Duration // of raw and dead letters: personal data
	MaxBytes          int64         // per partition; 0 leaves it to the broker
}

// LargeMessageBytes is the largest message of the raw and dead-letter topics.
const LargeMessageBytes = 4 << 20

// List gives the topics in the order of the data flow.
func (p Plan) List() []kafka.Topic {
	small := kafka.Topic{
		Partitions: p.Partitions, Replication: p.Replication, Retention: p.ReadingsRetention, RetentionBytes: p.MaxBytes,
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

// Producer gives the batch limits that fit the topics of List.
func Producer(names pipeline.Topics) kafka.ProducerConfig {
	const limit = LargeMessageBytes - 1<<10
	return kafka.ProducerConfig{TopicMaxBytes: map[string]int{names.Raw: limit, names.DeadLetters: limit}}
}
