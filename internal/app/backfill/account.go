package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// runAccount does one account's part of a run.
func (b *Backfill) runAccount(ctx context.Context, a permit.Account, r Range) (Summary, error) {
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return Summary{}, ctx.Err()
	}
	w, err := b.openWorker(ctx, a)
	if err != nil {
		return Summary{}, err
	}
	defer w.disk.close()
	if err := w.begin(r, time.Now()); err != nil {
		return w.sum, err
	}
	err = w.run(ctx)
	if err == nil && !r.resident {
		w.st.Job = nil
		err = w.disk.saveState(w.st)
	}
	return w.sum, err
}

// begin settles what the run is about: a run that was stopped goes on as it
// began, so that "now" is still then.
func (w *worker) begin(r Range, now time.Time) error {
	whole := r.complete(now)
	started := now
	if !r.resident {
		j := w.st.resume(r.key(), span{whole.From, whole.To}, now)
		whole.From, whole.To, started = j.From, j.To, j.Started
		if err := w.disk.saveState(w.st); err != nil {
			return err
		}
	}
	w.ask = whole
	w.horizon = horizon{started: started, now: now, again: r.Again}
	return nil
}

func (w *worker) run(ctx context.Context) error {
	if mappingDue(w.st, w.horizon) {
		if err := w.mapping(ctx); err != nil {
			return err
		}
	}
	w.leaveOut()
	list := steps(w.st, w.ask, w.names(), w.horizon)
	for i, s := range list {
		w.sum.Left, w.ahead = len(list)-i, len(list)-i
		if w.dropped[s.vin] || w.broken[s.container] {
			continue
		}
		w.tell(describe(s))
		w.ahead--
		if err := w.fetch(ctx, s); err != nil {
			skip := Skip{VIN: s.vin, Kind: s.kind, From: s.span.From, To: s.span.To}
			if err := w.judge(ctx, err, skip); err != nil {
				return err
			}
		}
	}
	w.sum.Left, w.ahead = 0, 0
	w.tell("done")
	return nil
}

// names gives the containers that the run reads.
func (w *worker) names() []string {
	if w.ask.containers != nil {
		return w.ask.containers
	}
	names := make([]string, len(w.b.wanted))
	for i, c := range w.b.wanted {
		names[i] = c.name
	}
	return names
}

func describe(s step) string {
	car := s.vin.LogValue().String()
	switch s.kind {
	case KindSessions:
		return fmt.Sprintf("%s charging sessions %s to %s", car, s.span.From.Format(time.DateOnly), s.span.To.Format(time.DateOnly))
	case KindTelematics:
		return car + " telematics by " + s.container
	default:
		return car + " " + string(s.kind)
	}
}

// mapping asks which cars the account has. Without it nothing else can be done.
func (w *worker) mapping(ctx context.Context) error {
	w.tell("cars of the account")
	list, err := call(ctx, w, w.api.Mappings)
	if err != nil {
		if err := w.judge(ctx, err, Skip{Kind: KindMapping}); err != nil {
			return err
		}
		if !w.st.Mapped.IsZero() {
			return nil // the cars known so far will do
		}
		return fmt.Errorf("the account's cars are not known: %w", err)
	}
	raw := make([]json.RawMessage, len(list))
	for i := range list {
		raw[i] = list[i].Raw
	}
	body, err := json.Marshal(raw)
	if err != nil {
		return fmt.Errorf("BUG: mappings: %w", err)
	}
	return w.take(ctx, &entry{Kind: KindMapping, Source: schema.SourceREST, Fetched: moment(), Body: body})
}

// leaveOut notes the cars that give no data; asking for them would only cost.
func (w *worker) leaveOut() {
	for _, vin := range w.st.vins() {
		kind := w.st.car(vin).Mapping
		if kind == primary || !w.asked(vin) {
			continue
		}
		w.skip(Skip{
			VIN: vin, Reason: fmt.Sprintf("the account is mapped to the car as %s, data are for PRIMARY alone", kind),
			Remedy: "log in with the account of the car's main user, or make this account the main user in the BMW app",
			Normal: len(w.ask.VINs) == 0,
		})
	}
}

func (w *worker) fetch(ctx context.Context, s step) error {
	switch s.kind {
	case KindSessions:
		return w.history(ctx, s.vin, s.span)
	case KindTelematics:
		return w.telematics(ctx, s.vin, s.container)
	case KindSettings:
		return w.settings(ctx, s.vin)
	default:
		return w.latest(ctx, s)
	}
}

// latest fetches what comes in one answer and has no parts.
func (w *worker) latest(ctx context.Context, s step) error {
	e := &entry{Kind: s.kind, VIN: s.vin, Source: schema.SourceREST}
	body, err := call(ctx, w, func(ctx context.Context) ([]byte, error) {
		switch s.kind {
		case KindBasic:
			v, err := w.api.BasicData(ctx, s.vin)
			return v.Raw, err
		case KindTyres:
			v, err := w.api.TyreDiagnosis(ctx, s.vin)
			return v.Raw, err
		case KindImage:
			v, err := w.api.Image(ctx, s.vin)
			e.ContentType = v.ContentType
			return v.Bytes, err
		default:
			return nil, errors.New("BUG: no call for kind " + string(s.kind))
		}
	})
	if err != nil && !noData(err) {
		return err
	}
	e.Body, e.None, e.Fetched = body, err != nil, moment()
	return w.take(ctx, e)
}

// settings fetches all pages; there is seldom a second one. Those that came are
// on disk until the last is there.
func (w *worker) settings(ctx context.Context, vin schema.VIN) error {
	const most = 10
	car := w.st.car(vin)
	var pages []json.RawMessage
	token := ""
	if p := car.Settings; p != nil && time.Since(p.At) < tokenLife {
		pages, token = p.Pages, p.Token
	}
	for len(pages) < most {
		page, err := call(ctx, w, func(ctx context.Context) (rest.SettingsPage, error) {
			return w.api.LocationSettings(ctx, vin, token)
		})
		if noData(err) {
			return w.take(ctx, &entry{Kind: KindSettings, VIN: vin, Source: schema.SourceREST, Fetched: moment(), None: true})
		}
		if err != nil && (len(pages) == 0 || !lasting(err)) {
			return err
		}
		if err != nil { // keep what came
			w.skip(Skip{VIN: vin, Kind: KindSettings, Reason: "only the first pages came: " + err.Error()})
			break
		}
		pages = append(pages, page.Raw)
		if token = page.Next; token == "" {
			break
		}
		car.Settings = &settingsPages{Pages: pages, Token: token, At: moment()}
		if err := w.disk.saveState(w.st); err != nil {
			return err
		}
	}
	return w.take(ctx, &entry{
		Kind: KindSettings, VIN: vin, Source: schema.SourceREST, Fetched: moment(), Body: settingsBody(pages),
	})
}

// lasting tells whether a failure concerns a page alone and would come again.
func lasting(err error) bool {
	e, ok := errors.AsType[*rest.Error](err)
	return ok && (e.Kind == rest.KindServer || e.Kind == rest.KindProtocol || e.Kind == rest.KindPageExpired)
}

func noData(err error) bool {
	e, ok := errors.AsType[*rest.Error](err)
	return ok && e.Kind == rest.KindNoData
}

// moment is the time of an answer: what goes to disk and comes back is equal.
func moment() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
