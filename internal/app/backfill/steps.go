package backfill

import (
	"slices"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// step is one thing to fetch: one call, but for sessions one or more.
type step struct {
	kind      Kind
	vin       schema.VIN
	span      span   // of sessions
	container string // name, of telematics
}

// key is what carState.Done knows the step by.
func (s step) key() Kind {
	if s.kind == KindTelematics {
		return telematicsKey(s.container)
	}
	return s.kind
}

// primary is the mapping that gives data (CarData API, section "Overview").
const primary = "PRIMARY"

// mappingDue tells whether the list of cars has to be asked for.
func mappingDue(st *state, h horizon) bool {
	return st.Mapped.Before(h.since(KindMapping.fresh()))
}

// steps lists what is to be fetched of the cars known, the most precious first.
func steps(st *state, r Range, names []string, h horizon) []step {
	var list []step
	for _, kind := range ordered(r.Kinds) {
		for _, vin := range st.vins() {
			car := st.car(vin)
			if car.Mapping != primary || len(r.VINs) > 0 && !slices.Contains(r.VINs, vin) {
				continue
			}
			switch kind {
			case KindSessions:
				for _, s := range historySpans(car, span{r.From, r.To}, h) {
					list = append(list, step{kind: kind, vin: vin, span: s})
				}
			case KindTelematics:
				for _, name := range names {
					list = append(list, step{kind: kind, vin: vin, container: name})
				}
			default:
				list = append(list, step{kind: kind, vin: vin})
			}
		}
	}
	return slices.DeleteFunc(list, func(s step) bool {
		return s.kind != KindSessions && st.car(s.vin).has(s.kind, s.key(), h)
	})
}

// historySpans gives the ranges of history to ask for. What an earlier query
// left comes first, as one range, so that its page token may still serve.
func historySpans(c *carState, want span, h horizon) []span {
	var first []span
	if p := c.Paging; p != nil && !h.again {
		left := span{later(p.Query.From, want.From), earlier(p.Upper, want.To)}
		if !left.empty() && left.To.Sub(left.From) <= maxSlice {
			first = append(first, left)
		}
	}
	return append(first, c.missing(want, h, first...)...)
}

// pages estimates the pages of a range of history, ten sessions each.
func (c *carState) pages(s span) int {
	const perPage = 10
	sessions := c.perDay() * s.To.Sub(s.From).Hours() / 24
	return 1 + int(sessions/perPage)
}
