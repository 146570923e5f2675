package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/backfill"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/topics"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// process is what a command works with.
type process struct {
	cfg       Config
	log       *slog.Logger
	names     pipeline.Topics
	transport *http.Transport
	accounts  permit.Accounts
	kafka     *kafka.Client // nil for plan
	progress  func(backfill.Step)

	stats backfill.Stats
	rest  rest.Stats
	quota rest.QuotaStats
	left  atomic.Int64 // calls that the account with the least has left, -1: not known
}

func open(ctx context.Context, cfg Config, log *slog.Logger, needKafka bool) (*process, error) {
	p := &process{cfg: cfg, log: log, names: pipeline.TopicsFor(cfg.TopicPrefix)}
	var err error
	if p.transport, err = permit.Transport(cfg.CAFile); err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	if p.accounts, err = permit.Open(ctx, permit.Config{
		TokenDir: cfg.TokenDir, OauthURL: cfg.OauthURL, CAFile: cfg.CAFile, URL: cfg.PermitURL, Secret: cfg.PermitSecret,
		Quota: rest.QuotaConfig{Stats: &p.quota, Log: log},
	}, log); err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	if !needKafka {
		return p, nil
	}
	if len(cfg.KafkaBrokers) == 0 {
		return nil, exit.With(exit.Usage, errors.New("CARDATA_KAFKA_BROKERS is not set: bootstrap brokers, host:port, comma-separated"))
	}
	if p.kafka, err = kafka.New(kafka.Config{
		Brokers: cfg.KafkaBrokers, ClientID: "cardata-backfill", Compression: cfg.KafkaCompression, Log: log,
		Security: cfg.kafkaSecurity(), Rights: topics.BackfillRights(cfg.TopicPrefix, cfg.KafkaGroup),
	}); err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	return p, nil
}

// prepare waits until the topics are there.
func (p *process) prepare(ctx context.Context) error {
	plan := topics.Plan{
		Names: p.names, Partitions: p.cfg.TopicPartitions, Replication: p.cfg.TopicReplication, MinInSync: p.cfg.TopicMinInsync,
		ReadingsRetention: p.cfg.ReadingsRetention, RawRetention: p.cfg.RawRetention,
	}
	return p.kafka.EnsureTopics(ctx, plan.List())
}

// list gives the accounts that can be used; those that cannot are logged.
func (p *process) list(ctx context.Context) ([]permit.Account, error) {
	list, err := p.accounts.List(ctx)
	if len(list) == 0 {
		return nil, exit.With(exit.NeedsPerson, errors.Join(errors.New("no account can be used; run 'cardata login', or 'cardata doctor' to see why"), err))
	}
	if err != nil {
		p.log.Warn("some accounts cannot be used", "err", err)
	}
	return list, nil
}

func (p *process) backfill(accounts []permit.Account, feed backfill.Feed) *backfill.Backfill {
	cfg := backfill.Config{
		BaseURL: p.cfg.RestURL, HTTPClient: &http.Client{Transport: p.transport}, Timeout: p.cfg.RestTimeout,
		DataDir: p.cfg.DataDir, Topics: p.names, Parallel: p.cfg.Parallel, Feed: feed,
		Stats: &p.stats, RESTStats: &p.rest, Progress: p.progress,
	}
	var producer pipeline.Producer
	if p.kafka != nil {
		producer = p.kafka.NewProducer(topics.Producer(p.names))
	}
	return backfill.New(cfg, accounts, producer, p.log)
}

func (p *process) close() {
	p.accounts.Close()
	p.transport.CloseIdleConnections()
	if p.kafka == nil {
		return
	}
	if err := p.kafka.Close(); err != nil {
		p.log.Error("close", "err", err)
	}
}

// relist is how often watch looks for accounts that logged in.
const relist = 5 * time.Minute

// watch runs until ctx ends. New accounts are taken up by beginning anew with
// all of them, which costs nothing: what is here is known.
func (p *process) watch(ctx context.Context) error {
	metrics := ops.Registry(ops.Version())
	ops.Counters(metrics, "backfill", &p.stats)
	ops.Counters(metrics, "backfill", &p.rest)
	ops.Counters(metrics, "backfill", &p.quota)
	p.left.Store(-1)
	ops.Gauge(metrics, "backfill_quota_left_calls", "Calls that the account with the fewest has left today, reserve included; -1 is not known.",
		func() float64 { return float64(p.left.Load()) })
	server, err := ops.Listen(ctx, p.cfg.HTTPAddr, metrics, []ops.Check{{Name: "kafka", Test: p.kafka.Ping}}, p.log)
	if err != nil {
		return err
	}
	p.log.Info("backfill watches", "version", ops.Version(), "http_addr", server.Addr())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Run(ctx) })
	g.Go(func() error {
		if err := p.prepare(ctx); err != nil {
			return err
		}
		for ctx.Err() == nil {
			if err := p.watchOnce(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// watchOnce watches until the set of accounts changes or ctx ends.
func (p *process) watchOnce(ctx context.Context) error {
	list, err := p.accounts.List(ctx)
	if err != nil {
		p.log.Warn("some accounts cannot be used", "err", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { // ends with ctx, or with another set of accounts
		defer cancel()
		p.awaitChange(ctx, list)
		return nil
	})
	g.Go(func() error { // ends with ctx
		p.noteLeft(ctx, list)
		return nil
	})
	if len(list) > 0 {
		feed := p.kafka.NewConsumer(kafka.ConsumerConfig{
			Group: p.cfg.KafkaGroup, Topics: []string{p.names.Readings, p.names.Gaps},
		})
		b := p.backfill(list, feed)
		g.Go(func() error {
			defer cancel()
			return b.Watch(ctx)
		})
	}
	return g.Wait()
}

// noteLeft looks at the quotas each minute.
func (p *process) noteLeft(ctx context.Context, list []permit.Account) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		least := int64(-1)
		for _, a := range list {
			if q, err := a.Quota(ctx); err == nil && (least < 0 || int64(q.Left) < least) {
				least = int64(q.Left)
			}
		}
		p.left.Store(least)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *process) awaitChange(ctx context.Context, known []permit.Account) {
	tick := time.NewTicker(relist)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		list, err := p.accounts.List(ctx)
		if err == nil && !slices.Equal(ids(list), ids(known)) {
			return
		}
	}
}

func ids(list []permit.Account) []schema.GCID {
	gcids := make([]schema.GCID, len(list))
	for i := range list {
		gcids[i] = list[i].GCID
	}
	return gcids
}

// pick gives the one account that an archive is of.
func (p *process) pick(ctx context.Context, gcid string) (schema.GCID, error) {
	if gcid != "" {
		return schema.ParseGCID(gcid)
	}
	list, err := p.accounts.List(ctx)
	if len(list) == 1 {
		return list[0].GCID, nil
	}
	return "", errors.Join(fmt.Errorf("%d accounts can be used; name the archive's with --gcid", len(list)), err)
}
