package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

func TestInspectLooksWithoutCreating(t *testing.T) {
	inMemory(t, func(w *world) {
		c, err := New(Config{Brokers: w.brokers, Dial: w.net.dial})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 2 { // the first look must not have made the missing one
			views, err := c.Inspect(w.t.Context(), []string{"missing", "there"})
			if err != nil || len(views) != 2 {
				t.Fatalf("Inspect: %v, %v", views, err)
			}
			if !views[0].Missing || views[1].Missing || views[1].Partitions != 3 || views[1].Leaderless != 0 || views[1].Err != nil {
				t.Errorf("got %+v", views)
			}
		}
	}, kfake.SeedTopics(3, "there"))
}
