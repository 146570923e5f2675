package parquet

import (
	"fmt"
	"time"
)

// Date is a UTC day.
type Date struct{ days int32 } // since 1970

const (
	dayNS = int64(24 * time.Hour)
	dayUS = dayNS / 1000
)

// DateOf gives the UTC day of t.
func DateOf(t time.Time) Date { return dateOfNS(t.UnixNano()) }

func dateOfNS(ns int64) Date {
	d := ns / dayNS
	if ns%dayNS < 0 {
		d--
	}
	return Date{int32(d)}
}

// ParseDate reads a day such as 2026-11-24.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, fmt.Errorf("read day %q: %w", s, err)
	}
	return DateOf(t), nil
}

// Start is the day's first moment, UTC.
func (d Date) Start() time.Time { return time.Unix(int64(d.days)*86400, 0).UTC() }

// Next is the day after.
func (d Date) Next() Date { return Date{d.days + 1} }

// Before says whether d is earlier than e.
func (d Date) Before(e Date) bool { return d.days < e.days }

// String gives the day as it stands in paths.
func (d Date) String() string { return d.Start().Format(time.DateOnly) }

func (d Date) holdsNS(ns int64) bool { return dateOfNS(ns) == d }
