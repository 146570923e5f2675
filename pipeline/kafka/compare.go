package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"
)

// Comparison is a topic of the cluster beside the one that is wanted.
type Comparison struct {
	Name    string
	Missing bool
	Differs []string // each "setting is X, wanted Y"
	Unseen  string   // why settings could not be compared; empty when they were
	err     error
}

// Compare looks at the topics and changes nothing. The results come in the order
// of topics. Zero fields of a Topic are not compared. Topics that cannot be seen,
// by access rules or because no broker answers, are an error, of class Fatal when
// a person must act.
func (c *Client) Compare(ctx context.Context, topics []Topic) ([]Comparison, error) {
	states, err := c.fetchMetadata(ctx, topicNames(topics))
	if err != nil && judge(err) == fatal {
		return nil, fatalError("kafka look at topics", err)
	}
	if err != nil {
		return nil, fmt.Errorf("kafka look at topics: %w", err)
	}
	list := make([]Comparison, len(topics))
	var present []Topic
	var hidden []string
	for i, t := range topics {
		list[i] = compareShape(t, states[t.Name])
		switch {
		case errors.Is(list[i].err, kafka.TopicAuthorizationFailed):
			hidden = append(hidden, t.Name)
		case list[i].err != nil:
			return nil, fmt.Errorf("kafka look at topic %s: %w", t.Name, list[i].err)
		case !list[i].Missing:
			present = append(present, t)
		}
	}
	if len(hidden) > 0 {
		return nil, fatalError("kafka look at topics", c.notAllowed(opDescribe, hidden, kafka.TopicAuthorizationFailed))
	}
	if len(present) == 0 {
		return list, nil
	}
	settings, err := c.settings(ctx, topicNames(present))
	for i := range list {
		if v := &list[i]; !v.Missing {
			v.compareSettings(topics[i], settings[v.Name], err)
		}
	}
	return list, nil
}

func compareShape(want Topic, have *topicState) Comparison {
	v := Comparison{Name: want.Name}
	switch {
	case have == nil || have.err != nil && judge(have.err) == missing:
		v.Missing = true
		return v
	case have.err != nil:
		v.err = have.err
		return v
	}
	if want.Partitions > 0 && len(have.leaders) != want.Partitions {
		v.differs("partitions", strconv.Itoa(len(have.leaders)), strconv.Itoa(want.Partitions))
	}
	if want.Replication > 0 && have.replicas != want.Replication {
		v.differs("replicas", strconv.Itoa(have.replicas), strconv.Itoa(want.Replication))
	}
	return v
}

func (v *Comparison) differs(setting, have, want string) {
	v.Differs = append(v.Differs, fmt.Sprintf("%s is %s, wanted %s", setting, have, want))
}

// settings gives the topics' settings; the error is why they cannot be seen.
func (c *Client) settings(ctx context.Context, names []string) (map[string]map[string]string, error) {
	client := &kafka.Client{Addr: c.addr, Transport: c.transport, Timeout: c.cfg.RequestTimeout}
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
