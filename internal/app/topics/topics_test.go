package topics

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
)

// A topic that no one creates holds up the consumer group.
func TestEveryTopicIsCreatedWithItsRetention(t *testing.T) {
	names := pipeline.TopicsFor("t.")
	plan := Plan{Names: names, Partitions: 3, Replication: 1, ReadingsRetention: 2 * time.Hour, RawRetention: time.Hour, MaxBytes: 5}
	list := plan.List()
	v := reflect.ValueOf(names)
	if len(list) != v.NumField() {
		t.Errorf("%d topics, want %d", len(list), v.NumField())
	}
	for _, field := range v.Fields() {
		name := field.String()
		at := slices.IndexFunc(list, func(topic kafka.Topic) bool { return topic.Name == name })
		if at < 0 {
			t.Errorf("%s is not created", name)
			continue
		}
		want := kafka.Topic{Name: name, Partitions: 3, Replication: 1, Retention: 2 * time.Hour, RetentionBytes: 5}
		if name == names.Raw || name == names.DeadLetters {
			want.Retention, want.MaxMessageBytes = time.Hour, LargeMessageBytes
		}
		if !reflect.DeepEqual(list[at], want) {
			t.Errorf("got %+v, want %+v", list[at], want)
		}
	}
}
