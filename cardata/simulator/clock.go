package simulator

import "time"

// clock maps the cars' time to the real one. At speed 1 they run alike. At a
// higher speed the cars live faster while every stamp is mapped back to the
// real clock, because a reading from the future is a fault that the service
// does not have: their own clock then gets ahead, by lead, and a later run goes
// on from there, so that no day is lived twice.
//
//	past (history):  real = car − lead
//	live:            real = anchor + (car − lead − anchor) / speed
type clock struct {
	speed  float64
	lead   time.Duration
	anchor time.Time // real time at which live began; zero while in the past
}

// real gives the real time of a moment of the cars' clock.
func (c *clock) real(car time.Time) time.Time {
	t := car.Add(-c.lead)
	if c.speed == 1 || c.anchor.IsZero() || !t.After(c.anchor) {
		return t
	}
	return c.anchor.Add(time.Duration(float64(t.Sub(c.anchor)) / c.speed))
}

// leadAt gives how far the cars' clock is ahead at a real moment.
func (c *clock) leadAt(now time.Time) time.Duration {
	if c.speed == 1 || c.anchor.IsZero() || !now.After(c.anchor) {
		return c.lead
	}
	return c.lead + time.Duration(float64(now.Sub(c.anchor))*(c.speed-1))
}
