package export

import (
	"errors"
	"fmt"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// Selection says what of InfluxDB to bring into the dataset. The zero value is
// everything that changed since the last export.
type Selection struct {
	From, To time.Time    // UTC; whole days count, the one To falls into included; zero has no bound
	VINs     []schema.VIN // these vehicles alone; without the level vin the dataset is of them for good
	Tables   []string     // as ParseTables gives them; nil is every table
	Again    bool         // days that did not change, too
	Prune    bool         // delete days of From to To of which InfluxDB knows nothing any more
	DryRun   bool         // say what would be written and write nothing
}

var errReversed = errors.New("the range ends before it begins")

// check refuses what can only be a mistake.
func (s *Selection) check(now time.Time, vinLevel bool, profile parquet.ProfileName) error {
	var faults []error
	if !s.From.IsZero() && !s.To.IsZero() && !s.To.After(s.From) {
		faults = append(faults, fmt.Errorf("from %s to %s: %w", s.From.Format(time.DateTime), s.To.Format(time.DateTime), errReversed))
	}
	if s.From.After(now) {
		faults = append(faults, fmt.Errorf("from %s: it is in the future", s.From.Format(time.DateTime)))
	}
	if s.Prune && (s.From.IsZero() || s.To.IsZero()) {
		faults = append(faults, errors.New("deleting days that InfluxDB does not have needs a range: from and to"))
	}
	if s.Prune && vinLevel && profile != parquet.Full {
		faults = append(faults, errors.New("whose a file is cannot be told from a pseudonymous dataset: delete its folders and export again"))
	}
	return errors.Join(faults...)
}

// bounds gives the whole days that are asked for. Where the selection has no bound
// it is wide: no car measured before 2000, and a reading may be a day ahead of its
// arrival.
func (s *Selection) bounds(now time.Time) (from, to time.Time) {
	from, to = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), startOfDay(now).AddDate(0, 0, 3)
	if s.From.After(from) {
		from = startOfDay(s.From)
	}
	if !s.To.IsZero() && s.To.Before(to) {
		to = startOfDay(s.To.Add(24*time.Hour - time.Nanosecond))
	}
	return from, to
}

func startOfDay(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
