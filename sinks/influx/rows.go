package influx

import (
	"context"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// RowsQuery says which points of a small measurement to read.
type RowsQuery struct {
	Measurement string       // such as charging_session
	Fields      []string     // fields, and tags other than vin; empty means all of them
	VINs        []schema.VIN // empty means every vehicle, and points without one
	From, To    time.Time    // time in [From, To); zero leaves that side open
}

// Rows gives the points that q asks for in order of vin and time; those of one
// vehicle and one time in the order of the server. The vehicle is r.Tag("vin").
// A Row is valid until row returns; an error of row ends the query and comes back
// as it is, other errors are *ReadError. What was given is complete only when
// Rows returns nil.
func (c *Client) Rows(ctx context.Context, q RowsQuery, row func(Row) error) error {
	columns := "*"
	if len(q.Fields) > 0 {
		quoted := make([]string, len(q.Fields))
		for i, f := range q.Fields {
			quoted[i] = QuoteIdent(f)
		}
		columns = strings.Join(quoted, ", ")
	}
	for _, group := range vehicleGroups(q.VINs) {
		text := "SELECT " + columns + " FROM " + QuoteIdent(q.Measurement) + where(group, spanOf(q.From, q.To)) + " GROUP BY vin"
		err := c.Query(ctx, text, func(r Row) error {
			if err := row(r); err != nil {
				return &callerError{err}
			}
			return nil
		})
		if err != nil {
			return readError("influx read "+q.Measurement, err)
		}
	}
	return nil
}

// vehicleGroups gives conditions that together ask for these vehicles, in
// order; one empty condition when they are all.
func vehicleGroups(vins []schema.VIN) []string {
	const atOnce = 100
	if len(vins) == 0 {
		return []string{""}
	}
	vins = sortedSet(vins)
	var groups []string
	for len(vins) > 0 {
		n := min(len(vins), atOnce)
		var either []string
		for _, vin := range vins[:n] {
			either = append(either, "vin = "+QuoteText(string(vin)))
		}
		groups = append(groups, "("+strings.Join(either, " OR ")+")")
		vins = vins[n:]
	}
	return groups
}
