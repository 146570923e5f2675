package simulator

import (
	"slices"
	"time"
)

// clock maps the cars' time to the real one. At speed 1 they run alike. At a
// higher speed the cars live faster while every stamp is mapped back to the
// real clock, because a reading from the future is a fault that the service
// does not have: their own clock then gets ahead, by lead, and a later run goes
// on from there, so that no day is lived twice.
//
//	past (history):  real = car − lead
//	live:            real = anchor + (car − lead − anchor) / speed
//
// What was lived in a faster part of an earlier run keeps the times it had
// then: the charging history tells of it long after.
type clock struct {
	speed  float64
	lead   time.Duration
	anchor time.Time // real time at which live began; zero while in the past
	fast   []span    // of earlier runs, ascending, never changed
}

// span is a part of a run in which the cars lived faster.
type span struct {
	From  time.Time     `json:"from"` // real
	Until time.Time     `json:"until"`
	Lead  time.Duration `json:"lead"` // at From
	Speed float64       `json:"speed"`
}

// mostSpans bounds what is remembered of earlier runs.
const mostSpans = 64

// real gives the real time of a moment of the cars' clock.
func (c *clock) real(car time.Time) time.Time {
	if s := c.live(); s.Speed != 1 && car.Add(-s.Lead).After(s.From) {
		return s.real(car)
	}
	for i := len(c.fast) - 1; i >= 0; i-- {
		s := &c.fast[i]
		switch end := s.leadAt(s.Until); {
		case car.Add(-end).After(s.Until):
			return car.Add(-end)
		case car.Add(-s.Lead).After(s.From):
			return s.real(car)
		}
	}
	return car.Add(-c.first())
}

// leadAt gives how far the cars' clock is ahead at a real moment.
func (c *clock) leadAt(t time.Time) time.Duration {
	if s := c.live(); s.Speed != 1 && t.After(s.From) {
		return s.leadAt(t)
	}
	for i := len(c.fast) - 1; i >= 0; i-- {
		if s := &c.fast[i]; t.After(s.From) {
			if t.After(s.Until) {
				t = s.Until
			}
			return s.leadAt(t)
		}
	}
	return c.first()
}

// live is the part of this run in which the cars live faster; its Speed is 1
// when there is none.
func (c *clock) live() span {
	if c.anchor.IsZero() {
		return span{Speed: 1}
	}
	return span{From: c.anchor, Lead: c.lead, Speed: c.speed}
}

// first is the lead before everything that is remembered.
func (c *clock) first() time.Duration {
	if len(c.fast) > 0 {
		return c.fast[0].Lead
	}
	return c.lead
}

// spans gives what a later run has to remember.
func (c *clock) spans(now time.Time) []span {
	s := c.live()
	if s.Speed == 1 || !now.After(s.From) {
		return c.fast
	}
	s.Until = now
	all := append(slices.Clone(c.fast), s)
	return all[max(0, len(all)-mostSpans):]
}

func (s *span) real(car time.Time) time.Time {
	return s.From.Add(time.Duration(float64(car.Add(-s.Lead).Sub(s.From)) / s.Speed))
}

func (s *span) leadAt(t time.Time) time.Duration {
	return s.Lead + time.Duration(float64(t.Sub(s.From))*(s.Speed-1))
}
