package backfill

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// leastHalf is the shortest range worth cutting in two around a failing page.
const leastHalf = time.Hour

// part is a range of history and how it came about.
type part struct {
	span
	restarts int  // queries of it that ended without a page kept for good
	halved   bool // cut out of a range whose first page always fails
}

// history fetches the charging sessions of one range. A query that breaks off
// goes on below the oldest session that is here. A page that always fails is
// closed in from both sides once, and what is left of it is noted and skipped
// (CarData API, section "Endpoints").
func (w *worker) history(ctx context.Context, vin schema.VIN, s span) error {
	for todo := []part{{span: s}}; len(todo) > 0; {
		p := todo[0]
		todo = todo[1:]
		reached, err := w.pages(ctx, vin, p.span)
		if err == nil {
			continue
		}
		e, ok := errors.AsType[*rest.Error](err)
		if !ok || ctx.Err() != nil {
			return err
		}
		next, ok := p.after(e.Kind, reached)
		if !ok {
			skip := Skip{VIN: vin, Kind: KindSessions, From: p.From, To: p.To}
			if err := w.judge(ctx, err, skip); err != nil {
				return err
			}
			if w.dropped[vin] {
				return nil
			}
			continue
		}
		w.log.Warn("charging history breaks off, it is asked for in another way", "vin", vin, "err", err)
		w.st.car(vin).Paging = nil // its token led here
		todo = append(next, todo...)
	}
	return nil
}

// after gives what to ask for instead of a query that broke off, when there is
// something.
func (p part) after(kind rest.Kind, reached time.Time) ([]part, bool) {
	switch kind {
	case rest.KindPageExpired, rest.KindServer, rest.KindProtocol, rest.KindRange:
	default:
		return nil, false
	}
	if reached.Before(p.To) { // all from there on is here
		return []part{{span: span{p.From, reached}, halved: p.halved}}, true
	}
	if kind == rest.KindPageExpired && p.restarts == 0 {
		return []part{{span: p.span, restarts: 1, halved: p.halved}}, true
	}
	middle := p.From.Add(p.To.Sub(p.From) / 2).Truncate(time.Second)
	if p.halved || kind == rest.KindProtocol || middle.Sub(p.From) < leastHalf {
		return nil, false
	}
	return []part{{span: span{middle, p.To}, halved: true}, {span: span{p.From, middle}, halved: true}}, true
}

// pages takes page after page of one query. reached tells from when on the
// sessions are here, whatever the error.
func (w *worker) pages(ctx context.Context, vin schema.VIN, s span) (reached time.Time, err error) {
	car := w.st.car(vin)
	q := &paging{Query: s, Upper: s.To, Ordered: true}
	if p := car.Paging; p != nil && p.Query.From.Equal(s.From) && p.Upper.Equal(s.To) && time.Since(p.At) < tokenLife {
		q = p
	}
	for {
		answer, err := call(ctx, w, func(ctx context.Context) (rest.ChargingPage, error) {
			if q.Token != "" && time.Since(q.At) > tokenLife { // as after a wait for the quota
				w.sum.CallsPlanned-- // there is none
				return rest.ChargingPage{}, expired("the page token is too old by now")
			}
			return w.api.ChargingHistory(ctx, vin, q.Query.From, q.Query.To, q.Token)
		})
		if err != nil && len(answer.Raw) == 0 {
			return q.Upper, err
		}
		e := pageEntry(vin, q, &answer)
		repeats := err == nil && slices.Contains(q.Seen, answer.Next)
		if err := w.take(ctx, e); err != nil {
			return q.Upper, err
		}
		if !e.Page.Oldest.IsZero() {
			w.tell("charging sessions down to " + e.Page.Oldest.Format(time.DateOnly))
		}
		switch q = car.Paging; {
		case q == nil:
			return s.From, nil
		case err != nil:
			return q.Upper, err
		case repeats:
			return q.Upper, expired("the page token is one that was given before")
		}
	}
}

// expired is the refusal of a page token that costs no call.
func expired(message string) error {
	return &rest.Error{Op: "read charging history", Kind: rest.KindPageExpired, Message: message}
}

// pageEntry describes an answer of the history for disk and books.
func pageEntry(vin schema.VIN, q *paging, answer *rest.ChargingPage) *entry {
	p := &page{
		Query: q.Query, Upper: q.Upper, Token: q.Token, Next: answer.Next, Ordered: q.Ordered, Count: len(answer.Sessions),
	}
	above := q.Upper
	for i := range answer.Sessions {
		s := &answer.Sessions[i]
		if s.Start.After(above) {
			p.Ordered = false
		}
		above = s.Start
		if p.Oldest.IsZero() || s.Start.Before(p.Oldest) {
			p.Oldest = s.Start
		}
		if s.End.IsZero() && (p.Running.IsZero() || s.Start.Before(p.Running)) {
			p.Running = s.Start
		}
	}
	return &entry{
		Kind: KindSessions, VIN: vin, Source: schema.SourceREST, Fetched: moment(), Page: p, Body: answer.Raw,
	}
}
