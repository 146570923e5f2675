package backfill

import (
	"slices"
	"time"
)

// maxSlice is the longest range of one charging history query. The service
// takes about 45 days (CarData API, section "Endpoints"); 30 leave room.
const maxSlice = 30 * 24 * time.Hour

// span is the time from From up to but without To.
type span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

func (s span) empty() bool { return !s.From.Before(s.To) }

func (s span) equal(o span) bool { return s.From.Equal(o.From) && s.To.Equal(o.To) }

// merged gives the union as sorted spans that neither touch nor overlap.
func merged(list []span) []span {
	list = slices.DeleteFunc(slices.Clone(list), span.empty)
	slices.SortFunc(list, func(a, b span) int { return a.From.Compare(b.From) })
	var union []span
	for _, s := range list {
		if n := len(union); n > 0 && !s.From.After(union[n-1].To) {
			union[n-1].To = later(union[n-1].To, s.To)
			continue
		}
		union = append(union, s)
	}
	return union
}

// without gives what of s no span of covered has, oldest first.
func without(s span, covered []span) []span {
	var rest []span
	for _, c := range merged(covered) {
		if !c.To.After(s.From) {
			continue
		}
		if !c.From.Before(s.To) {
			break
		}
		if before := (span{s.From, c.From}); !before.empty() {
			rest = append(rest, before)
		}
		s.From = c.To
	}
	if !s.empty() {
		rest = append(rest, s)
	}
	return rest
}

// sliced cuts spans to at most maxSlice each and gives the newest first: what
// is asked for first is what people look at first.
func sliced(list []span) []span {
	var parts []span
	for _, rest := range slices.Backward(list) {
		for !rest.empty() {
			from := later(rest.From, rest.To.Add(-maxSlice))
			parts = append(parts, span{from, rest.To})
			rest.To = from
		}
	}
	return parts
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
