// Package ingest wires the ingest process: the streams of all accounts, the
// journal, normalising, and Kafka.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/topics"
	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/journal"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Ingest is one ingest process. New opens the journal, Run does the rest.
type Ingest struct {
	cfg      Config
	log      *slog.Logger
	names    pipeline.Topics
	journal  *journal.Journal
	intake   *pipeline.Intake
	kafka    *kafka.Client
	producer *kafka.Producer
	relay    *pipeline.Relay
	ledger   *pipeline.Ledger
	accounts *accounts
	owner    *owner // nil when accounts are not shared out
	metrics  *prometheus.Registry
	server   *ops.Server
	permits  *permits // nil when off
}

// Run is New and Run in one, for a process of its own.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	in, err := New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return in.Run(ctx)
}

// New opens what the process owns: the journal, with what is known of coverage,
// and the address for metrics and health.
func New(ctx context.Context, cfg Config, log *slog.Logger) (in *Ingest, err error) {
	if cfg.Replica == "" {
		if cfg.Replica, err = os.Hostname(); err != nil {
			return nil, exit.With(exit.Usage, fmt.Errorf("CARDATA_REPLICA is not set and the host has no name: %w", err))
		}
	}
	catalogue, err := loadCatalogue(cfg.Catalogue)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	in = &Ingest{cfg: cfg, log: log, names: pipeline.TopicsFor(cfg.TopicPrefix), ledger: pipeline.NewLedger()}
	if in.accounts, err = newAccounts(cfg, log); err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	if in.kafka, err = kafka.New(kafka.Config{
		Brokers: cfg.KafkaBrokers, ClientID: "cardata-ingest", Compression: cfg.KafkaCompression, Log: log,
		Security: cfg.kafkaSecurity(), Rights: topics.IngestRights(cfg.TopicPrefix),
	}); err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	if in.journal, err = openJournal(cfg, log); err != nil {
		return nil, errors.Join(err, in.kafka.Close())
	}
	coverage, err := recoverCoverage(in.journal, coverageFile(cfg), log)
	if err != nil {
		return nil, errors.Join(err, in.journal.Close(), in.kafka.Close())
	}
	in.intake = pipeline.NewIntake(in.journal, coverage, log)
	if in.permits, err = listenPermits(ctx, cfg, in.accounts, log); err != nil {
		return nil, errors.Join(err, in.journal.Close(), in.kafka.Close())
	}
	if in.owner, err = newOwner(cfg, in.kafka, in.intake, in.journal.Flush, in.permits.advertised(cfg), log); err != nil {
		in.permits.close()
		return nil, errors.Join(err, in.journal.Close(), in.kafka.Close())
	}
	in.accounts.owner = in.owner
	in.permits.share(in.owner)
	in.producer = in.kafka.NewProducer(topics.Producer(in.names))
	in.relay = pipeline.NewRelay(in.journal, in.producer, catalogue, in.ledger, pipeline.RelayConfig{
		Topics: in.names, MaxRecords: cfg.BatchRecords, MaxBytes: 16 << 20, DedupeLimit: cfg.DedupeKeys, Raw: cfg.RawTopic,
		Damaged: in.intake.Damaged, Log: log,
	})
	in.metrics = in.registry(catalogue)
	if in.server, err = ops.Listen(ctx, cfg.HTTPAddr, in.metrics, in.checks(), log); err != nil {
		in.permits.close()
		return nil, errors.Join(err, in.journal.Close(), in.kafka.Close())
	}
	log.Info("ingest is set up", "version", ops.Version(), "catalogue", catalogue.Version(), "http_addr", in.server.Addr(),
		"journal_bytes", in.journal.Size(), "journal_unsent", in.journal.Tail()-in.journal.Committed())
	return in, nil
}

// Run carries the streams of all accounts into Kafka until ctx ends, then
// finishes what is in the journal within the drain timeout. What the timeout cuts
// off stays in the journal and is sent by the next start.
func (in *Ingest) Run(ctx context.Context) error {
	defer in.close()
	carry, stop := context.WithCancel(context.WithoutCancel(ctx)) // outlives the intake
	defer stop()
	work, carry := errgroup.WithContext(carry)
	intake, stopIntake := context.WithCancel(ctx)
	defer stopIntake()
	context.AfterFunc(carry, stopIntake) // a broken stage ends the intake too

	work.Go(func() error { return in.server.Run(carry) })
	work.Go(func() error { return in.permits.run(carry) })
	work.Go(func() error { return in.beat(carry) })
	work.Go(func() error { return in.carry(carry) })
	leave := in.share(carry)
	in.accounts.run(intake, in.intake) // returns when intake has ended and all connections are closed
	leave()
	err := in.drain(ctx, carry)
	stop()
	if broken := work.Wait(); !errors.Is(broken, context.Canceled) {
		err = errors.Join(broken, err)
	}
	return err
}

// share takes part in sharing the accounts out; leave ends that, once no
// connection stands that another replica could be given.
func (in *Ingest) share(ctx context.Context) (leave func()) {
	if in.owner == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { in.owner.run(ctx) })
	return func() {
		cancel()
		group.Wait()
	}
}

// carry makes sure of the topics and then relays the journal to Kafka.
func (in *Ingest) carry(ctx context.Context) error {
	plan := topics.Plan{
		Names: in.names, Partitions: in.cfg.TopicPartitions, Replication: in.cfg.TopicReplication, MinInSync: in.cfg.TopicMinInsync,
		ReadingsRetention: in.cfg.ReadingsRetention, RawRetention: in.cfg.RawRetention,
	}
	for { // a refusal must not end the intake: the journal keeps what comes
		err := in.kafka.EnsureTopics(ctx, plan.List())
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		in.log.Error("topics are refused, the journal keeps what comes", "err", err)
		if err := backoff.Wait(ctx, 30*time.Second); err != nil {
			return err
		}
	}
	return in.relay.Run(ctx)
}

// beat journals a heartbeat each second and saves the coverage each minute. A
// broken journal ends the process: the next start reads what is really there.
func (in *Ingest) beat(ctx context.Context) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case at := <-second.C:
			in.intake.Heartbeat(at.UTC())
		}
		if err := in.journal.Err(); err != nil {
			return err
		}
		if n%60 == 0 {
			if err := in.saveCoverage(); err != nil {
				in.log.Warn("coverage snapshot is not saved, the next start reads more of the journal", "err", err)
			}
		}
	}
}

// drain finishes what was journaled.
func (in *Ingest) drain(ctx, carry context.Context) error {
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.cfg.DrainTimeout)
	defer cancel()
	context.AfterFunc(carry, cancel)
	if err := in.journal.Flush(limit); err != nil {
		return fmt.Errorf("flush the journal: %w", err)
	}
	if err := in.relay.WaitFor(limit, in.journal.Tail()); err != nil {
		in.log.Warn("stopped before all was sent, the journal keeps it", "readings", in.journal.Tail()-in.journal.Committed())
	}
	return nil
}

func (in *Ingest) close() {
	if err := in.saveCoverage(); err != nil {
		in.log.Warn("coverage snapshot is not saved, the next start reads more of the journal", "err", err)
	}
	if err := errors.Join(in.journal.Close(), in.kafka.Close()); err != nil {
		in.log.Error("close", "err", err)
	}
	in.log.Info("ingest has stopped", "messages", in.intake.Stats.MessagesJournaled.Load())
}

// Ledger gives the counts of this life of the process.
func (in *Ingest) Ledger() *pipeline.Ledger { return in.ledger }

// Intake gives the counts of what arrived.
func (in *Ingest) Intake() *pipeline.IntakeStats { return &in.intake.Stats }

// Behind gives the number of journal records that Kafka has not acknowledged.
func (in *Ingest) Behind() uint64 { return in.journal.Tail() - in.journal.Committed() }

// PermitAddr gives the address of the permit endpoint, "" when it is off.
func (in *Ingest) PermitAddr() string {
	if in.permits == nil {
		return ""
	}
	return in.permits.server.Addr()
}

// Addr gives the address of metrics and health.
func (in *Ingest) Addr() string { return in.server.Addr() }

func loadCatalogue(file string) (*schema.Catalogue, error) {
	if file == "" {
		return schema.Default(), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("CARDATA_CATALOGUE: %w", err)
	}
	defer f.Close()
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	return schema.LoadCatalogue(f, name)
}
