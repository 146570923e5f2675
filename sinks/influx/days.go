package influx

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Days gives the marks of a table, such as TableReadings, of the UTC days that
// lie in [from, to) wholly or in part, in order of day and vin; a zero time
// leaves that side open. Day is the start of the day; Touched, in whole
// milliseconds, is for comparing, see the package's text. Errors are *ReadError.
//
// Read the marks of a day before its data, and keep them with what is made of it.
func (c *Client) Days(ctx context.Context, table string, from, to time.Time) ([]Day, error) {
	if !from.IsZero() {
		from = dayStart(daysSinceEpoch(from))
	}
	q := `SELECT touched FROM "day"` + where(`"table" = `+QuoteText(table), spanOf(from, to)) + " GROUP BY vin"
	var days []Day
	var vin schema.VIN
	err := c.Query(ctx, q, func(r Row) error {
		if tag := r.Tag("vin"); tag != string(vin) {
			vin = schema.VIN(tag)
		}
		ms, ok := r.Int("touched")
		if !ok {
			return errAnswerForm
		}
		days = append(days, Day{VIN: vin, Table: table, Day: time.Unix(0, r.Time()).UTC(), Touched: time.UnixMilli(ms).UTC()})
		return nil
	})
	if err != nil {
		return nil, readError("influx read days", err)
	}
	slices.SortFunc(days, func(a, b Day) int { return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.VIN, b.VIN)) })
	return days, nil
}
