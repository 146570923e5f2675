package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// OpenGap is a gap whose end is not known yet.
type OpenGap struct {
	Start time.Time       `json:"start"`
	Cause schema.GapCause `json:"cause"`
}

// CoverageState is what is known of one account's coverage.
type CoverageState struct {
	Subscribed bool         `json:"subscribed"`
	Since      time.Time    `json:"since"`             // of the subscription
	Open       *OpenGap     `json:"gap,omitempty"`     // nil while covered
	Known      []schema.VIN `json:"vins"`              // cars heard of, sorted
	Waiting    []schema.Gap `json:"waiting,omitempty"` // finished gaps that the journal had no room for
}

func (s *CoverageState) know(vin schema.VIN) {
	if vin == "" {
		return
	}
	if at, known := slices.BinarySearch(s.Known, vin); !known {
		s.Known = slices.Insert(s.Known, at, schema.VIN(strings.Clone(string(vin))))
	}
}

func (s *CoverageState) vins() []schema.VIN { return slices.Clone(s.Known) }

func (s *CoverageState) clone() CoverageState {
	c := *s
	c.Known, c.Waiting = s.vins(), slices.Clone(s.Waiting)
	if s.Open != nil {
		open := *s.Open
		c.Open = &open
	}
	return c
}

// vinOf gives the vehicle of a topic "GCID/VIN", or "" when it has none.
func vinOf(topic string) schema.VIN {
	_, name, found := strings.Cut(topic, "/")
	if !found || len(name) != 17 {
		return ""
	}
	vin, err := schema.ParseVIN(name)
	if err != nil {
		return ""
	}
	return vin
}

// Coverage is the state of all accounts as of a journal number. It is saved
// now and then so that a restart need not read the whole journal.
type Coverage struct {
	Number   uint64 // journal records up to this one are in the state
	accounts map[schema.GCID]*CoverageState
}

type coverageJSON struct {
	Number   uint64                         `json:"number"`
	Accounts map[schema.GCID]*CoverageState `json:"accounts"`
}

// MarshalJSON writes the snapshot.
func (c *Coverage) MarshalJSON() ([]byte, error) {
	return json.Marshal(coverageJSON{c.Number, c.accounts})
}

// UnmarshalJSON reads a snapshot.
func (c *Coverage) UnmarshalJSON(data []byte) error {
	var j coverageJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("coverage snapshot: %w", err)
	}
	for gcid, state := range j.Accounts {
		if state == nil {
			delete(j.Accounts, gcid)
		}
	}
	c.Number, c.accounts = j.Number, j.Accounts
	return nil
}

// Accounts lists the accounts known, sorted.
func (c *Coverage) Accounts() []schema.GCID {
	list := make([]schema.GCID, 0, len(c.accounts))
	for gcid := range c.accounts {
		list = append(list, gcid)
	}
	slices.Sort(list)
	return list
}

// State gives what is known of one account.
func (c *Coverage) State(gcid schema.GCID) (CoverageState, bool) {
	s, ok := c.accounts[gcid]
	if !ok {
		return CoverageState{}, false
	}
	return s.clone(), true
}

// Fold brings one journal record, given by its data and its time, into the
// state. Records must come in order; one that is already in the state does no harm.
func (c *Coverage) Fold(number uint64, at time.Time, data []byte) {
	c.Number = number
	e, err := decodeEntry(data)
	if err != nil || e.kind == entryHeartbeat {
		return
	}
	if c.accounts == nil {
		c.accounts = make(map[schema.GCID]*CoverageState)
	}
	s := c.accounts[schema.GCID(e.gcid)]
	if s == nil {
		s = &CoverageState{}
		c.accounts[schema.GCID(e.gcid)] = s
	}
	switch e.kind {
	case entryMessage:
		s.know(vinOf(string(e.topic)))
	case entryConnect:
		s.Subscribed, s.Since = true, at // its gap, if any, follows as a record
	case entryLost:
		s.Subscribed = false
		s.Open = &OpenGap{Start: e.lastInbound, Cause: e.cause}
	case entryGap:
		s.Open = nil
	case entryHeartbeat:
	}
}

// Crashed opens a gap for each account whose coverage simply stops: the
// process ended without a word. last is the time of the journal's last record.
// It returns how many there were.
func (c *Coverage) Crashed(last time.Time) int {
	n := 0
	for _, s := range c.accounts {
		if !s.Subscribed {
			continue
		}
		n++
		s.Subscribed = false
		if s.Open == nil {
			start := last
			if start.Before(s.Since) {
				start = s.Since
			}
			s.Open = &OpenGap{Start: start, Cause: schema.GapCrash}
		}
	}
	return n
}
