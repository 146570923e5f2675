package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"
)

// Comparison is a topic of the cluster beside the one that is wanted.
type Comparison struct {
	Name    string
	Missing bool
	Differs []string // each "setting is X, wanted Y"
	Unseen  string   // why settings could not be compared; empty when they were
	Err     error    // the topic cannot be looked at
}

// Compare looks at the topics and changes nothing. The results come in the order
// of topics. Zero fields of a Topic are not compared.
func (c *Client) Compare(ctx context.Context, topics []Topic) ([]Comparison, error) {
	client := &kafka.Client{Addr: c.addr, Transport: c.transport, Timeout: c.cfg.RequestTimeout}
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: topicNames(topics)})
	if err != nil && judge(err) == fatal {
		return nil, fatalError("kafka look at topics", c.explain(err))
	}
	if err != nil {
		return nil, fmt.Errorf("kafka look at topics: %w", c.explain(err))
	}
	list := make([]Comparison, len(topics))
	var present []Topic
	for i, t := range topics {
		list[i] = c.compareShape(t, meta.Topics)
		if !list[i].Missing && list[i].Err == nil {
			present = append(present, t)
		}
	}
	if len(present) == 0 {
		return list, nil
	}
	settings, err := c.settings(ctx, client, topicNames(present))
	for i := range list {
		if v := &list[i]; !v.Missing && v.Err == nil {
			v.compareSettings(topics[i], settings[v.Name], err)
		}
	}
	return list, nil
}

func (c *Client) compareShape(want Topic, have []kafka.Topic) Comparison {
	v := Comparison{Name: want.Name}
	at := slices.IndexFunc(have, func(t kafka.Topic) bool { return t.Name == want.Name })
	if at < 0 {
		v.Missing = true
		return v
	}
	t := have[at]
	switch {
	case t.Error != nil && judge(t.Error) == missing:
		v.Missing = true
		return v
	case t.Error != nil:
		v.Err = c.refusal(opDescribe, want.Name, t.Error)
		return v
	}
	if want.Partitions > 0 && len(t.Partitions) != want.Partitions {
		v.differs("partitions", fmt.Sprint(len(t.Partitions)), fmt.Sprint(want.Partitions))
	}
	if len(t.Partitions) > 0 && want.Replication > 0 && len(t.Partitions[0].Replicas) != want.Replication {
		v.differs("replicas", fmt.Sprint(len(t.Partitions[0].Replicas)), fmt.Sprint(want.Replication))
	}
	return v
}

func (v *Comparison) differs(setting, have, want string) {
	v.Differs = append(v.Differs, fmt.Sprintf("%s is %s, wanted %s", setting, have, want))
}

// settings gives the topics' settings; the error is why they cannot be seen.
func (c *Client) settings(ctx context.Context, client *kafka.Client, names []string) (map[string]map[string]string, error) {
	req := &kafka.DescribeConfigsRequest{}
	for _, n := range names {
		req.Resources = append(req.Resources, kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: n})
	}
	res, err := client.DescribeConfigs(ctx, req)
	if err != nil {
		return nil, c.explain(err)
	}
	all := make(map[string]map[string]string)
	for _, r := range res.Resources {
		if r.Error != nil {
			err = c.refusal("DescribeConfigs", r.ResourceName, r.Error)
			continue
		}
		all[r.ResourceName] = make(map[string]string)
		for _, e := range r.ConfigEntries {
			all[r.ResourceName][e.ConfigName] = e.ConfigValue
		}
	}
	return all, err
}

func (v *Comparison) compareSettings(want Topic, have map[string]string, err error) {
	if have == nil {
		v.Unseen = "settings are not told"
		if err != nil {
			v.Unseen = "settings cannot be seen: " + err.Error()
		}
		return
	}
	for _, e := range want.settings().ConfigEntries {
		if value, known := have[e.ConfigName]; known && strings.TrimSpace(value) != e.ConfigValue {
			v.differs(e.ConfigName, value, e.ConfigValue)
		}
	}
}
