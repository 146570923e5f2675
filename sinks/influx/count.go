package influx

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// DayCount is how many readings one vehicle has on one UTC day.
type DayCount struct {
	VIN      schema.VIN
	Day      time.Time // start of the day
	Readings int64     // keys (vin, descriptor, time): one with two fields counts once
}

// What a condition says of a field that is there. Text is in none: on days
// without any text the server takes the name for that of a tag, whose absence
// equals the empty text.
const (
	hasNumber = "number >= 0 OR number < 0"
	hasBool   = "bool = true OR bool = false"
	hasAbsent = "absent = true OR absent = false"
)

// countStatements count keys: all fields, less each field that stands beside an
// earlier one. The order is free, and text, which no condition can hold, is last.
// The server counts 100,000 readings in some 0.1 s, where a scan takes 0.4 s.
func countStatements(vehicles, span string) string {
	var q strings.Builder
	for _, part := range [...]struct{ field, beside string }{
		{"number", ""},
		{"bool", ""},
		{"absent", ""},
		{"text", ""},
		{"bool", hasNumber},
		{"absent", hasNumber + " OR " + hasBool},
		{"text", hasNumber + " OR " + hasBool + " OR " + hasAbsent},
	} {
		q.WriteString("SELECT count(" + part.field + ") AS n FROM reading")
		if part.beside != "" {
			part.beside = "(" + part.beside + ")"
		}
		q.WriteString(where(vehicles, span, part.beside) + " GROUP BY vin, time(1d) fill(none);")
	}
	return q.String()
}

const countsAdded = 4 // of the statements; the rest is taken off

// CountReadings counts the readings of the vehicles, of all when vins is empty,
// measured in [from, to), exactly and by UTC day, in order of day and vin; days
// without readings are not there. Errors are *ReadError.
func (c *Client) CountReadings(ctx context.Context, vins []schema.VIN, from, to time.Time) ([]DayCount, error) {
	type key struct {
		day int64
		vin schema.VIN
	}
	found := map[key]int64{}
	count := func(r Row) error {
		n, ok := r.Int("n")
		if !ok {
			return errAnswerForm
		}
		if r.r.statement >= countsAdded {
			n = -n
		}
		found[key{r.Time(), schema.VIN(r.Tag("vin"))}] += n
		return nil
	}
	if to.IsZero() { // the server would stop at its own clock
		to = time.Unix(0, lastNano)
	}
	for _, group := range vehicleGroups(vins) {
		if err := c.Query(ctx, countStatements(group, spanOf(from, to)), count); err != nil {
			return nil, readError("influx count readings", err)
		}
	}
	var counts []DayCount
	for _, k := range slices.SortedFunc(maps.Keys(found), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.vin, b.vin))
	}) {
		counts = append(counts, DayCount{k.vin, time.Unix(0, k.day).UTC(), found[k]})
	}
	return counts, nil
}
