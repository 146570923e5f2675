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
	MinInSync       int           // replicas that must have a record before it is acknowledged
	Compact         bool          // keep the last record of each key
}

// createPatience is how long topics that we may not create can be missing:
// another process or a person may be creating them.
const createPatience = time.Minute

// EnsureTopics creates the topics that are missing and waits until every
// partition of all of them has a leader. Existing ones are left as they are, and
// then no right to create is needed; another number of partitions is logged.
// While brokers are away it retries until ctx ends. A refusal that no retry can
// change is a *pipeline.WriteError of class Fatal.
func (c *Client) EnsureTopics(ctx context.Context, topics []Topic) error {
	t := newTrouble(c.cfg.Log, "create topics")
	existed := make(map[string]bool)
	var refusedSince time.Time
	for attempt := 0; ; attempt++ {
		missing, err := c.missingTopics(ctx, topics, existed)
		if err == nil && len(missing) > 0 {
			err = c.createTopics(ctx, missing)
		}
		if err == nil && len(missing) == 0 {
			t.ok(place{})
			c.passed()
			return nil
		}
		if err != nil {
			if refused, ok := errors.AsType[*authorizationError](err); ok && refused.Operation == opCreate {
				if refusedSince.IsZero() {
					refusedSince = time.Now()
				}
				if time.Since(refusedSince) >= createPatience {
					return c.fatal("kafka create topics", err)
				}
			} else if judge(err) == fatal || errors.Is(err, errRefusedTopic) {
				return c.fatal("kafka create topics", err)
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

// missingTopics gives the topics to create; an error while one has no leaders
// yet, and if we may not see one.
func (c *Client) missingTopics(ctx context.Context, topics []Topic, existed map[string]bool) ([]Topic, error) {
	states, err := c.fetchMetadata(ctx, topicNames(topics))
	if err != nil {
		return nil, err
	}
	var missing []Topic
	var hidden []string
	var waiting error
	for i := range topics {
		t := &topics[i]
		s := states[t.Name]
		switch {
		case s == nil || errors.Is(s.err, kafka.UnknownTopicOrPartition):
			missing = append(missing, *t)
			continue
		case errors.Is(s.err, kafka.TopicAuthorizationFailed):
			hidden = append(hidden, t.Name)
			continue
		case s.err != nil:
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
	if len(hidden) > 0 {
		return nil, c.notAllowed(opDescribe, hidden, kafka.TopicAuthorizationFailed)
	}
	if len(missing) > 0 {
		return missing, nil
	}
	return nil, waiting
}

func topicNames(topics []Topic) []string {
	names := make([]string, len(topics))
	for i := range topics {
		names[i] = topics[i].Name
	}
	return names
}

// createTopics asks for all topics at once. Those that access rules refuse are
// told together, after all other trouble.
func (c *Client) createTopics(ctx context.Context, topics []Topic) error {
	res, err := c.requestTopics(ctx, topics, false)
	if err != nil {
		return c.explain(err)
	}
	var faults []error
	var refused []string
	for _, name := range topicNames(topics) {
		err := res.Errors[name]
		switch {
		case err == nil:
			c.cfg.Log.Info("topic created", slog.String("topic", name))
		case errors.Is(err, kafka.TopicAlreadyExists):
		case errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.ClusterAuthorizationFailed):
			refused = append(refused, name)
		case errors.Is(err, kafka.InvalidPartitionNumber), errors.Is(err, kafka.InvalidConfiguration), errors.Is(err, kafka.PolicyViolation):
			return fmt.Errorf("topic %s: %w: %w", name, errRefusedTopic, err)
		case judge(err) == fatal:
			return fmt.Errorf("topic %s: %w", name, err)
		default:
			faults = append(faults, fmt.Errorf("topic %s: %w", name, err))
		}
	}
	if len(faults) == 0 && len(refused) > 0 {
		return c.notAllowed(opCreate, refused, kafka.TopicAuthorizationFailed)
	}
	return errors.Join(faults...)
}

// requestTopics sends one request to create, or with check to see whether that
// would pass.
func (c *Client) requestTopics(ctx context.Context, topics []Topic, check bool) (*kafka.CreateTopicsResponse, error) {
	// A transport of its own: kafka-go waits until new topics show in the
	// transport's metadata, and ours asks for none.
	transport := c.newTransport(nil)
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	req := &kafka.CreateTopicsRequest{Addr: c.addr, ValidateOnly: check}
	for i := range topics {
		req.Topics = append(req.Topics, topics[i].settings())
	}
	return (&kafka.Client{Transport: transport}).CreateTopics(ctx, req)
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
	if t.MinInSync > 0 {
		set("min.insync.replicas", strconv.Itoa(t.MinInSync))
	}
	if t.Compact {
		set("cleanup.policy", "compact")
	}
	return cfg
}
