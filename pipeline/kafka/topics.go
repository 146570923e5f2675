package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
)

// Topic is a topic as it should be when it has to be created. A zero field
// leaves the matter to the broker's default.
type Topic struct {
	Name            string
	Partitions      int
	Replication     int
	Retention       time.Duration // by record time
	RetentionBytes  int64         // per partition
	MaxMessageBytes int           // largest batch the broker takes
	Compact         bool          // keep the last record of each key
}

// EnsureTopics creates the topics that are missing and waits until every
// partition of all of them has a leader. Existing ones are left as they are;
// another number of partitions is logged. While brokers are away it retries until
// ctx ends. A refusal that no retry can change is a *pipeline.WriteError of class Fatal.
func (c *Client) EnsureTopics(ctx context.Context, topics []Topic) error {
	t := newTrouble(c.cfg.Log, "create topics")
	existed := make(map[string]bool)
	for attempt := 0; ; attempt++ {
		missing, err := c.missingTopics(ctx, topics, existed)
		if err == nil && len(missing) > 0 {
			err = c.createTopics(ctx, missing)
		}
		if err == nil && len(missing) == 0 {
			t.ok(place{})
			return nil
		}
		if err != nil {
			if judge(err) == fatal || errors.Is(err, errRefusedTopic) {
				return fatalError("kafka create topics", err)
			}
			if ctx.Err() != nil {
				return fmt.Errorf("kafka create topics: %w", err)
			}
			t.fail(place{}, err)
		}
		if err := backoff.Wait(ctx, c.cfg.Backoff.Delay(attempt)); err != nil {
			return fmt.Errorf("kafka create topics: %w", err)
		}
	}
}

// errRefusedTopic marks settings that the cluster will not have.
var errRefusedTopic = errors.New("topic settings refused")

// missingTopics gives the topics to create; an error while one has no leaders yet.
func (c *Client) missingTopics(ctx context.Context, topics []Topic, existed map[string]bool) ([]Topic, error) {
	names := make([]string, len(topics))
	for i := range topics {
		names[i] = topics[i].Name
	}
	states, err := c.fetchMetadata(ctx, names)
	if err != nil {
		return nil, err
	}
	var missing []Topic
	var waiting error
	for i := range topics {
		t := &topics[i]
		s := states[t.Name]
		if s == nil || errors.Is(s.err, kafka.UnknownTopicOrPartition) {
			missing = append(missing, *t)
			continue
		}
		if s.err != nil {
			waiting = fmt.Errorf("topic %s: %w", t.Name, s.err)
			continue
		}
		for id, node := range s.leaders {
			if node < 0 {
				waiting = fmt.Errorf("topic %s partition %d: %w", t.Name, id, kafka.LeaderNotAvailable)
			}
		}
		if !existed[t.Name] && t.Partitions > 0 && len(s.leaders) != t.Partitions {
			c.cfg.Log.Warn("topic exists with another number of partitions, left as it is",
				slog.String("topic", t.Name), slog.Int("partitions", len(s.leaders)), slog.Int("configured", t.Partitions))
		}
		existed[t.Name] = true
	}
	if len(missing) > 0 {
		return missing, nil
	}
	return nil, waiting
}

func (c *Client) createTopics(ctx context.Context, topics []Topic) error {
	// A transport of its own: kafka-go waits until new topics show in the
	// transport's metadata, and ours asks for none.
	transport := c.newTransport(nil)
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	req := &kafka.CreateTopicsRequest{Addr: c.addr}
	for i := range topics {
		req.Topics = append(req.Topics, topics[i].settings())
	}
	res, err := (&kafka.Client{Transport: transport}).CreateTopics(ctx, req)
	if err != nil {
		return err
	}
	var faults []error
	for name, err := range res.Errors {
		switch {
		case err == nil:
			c.cfg.Log.Info("topic created", slog.String("topic", name))
		case errors.Is(err, kafka.TopicAlreadyExists):
		case errors.Is(err, kafka.InvalidPartitionNumber), errors.Is(err, kafka.InvalidConfiguration), errors.Is(err, kafka.PolicyViolation):
			return fmt.Errorf("topic %s: %w: %w", name, errRefusedTopic, err)
		case judge(err) == fatal:
			return fmt.Errorf("topic %s: %w", name, err)
		default:
			faults = append(faults, fmt.Errorf("topic %s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

func (t *Topic) settings() kafka.TopicConfig {
	cfg := kafka.TopicConfig{Topic: t.Name, NumPartitions: -1, ReplicationFactor: -1}
	if t.Partitions > 0 {
		cfg.NumPartitions = t.Partitions
	}
	if t.Replication > 0 {
		cfg.ReplicationFactor = t.Replication
	}
	set := func(name, value string) {
		cfg.ConfigEntries = append(cfg.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	if t.Retention > 0 {
		set("retention.ms", strconv.FormatInt(t.Retention.Milliseconds(), 10))
	}
	if t.RetentionBytes > 0 {
		set("retention.bytes", strconv.FormatInt(t.RetentionBytes, 10))
	}
	if t.MaxMessageBytes > 0 {
		set("max.message.bytes", strconv.Itoa(t.MaxMessageBytes))
	}
	if t.Compact {
		set("cleanup.policy", "compact")
	}
	return cfg
}
