package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// TopicView is how a topic looks from outside, for a person who asks.
type TopicView struct {
	Name       string
	Partitions int
	Leaderless int  // partitions that can neither be written nor read now
	Missing    bool // no such topic, or none that we may see
	Refused    bool // the cluster's access rules keep us out
	Err        error
}

// Inspect asks any broker about the topics; it creates and changes nothing. The
// views come in the order of names. The error is that
// no broker answered; a *pipeline.WriteError of class Fatal when a person must act.
func (c *Client) Inspect(ctx context.Context, names []string) ([]TopicView, error) {
	states, err := c.fetchMetadata(ctx, names)
	if err != nil && judge(err) == fatal {
		return nil, fatalError("kafka inspect", err)
	}
	if err != nil {
		return nil, fmt.Errorf("kafka inspect: %w", err)
	}
	views := make([]TopicView, 0, len(names))
	for _, name := range names {
		v := TopicView{Name: name}
		if s := states[name]; s == nil || errors.Is(s.err, kafka.UnknownTopicOrPartition) {
			v.Missing = true
		} else {
			v.Partitions, v.Err = len(s.leaders), s.err
			v.Refused = errors.Is(s.err, kafka.TopicAuthorizationFailed)
			for _, node := range s.leaders {
				if node < 0 {
					v.Leaderless++
				}
			}
		}
		views = append(views, v)
	}
	return views, nil
}
