package whole

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/backfill"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/topics"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// weeks is how far back charging sessions are fetched at the simulator: what
// five cars need then fits into one day's calls.
const weeks = 21 * 24 * time.Hour

// restSide is the REST half: what the stream does not bring.
type restSide struct {
	accounts permit.Accounts
	kafka    *kafka.Client
	backfill *backfill.Backfill
	span     backfill.Range
	fetched  backfill.Summary // of the simulator's run, once done is closed
	done     chan struct{}
}

// restFigures is what the ledger tells of the REST half.
type restFigures struct {
	Sessions struct {
		InBMW  int64 `json:"in_bmw"` // of the span that was fetched
		Stored int64 `json:"stored"` // of these, in InfluxDB
	} `json:"charging_sessions"`
	Calls struct {
		Planned int64 `json:"planned"` // needed for what was asked for
		Spent   int64 `json:"spent"`   // booked, with repeats after failures
	} `json:"rest_calls"`
}

func (w *whole) setUpREST(ctx context.Context) error {
	at := w.cfg.service
	restURL := ""
	if w.sim != nil {
		at = service{w.sim.OAuthURL(), w.sim.MQTTAddr(), w.sim.CAFile()}
		restURL = w.sim.RESTURL()
	}
	transport, err := permit.Transport(at.caFile)
	if err != nil {
		return err
	}
	accounts, err := permit.Open(ctx, permit.Config{TokenDir: w.tokenDir(), OauthURL: at.oauthURL, CAFile: at.caFile}, w.log)
	if err != nil {
		return err
	}
	list, err := accounts.List(ctx)
	if err != nil && len(list) == 0 {
		return err
	}
	client, err := kafka.New(kafka.Config{Brokers: []string{w.broker.Addr()}, ClientID: "cardata-backfill", Log: w.log})
	if err != nil {
		return err
	}
	names := pipeline.TopicsFor("cardata.")
	cfg := backfill.Config{
		BaseURL: restURL, HTTPClient: &http.Client{Transport: transport}, DataDir: filepath.Join(w.dir, "backfill"), Topics: names,
	}
	if w.sim == nil {
		cfg.Feed = client.NewConsumer(kafka.ConsumerConfig{Group: "cardata-backfill", Topics: []string{names.Readings, names.Gaps}})
	}
	to := time.Now().UTC().Truncate(time.Second)
	w.rest = &restSide{
		accounts: accounts, kafka: client, done: make(chan struct{}),
		backfill: backfill.New(cfg, list, client.NewProducer(topics.Producer(names)), w.log),
		span: backfill.Range{
			From: to.Add(-weeks), To: to, NoWait: true,
			Kinds: []backfill.Kind{backfill.KindSessions, backfill.KindTelematics, backfill.KindBasic, backfill.KindTyres},
		},
	}
	w.closers = append(w.closers, func() error { accounts.Close(); return client.Close() })
	return nil
}

// fetch runs backfill: at the simulator once over the past weeks, at BMW's
// service on its daily timetable until ctx ends. Its troubles are told, and end
// nothing else: the stream goes on.
func (w *whole) fetch(ctx context.Context) {
	defer close(w.rest.done)
	if w.sim == nil {
		if err := w.rest.backfill.Watch(ctx); err != nil && ctx.Err() == nil {
			w.log.Error("backfill has stopped", "err", err)
		}
		return
	}
	sum, err := w.rest.backfill.Run(ctx, w.rest.span)
	w.rest.fetched = sum
	switch {
	case ctx.Err() != nil:
	case exit.Code(err) == exit.Partly && sum.Left > 0:
		w.report.say("REST: %d charging sessions fetched with %d calls; %d steps wait for tomorrow's quota of 50 calls", sum.Sessions, sum.CallsSpent, sum.Left)
	case err != nil && exit.Code(err) != exit.Partly:
		w.report.say("REST: %v", err)
	default:
		w.report.say("REST: %d charging sessions and %d facts about the cars fetched with %d calls", sum.Sessions, sum.Vehicles, sum.CallsSpent)
	}
}

// restFigures counts sessions on both sides; zero with BMW's own service, whose
// side is not known.
func (w *whole) restFigures(ctx context.Context) (restFigures, error) {
	var f restFigures
	if w.sim == nil {
		return f, nil
	}
	select {
	case <-w.rest.done:
	default:
		return f, errors.New("BUG: backfill still runs")
	}
	f.Calls.Planned, f.Calls.Spent = int64(w.rest.fetched.CallsPlanned), int64(w.rest.fetched.CallsSpent)
	from, to := w.rest.span.From, w.rest.span.To
	for _, account := range w.sim.Accounts() {
		for _, vin := range account.VINs {
			starts := make(map[int64]bool)
			for _, s := range w.sim.Sessions(vin, from, to) {
				starts[s.Start.UnixNano()] = true
			}
			f.Sessions.InBMW += int64(len(starts))
			err := w.sessionStarts(ctx, vin, func(at int64) {
				if starts[at] {
					f.Sessions.Stored++
				}
			})
			if err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

func (w *whole) sessionStarts(ctx context.Context, vin schema.VIN, each func(ns int64)) error {
	q := `SELECT "running" FROM "charging_session" WHERE "vin" = ` + influx.QuoteText(string(vin))
	err := w.db.Query(ctx, q, func(row influx.Row) error {
		each(row.Time())
		return nil
	})
	if err != nil {
		return fmt.Errorf("count charging sessions: %w", err)
	}
	return nil
}

// goREST starts fetching in the flow; stop ends it and waits.
func (w *whole) goREST(flow *errgroup.Group, ctx context.Context) (stop func()) { //nolint:revive // the group owns the goroutine, the context is its life
	ctx, cancel := context.WithCancel(ctx)
	flow.Go(func() error {
		w.fetch(ctx)
		return nil
	})
	return func() {
		cancel()
		<-w.rest.done
	}
}
