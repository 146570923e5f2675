package pipeline

import (
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// FreshMinute says how fresh one vehicle's readings of one minute were.
type FreshMinute struct {
	VIN      schema.VIN
	Minute   time.Time     // start of the minute of arrival, UTC
	Lag      time.Duration // of the freshest reading: arrival less measured time
	Readings int64
}

// Freshness gathers, per vehicle and minute of arrival, the lag of the freshest
// reading and the number of readings. It is an operator's figure: a restart in
// mid-minute counts that minute low. Safe for concurrent use.
type Freshness struct {
	mu      sync.Mutex // guards minutes
	minutes map[freshKey]FreshMinute
}

type freshKey struct {
	vin    schema.VIN
	minute int64
}

// NewFreshness starts empty.
func NewFreshness() *Freshness { return &Freshness{minutes: make(map[freshKey]FreshMinute)} }

// Observe brings readings in.
func (f *Freshness) Observe(readings []schema.Reading) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range readings {
		r := &readings[i]
		minute := r.Received.Truncate(time.Minute)
		key := freshKey{r.VIN, minute.Unix()}
		lag := r.Received.Sub(r.Time)
		m, known := f.minutes[key]
		if !known {
			m = FreshMinute{VIN: r.VIN, Minute: minute, Lag: lag}
		}
		m.Lag = min(m.Lag, lag)
		m.Readings++
		f.minutes[key] = m
	}
}

// Take removes and gives the minutes that ended before now less grace; with a
// negative grace all of them.
func (f *Freshness) Take(now time.Time, grace time.Duration) []FreshMinute {
	f.mu.Lock()
	defer f.mu.Unlock()
	var due []FreshMinute
	for key, m := range f.minutes {
		if grace < 0 || m.Minute.Add(time.Minute+grace).Before(now) {
			due = append(due, m)
			delete(f.minutes, key)
		}
	}
	return due
}

// Return brings minutes back that could not be written.
func (f *Freshness) Return(minutes []FreshMinute) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range minutes {
		key := freshKey{m.VIN, m.Minute.Unix()}
		if later, ok := f.minutes[key]; ok {
			m.Lag, m.Readings = min(m.Lag, later.Lag), m.Readings+later.Readings
		}
		f.minutes[key] = m
	}
}
