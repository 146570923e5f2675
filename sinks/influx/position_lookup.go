package influx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	// One look-up reads so far ahead, but at most so many samples of a series:
	// whoever catches up needs one for two days or 2,048 positions.
	lookupSpan  = int64(48 * time.Hour)
	lookupLimit = 2048
	// No reading was measured later than a day after it was received; an hour is
	// for clocks that differ.
	lookupFuture = 25 * time.Hour
)

// lookUp makes the car's track complete for some more time.
func (s *PositionSink) lookUp(ctx context.Context, car *positionCar) error {
	ctx, cancel := context.WithTimeout(ctx, s.c.cfg.Timeout)
	defer cancel()
	s.Stats.Lookups.Add(1)
	from, until := car.until, car.until+lookupSpan
	var counts [len(car.track)]int
	var last [len(car.track)]int64
	err := s.c.Query(ctx, lookupQuery(car.vin, from, until), func(row Row) error {
		part, ok := derive.PositionDescriptor(schema.Descriptor(row.Tag("descriptor")))
		value, number := row.Float("number")
		if !ok || !number {
			return nil
		}
		car.track[part].Put(row.Time(), value)
		counts[part]++
		last[part] = row.Time()
		return nil
	})
	if err != nil {
		return readable(err)
	}
	if until > time.Now().Add(lookupFuture).UnixNano() {
		until = math.MaxInt64
	}
	for p, n := range counts {
		if n >= lookupLimit { // there may be more
			until = min(until, last[p]+1)
		}
	}
	car.until = until
	return nil
}

// lookupQuery asks for one series for each descriptor of positions.
func lookupQuery(vin schema.VIN, from, until int64) string {
	var q strings.Builder
	q.WriteString(`SELECT "number" FROM "reading" WHERE "vin" = `)
	q.WriteString(QuoteText(string(vin)))
	for i, p := range derive.Parts() {
		q.WriteString([]string{` AND ("descriptor" = `, ` OR "descriptor" = `}[min(i, 1)])
		q.WriteString(QuoteText(string(p.Descriptor())))
	}
	q.WriteString(`) AND time >= `)
	q.WriteString(strconv.FormatInt(from, 10))
	q.WriteString(` AND time < `)
	q.WriteString(strconv.FormatInt(until, 10))
	q.WriteString(` GROUP BY "descriptor" LIMIT `)
	q.WriteString(strconv.Itoa(lookupLimit))
	return q.String()
}

// readable says what to do about a token that may write only.
func readable(err error) error {
	if qe, ok := errors.AsType[*QueryError](err); ok && (qe.Status == http.StatusUnauthorized || qe.Status == http.StatusForbidden || qe.Status == http.StatusNotFound) {
		return fmt.Errorf("positions need a token that may read as well as write, or be switched off: %w", err)
	}
	return err
}
