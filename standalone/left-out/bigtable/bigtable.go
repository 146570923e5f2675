// Package bigtable stands in for the client of Google Bigtable that Flux links:
// the names it uses, and an error for whoever calls them.
package bigtable

import (
	"context"
	"errors"
	"time"

	"google.golang.org/api/option"
)

var errLeftOut = errors.New("bigtable is left out of this build")

// The names that Flux uses. None of them does anything.
type (
	Client     struct{}
	Table      struct{}
	RowSet     any
	RowRange   struct{}
	Filter     any
	ReadOption any
	Timestamp  int64
	Row        map[string][]ReadItem
	ReadItem   struct {
		Row, Column string
		Timestamp   Timestamp
		Value       []byte
	}
)

// NewClient refuses.
func NewClient(context.Context, string, string, ...option.ClientOption) (*Client, error) {
	return nil, errLeftOut
}

// Open gives a table that refuses.
func (c *Client) Open(string) *Table { return &Table{} }

// Close does nothing.
func (c *Client) Close() error { return nil }

// ReadRows refuses.
func (t *Table) ReadRows(context.Context, RowSet, func(Row) bool, ...ReadOption) error {
	return errLeftOut
}

// Time is never asked for.
func (t Timestamp) Time() time.Time { return time.UnixMicro(int64(t)) }

// What follows builds queries that nobody can send.
func SingleRow(string) RowSet                          { return nil }
func InfiniteRange(string) RowRange                    { return RowRange{} }
func NewRange(string, string) RowRange                 { return RowRange{} }
func PrefixRange(string) RowRange                      { return RowRange{} }
func PassAllFilter() Filter                            { return nil }
func FamilyFilter(string) Filter                       { return nil }
func ChainFilters(...Filter) Filter                    { return nil }
func TimestampRangeFilter(time.Time, time.Time) Filter { return nil }
func LimitRows(int64) ReadOption                       { return nil }
func RowFilter(Filter) ReadOption                      { return nil }
