package sink

import (
	"context"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// readings gives what readings go through: their own store, then, where they are
// wanted, the positions that follow from them. Each is tried again by itself; a
// reading that either refuses for good is one dead letter. The offset is committed
// after both, so a crash between them brings the batch again.
func (s *Sink) readings(letters *pipeline.DeadLetters) pipeline.Sink[schema.Reading] {
	store := again(s, "readings", influx.NewReadingSink(s.influx))
	if s.cfg.Positions {
		s.positions = influx.NewPositionSink(s.influx)
		store = pipeline.NewThen(store, again(s, "positions", s.positions))
	}
	return pipeline.NewRejects(store, letters, pipeline.ReadingLetter)
}

// handle stores a batch of one partition. What is remembered of cars counts for one
// assignment of partitions only: in between, another process may have written.
func (s *Sink) handle(ctx context.Context, topic string, partition int, batch []pipeline.Record) error {
	if s.positions != nil {
		s.positions.Generation(s.consumer.Stats.Rebalances.Load())
	}
	return s.store.Handle(ctx, topic, partition, batch)
}
