package influx

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

var _ pipeline.Sink[schema.ChargingSession] = (*SessionSink)(nil)

// SessionSink stores charging sessions as measurements charging_session and
// charging_block. It is safe for concurrent use; order between concurrent calls
// is the caller's matter.
type SessionSink struct{ c *Client }

// NewSessionSink gives the sink of c for charging sessions.
func NewSessionSink(c *Client) *SessionSink { return &SessionSink{c} }

// Write stores one point for each session and one for each of its blocks, then a
// day mark for each (vin, UTC day) from a session's start to its end, as
// ReadingSink.Write does: a later version may take blocks away from any of them. A later version of a session lands on the same points.
// A session is rejected when one of its points is.
func (s *SessionSink) Write(ctx context.Context, sessions []schema.ChargingSession) error {
	if len(sessions) == 0 {
		return nil
	}
	b := s.c.newBatch("influx write charging sessions", len(sessions))
	defer b.free()
	for i := range sessions {
		if err := b.addSession(ctx, i, &sessions[i]); err != nil {
			return err
		}
	}
	return b.finish(ctx, TableSessions)
}

// addSession writes the blocks first: who finds a session finds its blocks.
func (b *batch) addSession(ctx context.Context, i int, s *schema.ChargingSession) error {
	for j := range s.Blocks {
		block := &s.Blocks[j]
		err := b.l.block(i, s, block)
		if err == nil {
			b.l.addDay(s.VIN, block.Start)
		}
		if err := b.added(ctx, i, err); err != nil {
			return err
		}
	}
	err := b.l.session(i, s)
	if err == nil {
		b.l.addDays(s.VIN, s.Start, s.End)
	}
	return b.added(ctx, i, err)
}

// maxSessionDays bounds the marks of a session: an end that is years away is a
// mistake of somebody's clock.
const maxSessionDays = 60

// addDays notes that the batch hits the UTC days from start to end; an end that is
// not later is none.
func (l *lines) addDays(vin schema.VIN, start, end time.Time) {
	l.addDay(vin, start)
	first := daysSinceEpoch(start)
	for day := first + 1; day <= daysSinceEpoch(end) && day <= first+maxSessionDays; day++ {
		l.addDay(vin, dayStart(day))
	}
}

// session appends the line of s. What BMW did not say is left out, and so keeps
// what an earlier version said.
func (l *lines) session(owner int, s *schema.ChargingSession) error {
	e := l.start("charging_session")
	e.AddTag("vin", string(s.VIN))
	e.AddField("running", lineprotocol.BoolValue(s.Running()))
	e.AddField("blocks", lineprotocol.IntValue(int64(len(s.Blocks))))
	e.AddField("errors", lineprotocol.IntValue(int64(len(s.Errors))))
	e.AddField("fetched", lineprotocol.IntValue(s.Fetched.UnixMilli()))
	if !s.Running() {
		e.AddField("end", lineprotocol.IntValue(s.End.UnixMilli()))
		addFloat(e, "seconds", new(s.End.Sub(s.Start).Seconds()))
	}
	addFloat(e, "start_soc", s.StartSOC)
	addFloat(e, "end_soc", s.EndSOC)
	addFloat(e, "charging_seconds", s.ChargingSeconds)
	addFloat(e, "grid_kwh", s.GridKWh)
	addFloat(e, "battery_increase_kwh", s.BatteryIncreaseKWh)
	addFloat(e, "battery_decrease_kwh", s.BatteryDecreaseKWh)
	addFloat(e, "discharged_kwh", s.DischargedKWh)
	addFloat(e, "mileage_km", s.MileageKm)
	addFloat(e, "peak_kw", peak(s.Blocks))
	if s.Preconditioning != nil {
		e.AddField("preconditioning", lineprotocol.BoolValue(*s.Preconditioning))
	}
	if p := s.Place; p != nil {
		addFloat(e, "latitude", p.Latitude)
		addFloat(e, "longitude", p.Longitude)
	}
	if c := s.Cost; c != nil {
		addFloat(e, "cost", c.Calculated)
		addFloat(e, "savings", c.Savings)
	}
	l.sessionTexts(s)
	return l.end(owner, s.Start)
}

// sessionTexts adds what is text and not empty.
func (l *lines) sessionTexts(s *schema.ChargingSession) {
	add := func(name, text string) {
		if text != "" {
			l.text(name, text)
		}
	}
	add("source", string(s.Source))
	add("time_zone", s.TimeZone)
	if p := s.Place; p != nil {
		add("municipality", p.Municipality)
		add("address", p.Address)
		add("street", p.Street)
	}
	if c := s.Cost; c != nil {
		add("currency", c.Currency)
	}
	providers, points := make([]string, 0, len(s.Public)), make([]string, 0, len(s.Public))
	for i := range s.Public {
		p := &s.Public[i]
		providers = append(providers, p.Provider)
		points = append(points, joined(", ", p.Provider, p.Street, joined(" ", p.PostalCode, p.City)))
	}
	hints := make([]string, 0, len(s.Errors))
	for i := range s.Errors {
		hints = append(hints, s.Errors[i].Hint)
	}
	add("providers", joined("; ", providers...))
	add("public_points", joined("; ", points...))
	add("error_hints", joined("; ", hints...))
}

// joined joins the words that are not empty.
func joined(by string, words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), by)
}

// block appends the line of one block of s. No line can take a block back that a
// later version of the session cut otherwise, and a token for writing may neither
// read nor delete; fetched tells such a block from those of the stored version.
func (l *lines) block(owner int, s *schema.ChargingSession, b *schema.ChargingBlock) error {
	e := l.start("charging_block")
	e.AddTag("vin", string(s.VIN))
	e.AddField("session", lineprotocol.IntValue(s.Start.UnixMilli()))
	e.AddField("fetched", lineprotocol.IntValue(s.Fetched.UnixMilli()))
	addFloat(e, "average_grid_kw", &b.AverageGridKW)
	if !b.End.IsZero() {
		e.AddField("end", lineprotocol.IntValue(b.End.UnixMilli()))
		addFloat(e, "seconds", new(b.End.Sub(b.Start).Seconds()))
	}
	return l.end(owner, b.Start)
}

// addFloat adds a field unless there is no number.
func addFloat(e *lineprotocol.Encoder, name string, f *float64) {
	if f == nil {
		return
	}
	if v, finite := lineprotocol.FloatValue(*f); finite {
		e.AddField(name, v)
	}
}

// peak gives the highest power of the blocks: above 22 to 25 kW it was direct
// current (CarData API, section "REST", "chargingHistory").
func peak(blocks []schema.ChargingBlock) *float64 {
	if len(blocks) == 0 {
		return nil
	}
	kw := math.Inf(-1)
	for i := range blocks {
		kw = math.Max(kw, blocks[i].AverageGridKW)
	}
	return &kw
}
