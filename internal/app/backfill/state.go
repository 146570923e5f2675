package backfill

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	stateVersion = 1
	// settleAfter is how old a stretch of history must have been when it was
	// fetched to be final: BMW may list a session late, and completes a running one.
	settleAfter = 48 * time.Hour
	// jobLife is how long an unfinished run is taken up again.
	jobLife = 7 * 24 * time.Hour
	// keepCovers bounds the memory of stretches that were fetched but not final.
	keepCovers = jobLife
	// upToNow is how far a range may end before its answer and still count as one
	// up to now.
	upToNow = 10 * time.Minute
	// tokenLife is how long a page token is trusted; BMW's lives about ten minutes.
	tokenLife = 8 * time.Minute
	// repairsPerDay bounds the calls that gaps may cost an account in a UTC day.
	repairsPerDay = 10
)

// state is what is known of one account: what was fetched and is durable in
// Kafka. It is saved after each answer.
type state struct {
	Version    int                       `json:"version"`
	Seq        int64                     `json:"seq"` // of the last answer that is in the state
	Mapped     time.Time                 `json:"mapped,omitzero"`
	Cars       map[schema.VIN]*carState  `json:"cars"`
	Containers map[string]containerState `json:"containers,omitempty"` // by name
	Listed     time.Time                 `json:"listed,omitzero"`      // when the containers were
	Creating   string                    `json:"creating,omitempty"`   // container whose creation was begun: it may exist
	Job        *job                      `json:"job,omitempty"`
	RepairDay  string                    `json:"repair_day,omitempty"` // UTC
	Repairs    int                       `json:"repairs,omitempty"`    // calls of that day
	Daily      time.Time                 `json:"daily,omitzero"`       // last daily run of watch that ended
}

// job is a run that has not ended yet.
type job struct {
	Key     string    `json:"key"` // what was asked for
	Started time.Time `json:"started"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
}

// containerState is one of our containers at BMW.
type containerState struct {
	ID      string `json:"id"`
	Version string `json:"version"` // of the list of keys that was wanted
	Keys    int    `json:"keys"`
}

type carState struct {
	Mapping  string         `json:"mapping,omitempty"`
	Gone     bool           `json:"gone,omitempty"` // no longer in the mapping
	Done     map[Kind]done  `json:"done,omitempty"` // telematics by "telematics/<container>"
	Settled  []span         `json:"settled,omitempty"`
	Recent   []cover        `json:"recent,omitempty"`
	Paging   *paging        `json:"paging,omitempty"`
	Settings *settingsPages `json:"settings,omitempty"`
	Sessions int            `json:"sessions,omitempty"` // seen in Seconds of history
	Seconds  float64        `json:"seconds,omitempty"`
}

// done says when a latest value was fetched.
type done struct {
	At   time.Time `json:"at"`
	None bool      `json:"none,omitempty"` // the service has none
}

// cover is a stretch of history and when it was fetched.
type cover struct {
	span
	At time.Time `json:"at"`
}

// paging is a history query whose next page is still to come.
type paging struct {
	Query   span      `json:"query"`   // as sent with the first page
	Upper   time.Time `json:"upper"`   // sessions that started from here on are here already
	Token   string    `json:"token"`   // of the next page
	At      time.Time `json:"at"`      // of the token
	Ordered bool      `json:"ordered"` // so far newest first, so Upper may move
	Seen    []string  `json:"seen"`    // tokens given so far
}

// settingsPages are the pages of the charging settings that came so far.
type settingsPages struct {
	Pages []json.RawMessage `json:"pages"`
	Token string            `json:"token"` // of the next page
	At    time.Time         `json:"at"`
}

func newState() *state {
	return &state{Version: stateVersion, Cars: make(map[schema.VIN]*carState), Containers: make(map[string]containerState)}
}

func (s *state) car(vin schema.VIN) *carState {
	c := s.Cars[vin]
	if c == nil {
		c = new(carState)
		s.Cars[vin] = c
	}
	if c.Done == nil {
		c.Done = make(map[Kind]done)
	}
	return c
}

// vins gives the cars of the mapping, sorted.
func (s *state) vins() []schema.VIN {
	list := slices.Sorted(maps.Keys(s.Cars))
	return slices.DeleteFunc(list, func(v schema.VIN) bool { return s.Cars[v].Gone })
}

// horizon says from when on an answer counts as here already.
type horizon struct {
	started time.Time // of the job
	now     time.Time
	again   bool // only what this job fetched counts
}

// since gives the bound for answers that stay fresh for life.
func (h horizon) since(life time.Duration) time.Time {
	if h.again {
		return h.started
	}
	return earlier(h.started, h.now.Add(-life))
}

// has tells whether a latest value need not be asked for. key is kind, but for
// telematics one for each container.
func (c *carState) has(kind, key Kind, h horizon) bool {
	d, ok := c.Done[key]
	if !ok {
		return false
	}
	life := kind.fresh()
	if d.None {
		life = noneFresh
	}
	return !d.At.Before(h.since(life))
}

// missing gives what of s is still to be fetched, but for what is taken care
// of, cut into slices.
func (c *carState) missing(s span, h horizon, taken ...span) []span {
	covered := slices.Clone(taken)
	if !h.again {
		covered = append(covered, c.Settled...)
	}
	since := h.since(KindSessions.fresh())
	for _, r := range c.Recent {
		if r.At.Before(since) {
			continue
		}
		if !h.again && r.At.Sub(r.To) < upToNow { // it went up to "now", which is not an hour ago
			r.To = later(r.To, r.At.Add(KindSessions.fresh()))
		}
		covered = append(covered, r.span)
	}
	return sliced(without(s, covered))
}

// covers books that the sessions of s are here. What began after running, the
// start of the oldest session without an end, is not final.
func (c *carState) covers(s span, at, running time.Time) {
	settled := earlier(s.To, at.Add(-settleAfter))
	if !running.IsZero() {
		settled = earlier(settled, running)
	}
	c.Settled = merged(append(c.Settled, span{s.From, settled}))
	c.Recent = append(slices.DeleteFunc(c.Recent, func(r cover) bool { return at.Sub(r.At) > keepCovers }), cover{s, at})
}

// perDay estimates how many sessions a day this car has.
func (c *carState) perDay() float64 {
	const week = 7 * 24 * 3600
	if c == nil || c.Seconds < week {
		return 1
	}
	return float64(c.Sessions) / c.Seconds * 24 * 3600
}

// listDue tells whether the containers have to be listed before one is made.
func (s *state) listDue(h horizon) bool {
	return s.Creating != "" || s.Listed.Before(h.since(time.Hour))
}

// unfinished gives the job that a run of this key would continue, or nil.
func (s *state) unfinished(key string, now time.Time) *job {
	if j := s.Job; j != nil && j.Key == key && now.Sub(j.Started) < jobLife && !j.Started.After(now) {
		return j
	}
	return nil
}

// resume gives the job that a run continues, or starts it.
func (s *state) resume(key string, want span, now time.Time) *job {
	if j := s.unfinished(key, now); j != nil {
		return j
	}
	s.Job = &job{Key: key, Started: now, From: want.From, To: want.To}
	return s.Job
}

// mayRepair tells whether a gap may cost a call today.
func (s *state) mayRepair(now time.Time) bool {
	return s.RepairDay != utcDay(now) || s.Repairs < repairsPerDay
}

func (s *state) repaired(now time.Time) {
	if day := utcDay(now); s.RepairDay != day {
		s.RepairDay, s.Repairs = day, 0
	}
	s.Repairs++
}

func utcDay(t time.Time) string { return t.UTC().Format(time.DateOnly) }
