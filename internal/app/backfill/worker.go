package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// worker does one account's part of a run. One goroutine owns it.
type worker struct {
	b       *Backfill
	account permit.Account
	api     *rest.Client
	disk    *folder
	st      *state
	make    *maker
	sum     Summary
	log     *slog.Logger

	ask     Range
	horizon horizon
	broken  map[string]bool     // containers that cannot be had in this run, by name
	dropped map[schema.VIN]bool // cars that the service refused in this run
	ahead   int                 // steps to come, for the progress
	row     int                 // steps that failed one after the other
}

// counted books calls for the worker's account and counts them.
type counted struct {
	rest.Budget
	w *worker
}

func (c counted) Book(ctx context.Context, calls int, use rest.Use) error {
	if err := c.Budget.Book(ctx, calls, use); err != nil {
		return err
	}
	c.w.sum.CallsSpent += calls
	c.w.b.Stats.Calls.Add(int64(calls))
	return nil
}

// SetSkew passes on how far the service's clock is ahead, to a budget that
// wants to know.
func (c counted) SetSkew(ctx context.Context, skew time.Duration) {
	if b, ok := c.Budget.(interface {
		SetSkew(ctx context.Context, skew time.Duration)
	}); ok {
		b.SetSkew(ctx, skew)
	}
}

// openWorker takes the account for this process and finishes what a killed run
// left between the call and Kafka.
func (b *Backfill) openWorker(ctx context.Context, a permit.Account) (*worker, error) {
	w := &worker{
		b: b, account: a, log: b.log.With("gcid", a.GCID),
		make:   newMaker(a.GCID, b.cfg.Topics, b.cfg.Catalogue),
		broken: make(map[string]bool), dropped: make(map[schema.VIN]bool),
	}
	var err error
	w.api, err = rest.New(rest.Config{
		BaseURL: b.cfg.BaseURL, HTTPClient: b.cfg.HTTPClient, Timeout: b.cfg.Timeout, Log: b.log, Stats: b.cfg.RESTStats,
	}, a.Tokens, counted{a.Budget, w})
	if err != nil {
		return nil, err
	}
	if w.disk, err = openFolder(b.cfg.DataDir, a.GCID); err != nil {
		return nil, err
	}
	if err := w.recover(ctx); err != nil {
		w.disk.close()
		return nil, err
	}
	return w, nil
}

func (w *worker) recover(ctx context.Context) error {
	var err error
	if w.st, err = w.disk.loadState(); err != nil {
		return err
	}
	e, err := w.disk.kept()
	if err != nil || e == nil {
		return err
	}
	if e.Seq <= w.st.Seq { // the state has it, only the file was left
		return w.disk.drop()
	}
	w.log.Info("an answer of an earlier run is finished first", "kind", e.Kind)
	return w.deliver(ctx, e)
}

// take makes a paid answer durable: on disk, then in Kafka, then in the state.
func (w *worker) take(ctx context.Context, e *entry) error {
	w.row = 0
	e.Seq = w.st.Seq + 1
	if err := w.disk.keep(e); err != nil {
		return err
	}
	return w.deliver(ctx, e)
}

func (w *worker) deliver(ctx context.Context, e *entry) error {
	if e.Kind == KindImage && !e.None {
		if err := w.saveImage(e); err != nil {
			return err
		}
	}
	m := w.make.records(e)
	if err := w.b.ship(ctx, m.records); err != nil {
		return fmt.Errorf("what was fetched waits on disk for the next run: %w", err)
	}
	w.st.book(e)
	if err := w.disk.saveState(w.st); err != nil {
		return err
	}
	w.count(&m)
	return w.disk.drop()
}

func (w *worker) count(m *made) {
	w.sum.Sessions += m.sessions
	w.sum.Readings += m.readings
	w.sum.Vehicles += m.vehicles
	w.sum.DeadLetters += m.letters
	st := w.b.Stats
	st.Answers.Add(1)
	st.Sessions.Add(int64(m.sessions))
	st.Readings.Add(int64(m.readings))
	st.Vehicles.Add(int64(m.vehicles))
	st.DeadLetters.Add(int64(m.letters))
}

// saveImage keeps the picture as a file that people can look at.
func (w *worker) saveImage(e *entry) error {
	media, _, err := mime.ParseMediaType(e.ContentType)
	ext := ".png"
	if err == nil && media == "image/jpeg" {
		ext = ".jpg"
	}
	dir := filepath.Join(w.b.cfg.DataDir, "images")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("folder of images: %w", err)
	}
	return writeFile(filepath.Join(dir, string(e.VIN)+ext), e.Body)
}

// book brings an answer that Kafka has into the state.
func (s *state) book(e *entry) {
	s.Seq = e.Seq
	switch e.Kind {
	case KindMapping:
		s.bookMapping(e)
	case KindSessions:
		s.car(e.VIN).bookPage(e)
	case KindTelematics:
		s.car(e.VIN).Done[telematicsKey(e.Container)] = done{At: e.Fetched}
	default:
		if e.Kind == KindSettings {
			s.car(e.VIN).Settings = nil
		}
		s.car(e.VIN).Done[e.Kind] = done{At: e.Fetched, None: e.None}
	}
}

func (s *state) bookMapping(e *entry) {
	list, err := rest.DecodeMappings(e.Body)
	if err != nil {
		return
	}
	s.Mapped = e.Fetched
	for _, c := range s.Cars {
		c.Gone = true
	}
	for i := range list {
		c := s.car(list[i].VIN)
		c.Gone, c.Mapping = false, list[i].Type
	}
}

// bookPage books one page of the history. With a page that is newest first, all
// down to its oldest session is here, so a lost page token costs no page again.
func (c *carState) bookPage(e *entry) {
	p := e.Page
	c.Sessions += p.Count
	low := p.Query.From
	if p.Next != "" {
		low = p.Upper
		if p.Ordered && !p.Oldest.IsZero() {
			low = earlier(p.Oldest, p.Upper)
		}
	}
	c.Seconds += p.Upper.Sub(low).Seconds()
	if low.Before(p.Upper) {
		c.covers(span{low, p.Upper}, e.Fetched, p.Running)
	}
	var seen []string
	if c.Paging != nil && c.Paging.Query.equal(p.Query) {
		seen = c.Paging.Seen
	}
	c.Paging = nil
	if p.Next != "" {
		c.Paging = &paging{Query: p.Query, Upper: low, Token: p.Next, At: e.Fetched, Ordered: p.Ordered, Seen: append(seen, p.Next)}
	}
}

func telematicsKey(container string) Kind { return KindTelematics + Kind("/"+container) }

// ship makes records durable. What Kafka will never take becomes a dead letter.
func (b *Backfill) ship(ctx context.Context, records []pipeline.Record) error {
	if len(records) == 0 {
		return nil
	}
	b.produce.Lock() // held over I/O: the producer is what it guards
	err := b.producer.Produce(ctx, records)
	b.produce.Unlock()
	refusal, ok := errors.AsType[*pipeline.WriteError](err)
	if !ok || refusal.Class != pipeline.Permanent {
		return err
	}
	letters := make([]pipeline.Letter, 0, len(refusal.Rejected))
	for _, no := range refusal.Rejected {
		r := records[no.Index]
		if r.Topic == b.cfg.Topics.DeadLetters {
			r.Value = r.Value[:min(len(r.Value), 64<<10)] // a topic made by others may take less
		}
		letters = append(letters, pipeline.Letter{
			Key: string(r.Key), Stage: "kafka", Reason: no.Reason, Text: no.Text, Origin: r.Topic, FirstSeen: r.Time, Original: r.Value,
		})
	}
	b.Stats.DeadLetters.Add(int64(len(letters)))
	b.produce.Lock()
	defer b.produce.Unlock()
	return pipeline.NewDeadLetters(b.producer, b.cfg.Topics.DeadLetters).Put(ctx, letters)
}

// skip notes what is left out.
func (w *worker) skip(s Skip) {
	s.GCID = w.account.GCID
	w.sum.Skipped = append(w.sum.Skipped, s)
	w.b.Stats.Skips.Add(1)
	if s.Normal {
		w.log.Info("left out", "vin", s.VIN, "kind", s.Kind, "reason", s.Reason)
		return
	}
	w.log.Warn("left out", "vin", s.VIN, "kind", s.Kind, "reason", s.Reason, "remedy", s.Remedy)
}

// asked tells whether the run is about this car.
func (w *worker) asked(vin schema.VIN) bool {
	return len(w.ask.VINs) == 0 || slices.Contains(w.ask.VINs, vin)
}
