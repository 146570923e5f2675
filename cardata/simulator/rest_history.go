package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	// longestRange is what chargingHistory accepts (CarData API, section
	// "Endpoints").
	longestRange = 45 * 24 * time.Hour
	pageSize     = 10
)

// Sessions gives the truth behind chargingHistory: the sessions of a car that
// began in [from, to) and not after now, ascending, in every field as the
// history tells them (see cars.Car.History). One that runs has no End. It is
// nil for an unknown car.
func (s *Simulator) Sessions(vin schema.VIN, from, to time.Time) []cars.Session {
	a := s.owner(vin)
	if a == nil {
		return nil
	}
	return a.sessions(vin, from, to, time.Now())
}

// sessions asks the car in its own time and maps what it says to ours.
func (a *account) sessions(vin schema.VIN, from, to, now time.Time) []cars.Session {
	clock := a.feed.state.times()
	car := func(t time.Time) time.Time { return t.Add(clock.leadAt(t)) }
	if to.After(now) {
		to = now.Add(time.Second) // its sessions of the future are cut off anyway
	}
	if !from.Before(to) {
		return nil
	}
	all := a.still(vin).History(car(from).Add(-time.Second), car(to).Add(time.Second), car(now))
	if clock.speed != 1 || clock.lead != 0 {
		for i := range all {
			clock.place(&all[i])
		}
	}
	return slices.DeleteFunc(all, func(s cars.Session) bool { return s.Start.Before(from) || !s.Start.Before(to) })
}

// place maps a session's times to the real clock, in whole seconds. Blocks that
// then begin in the same second are merged.
func (c *clock) place(s *cars.Session) {
	at := func(t time.Time) time.Time { return c.real(t).Truncate(time.Second) }
	s.Start = at(s.Start)
	if !s.End.IsZero() {
		s.End = at(s.End)
	}
	blocks := s.Blocks[:0]
	for _, b := range s.Blocks {
		b.Start, b.End = at(b.Start), at(b.End)
		if n := len(blocks); n > 0 && !blocks[n-1].Start.Before(b.Start) {
			blocks[n-1].End, blocks[n-1].PowerKW = b.End, max(blocks[n-1].PowerKW, b.PowerKW)
			continue
		}
		blocks = append(blocks, b)
	}
	s.Blocks = blocks
	for i := range s.Errors {
		s.Errors[i].Time = at(s.Errors[i].Time)
	}
}

// pageToken is what is sealed into a token for a further page.
type pageToken struct {
	VIN    schema.VIN `json:"v"`
	Op     string     `json:"o"`
	From   int64      `json:"f,omitempty"`
	To     int64      `json:"t,omitempty"`
	Before int64      `json:"b"` // start of the last session given; a count for settings
	Page   int        `json:"p"` // number of the page it leads to, from 1
	Issued int64      `json:"i"` // Unix milliseconds
}

func (s *signer) sealPage(t pageToken) string {
	body, _ := json.Marshal(t) // plain fields
	m := hmac.New(sha256.New, s.secret[:])
	m.Write(body)
	return base64.StdEncoding.EncodeToString(append(m.Sum(nil)[:8], body...))
}

// page reads the request's page token; without one it is page 1.
func (c *call) page() (pageToken, *restError) {
	first := pageToken{VIN: c.vin, Op: c.op, Page: 1}
	text := c.r.URL.Query().Get("nextToken")
	if text == "" {
		return first, nil
	}
	bad := refusal(http.StatusBadRequest, "CU-401", "Parameter nextToken is invalid")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) < 8 {
		return first, bad
	}
	m := hmac.New(sha256.New, c.s.signer.secret[:])
	m.Write(raw[8:])
	var t pageToken
	if !hmac.Equal(m.Sum(nil)[:8], raw[:8]) || json.Unmarshal(raw[8:], &t) != nil || t.VIN != c.vin || t.Op != c.op {
		return first, bad
	}
	life := c.faults.PageTokenLife
	if life == 0 {
		life = 10 * time.Minute
	}
	if c.now.Sub(time.UnixMilli(t.Issued)) >= life {
		return first, refusal(http.StatusBadRequest, "CU-125", "Pagination-Token expired")
	}
	return t, nil
}

// next seals the token that leads on from t, or t itself when tokens repeat.
func (c *call) next(t pageToken, before int64) string {
	if c.faults.PageTokenRepeats && t.Page > 1 {
		return c.r.URL.Query().Get("nextToken")
	}
	t.Before, t.Page, t.Issued = before, t.Page+1, c.now.UnixMilli()
	return c.s.signer.sealPage(t)
}

func (c *call) pageSize() int {
	if c.faults.PageSize > 0 {
		return c.faults.PageSize
	}
	return pageSize
}

// span reads from and to.
func (c *call) span() (from, to time.Time, fail *restError) {
	q := c.r.URL.Query()
	if q.Get("from") == "" || q.Get("to") == "" {
		return from, to, refusal(http.StatusBadRequest, "CU-400", "Parameters from and to are required")
	}
	from, err1 := time.Parse(time.RFC3339Nano, q.Get("from"))
	to, err2 := time.Parse(time.RFC3339Nano, q.Get("to"))
	if err1 != nil || err2 != nil || to.Before(from) || to.Sub(from) > longestRange {
		return from, to, refusal(http.StatusBadRequest, "CU-401", "Parameter from or to is invalid, or the range is too long")
	}
	return from, to, nil
}

func (c *call) chargingHistory() *restError {
	from, to, fail := c.span()
	if fail != nil {
		return fail
	}
	t, fail := c.page()
	if fail != nil {
		return fail
	}
	if t.Page == 1 {
		t.From, t.To = from.UnixMilli(), to.UnixMilli()
	}
	if t.From != from.UnixMilli() || t.To != to.UnixMilli() {
		return refusal(http.StatusBadRequest, "CU-401", "Parameter nextToken belongs to another range")
	}
	if t.Page == c.faults.PageAlways500 {
		return refusal(http.StatusInternalServerError, "CU-500", "Internal server error")
	}
	all := c.account.sessions(c.vin, from, to, c.now)
	slices.Reverse(all) // newest first
	if t.Page > 1 {
		all = slices.DeleteFunc(all, func(s cars.Session) bool { return s.Start.Unix() >= t.Before })
	}
	shown := all[:min(len(all), c.pageSize())]
	body := historyBody{Data: make([]sessionBody, len(shown))}
	for i := range shown {
		body.Data[i] = c.describe(&shown[i])
	}
	if len(shown) < len(all) {
		body.Next = c.next(t, shown[len(shown)-1].Start.Unix())
	}
	c.json(http.StatusOK, body)
	return nil
}
