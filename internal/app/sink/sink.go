// Package sink wires the sink process: Kafka's readings, gaps, charging sessions
// and vehicle records into InfluxDB.
package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/topics"
	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// Sink is one sink process.
type Sink struct {
	cfg       Config
	log       *slog.Logger
	names     pipeline.Topics
	kafka     *kafka.Client
	consumer  *kafka.Consumer
	producer  *kafka.Producer
	influx    *influx.Client
	positions *influx.PositionSink // nil when they are not wanted
	stages    []stage
	store     *pipeline.Store
	ledger    *pipeline.Ledger
	freshness *pipeline.Freshness
	metrics   *prometheus.Registry
	server    *ops.Server
}

// stage is what is seen from outside of the writes of one kind of record.
type stage struct {
	stats *pipeline.RetryStats
	away  func() error
}

// through gives what a write of one kind goes through, outermost first: what can
// never be stored is kept as a dead letter, what may pass later is tried again,
// then the store itself.
func through[T any](s *Sink, name string, to pipeline.Sink[T], letters *pipeline.DeadLetters, letter func(*T) pipeline.Letter) pipeline.Sink[T] {
	return pipeline.NewRejects(again(s, name, to), letters, letter)
}

// again tries again what may pass later, under the eyes of metrics and readiness.
func again[T any](s *Sink, name string, to pipeline.Sink[T]) pipeline.Sink[T] {
	policy := backoff.Policy{Base: 500 * time.Millisecond, Cap: 30 * time.Second}
	retry := pipeline.NewRetry(to, policy, s.log.With("records", name))
	s.stages = append(s.stages, stage{&retry.Stats, retry.Away})
	return retry
}

// Run is New and Run in one, for a process of its own.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	s, err := New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// New connects the parts; it asks nothing of Kafka or InfluxDB yet.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Sink, error) {
	s := &Sink{
		cfg: cfg, log: log, names: pipeline.TopicsFor(cfg.TopicPrefix),
		ledger: pipeline.NewLedger(), freshness: pipeline.NewFreshness(),
	}
	var err error
	if s.influx, err = influx.New(influx.Config{
		URL: cfg.InfluxURL, Token: cfg.InfluxToken, Org: cfg.InfluxOrg, Bucket: cfg.InfluxBucket,
		Timeout: cfg.InfluxTimeout, MaxBatchLines: cfg.BatchReadings, Gzip: cfg.InfluxGzip, Log: log,
		User: cfg.InfluxUser, Password: cfg.InfluxPassword, CAFile: cfg.InfluxCAFile, CertFile: cfg.InfluxCertFile, KeyFile: cfg.InfluxKeyFile,
	}); err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	if s.kafka, err = kafka.New(kafka.Config{
		Brokers: cfg.KafkaBrokers, ClientID: "cardata-sink", Compression: cfg.KafkaCompression, Log: log,
		Security: cfg.kafkaSecurity(), Rights: topics.SinkRights(cfg.TopicPrefix, cfg.KafkaGroup),
	}); err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	s.producer = s.kafka.NewProducer(topics.Producer(s.names))
	s.consumer = s.kafka.NewConsumer(kafka.ConsumerConfig{
		Group: cfg.KafkaGroup, Topics: []string{s.names.Readings, s.names.Gaps, s.names.ChargingSessions, s.names.Vehicles},
		MaxBatch: cfg.BatchReadings, MaxWait: cfg.BatchWait, Parallel: cfg.Parallel, DrainTimeout: cfg.DrainTimeout,
	})

	letters := pipeline.NewDeadLetters(s.producer, s.names.DeadLetters)
	s.store = pipeline.NewStore(s.names, pipeline.Sinks{
		Readings: s.readings(letters),
		Gaps:     through(s, "gaps", influx.NewGapSink(s.influx), letters, pipeline.GapLetter),
		Sessions: through(s, "sessions", influx.NewSessionSink(s.influx), letters, pipeline.SessionLetter),
		Vehicles: through(s, "vehicles", influx.NewVehicleSink(s.influx), letters, pipeline.VehicleLetter),
	}, letters, s.ledger, s.freshness)

	s.metrics = s.registry()
	if s.server, err = ops.Listen(ctx, cfg.HTTPAddr, s.metrics, s.checks(), log); err != nil {
		return nil, errors.Join(err, s.kafka.Close())
	}
	log.Info("sink is set up", "version", ops.Version(), "http_addr", s.server.Addr())
	return s, nil
}

// Run writes what Kafka has to InfluxDB until ctx ends, then finishes running
// writes, commits and leaves the group, within the drain timeout.
func (s *Sink) Run(ctx context.Context) error {
	defer s.close()
	work, done := errgroup.WithContext(ctx)
	work.Go(func() error { return s.server.Run(done) })
	work.Go(func() error { return s.writeFreshness(done) })
	work.Go(func() error {
		if err := s.prepare(done); err != nil {
			return err
		}
		return s.consumer.Run(done, s.handle)
	})
	if err := work.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// prepare waits until the topics and the database are there.
func (s *Sink) prepare(ctx context.Context) error {
	plan := topics.Plan{
		Names: s.names, Partitions: s.cfg.TopicPartitions, Replication: s.cfg.TopicReplication, MinInSync: s.cfg.TopicMinInsync,
		ReadingsRetention: s.cfg.ReadingsRetention, RawRetention: s.cfg.RawRetention,
	}
	if err := s.kafka.EnsureTopics(ctx, plan.Without(s.names.Raw)); err != nil {
		return err
	}
	if !s.cfg.InfluxCreate {
		return nil
	}
	policy := backoff.Policy{Base: time.Second, Cap: 30 * time.Second}
	for attempt := 0; ; attempt++ {
		err := s.influx.EnsureDatabase(ctx)
		if err == nil {
			return nil
		}
		if refusal, ok := errors.AsType[*pipeline.WriteError](err); ok && refusal.Class == pipeline.Fatal {
			return err
		}
		if attempt == 0 {
			s.log.Warn("influxdb is not ready, waiting for it", "err", err)
		}
		if err := backoff.Wait(ctx, policy.Delay(attempt)); err != nil {
			return err
		}
	}
}

// writeFreshness stores the figures of each minute once it is over, and at the
// end what is left.
func (s *Sink) writeFreshness(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.storeFreshness(ctx, s.freshness.Take(now, 5*time.Second))
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			s.storeFreshness(last, s.freshness.Take(time.Now(), -1))
			return nil
		}
	}
}

func (s *Sink) storeFreshness(ctx context.Context, minutes []pipeline.FreshMinute) {
	if len(minutes) == 0 {
		return
	}
	points := make([]influx.Freshness, len(minutes))
	for i, m := range minutes {
		points[i] = influx.Freshness{VIN: m.VIN, Minute: m.Minute, LagMS: m.Lag.Milliseconds(), Readings: m.Readings}
	}
	if err := s.influx.WriteFreshness(ctx, points); err != nil {
		s.freshness.Return(minutes)
	}
}

func (s *Sink) close() {
	s.influx.Close()
	if err := s.kafka.Close(); err != nil {
		s.log.Error("close", "err", err)
	}
	s.log.Info("sink has stopped", "readings", s.store.Stats.Readings.Load())
}

// registry exports the counts of every stage.
func (s *Sink) registry() *prometheus.Registry {
	r := ops.Registry(ops.Version())
	ops.Counters(r, "consumer", &s.consumer.Stats)
	ops.Counters(r, "producer", &s.producer.Stats)
	ops.Counters(r, "influx", &s.influx.Stats)
	ops.Counters(r, "store", &s.store.Stats)
	if s.positions != nil {
		ops.Counters(r, "positions", &s.positions.Stats)
	}
	ops.Counter(r, "write_retries", "Count of writes to InfluxDB that were tried again.", s.total(func(st *pipeline.RetryStats) *atomic.Int64 { return &st.Retries }))
	ops.Counter(r, "write_outages", "Count of times that InfluxDB took no writes.", s.total(func(st *pipeline.RetryStats) *atomic.Int64 { return &st.Outages }))
	ops.Ledger(r, s.ledger)
	ops.Gauge(r, "consumer_lag_records", "Records of the assigned partitions that are not stored yet.", func() float64 {
		return float64(s.Behind())
	})
	ops.Gauge(r, "consumer_assigned_partitions", "Partitions this process reads.", func() float64 {
		return float64(len(s.consumer.Status().Partitions))
	})
	return r
}

// total adds up one figure over all kinds of records.
func (s *Sink) total(figure func(*pipeline.RetryStats) *atomic.Int64) func() int64 {
	return func() int64 {
		var sum int64
		for _, st := range s.stages {
			sum += figure(st.stats).Load()
		}
		return sum
	}
}

// Behind gives the number of records of the assigned partitions not stored yet.
func (s *Sink) Behind() int64 {
	var lag int64
	for _, p := range s.consumer.Status().Partitions {
		lag += p.Lag()
	}
	return lag
}

// checks names what the sink depends on.
func (s *Sink) checks() []ops.Check {
	return []ops.Check{
		{Name: "kafka", Test: s.kafka.Ping},
		{Name: "group", Test: func(context.Context) error {
			if st := s.consumer.Status(); !st.Joined {
				return fmt.Errorf("not a member of group %s: %s", s.cfg.KafkaGroup, st.LastError)
			}
			return nil
		}},
		{Name: "influxdb", Test: func(ctx context.Context) error {
			for _, st := range s.stages {
				if err := st.away(); err != nil {
					return err
				}
			}
			return s.influx.Ping(ctx)
		}},
	}
}

// Ledger gives the counts of this life of the process.
func (s *Sink) Ledger() *pipeline.Ledger { return s.ledger }

// Stats gives the counts of the store.
func (s *Sink) Stats() *pipeline.StoreStats { return &s.store.Stats }

// Addr gives the address of metrics and health.
func (s *Sink) Addr() string { return s.server.Addr() }
