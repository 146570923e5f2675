package parquet

import (
	"context"
	"errors"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Config says what a dataset is like. All but TempDir and Catalogue are fixed
// with its first file.
type Config struct {
	Profile   Profile
	VINLevel  bool              // a folder for each vehicle below each day
	Catalogue *schema.Catalogue // types and units; nil is schema.Default
	TempDir   string            // where files are made before they are published; empty is os.TempDir
}

var (
	// ErrSettings means that the dataset was made with another profile or layout.
	ErrSettings = errors.New("the dataset was made with other settings")
	// ErrManifest means that the manifest cannot be understood.
	ErrManifest = errors.New("the manifest of the dataset is damaged")
	// ErrNewer means that a newer version of this program wrote the dataset.
	ErrNewer = errors.New("the dataset was written by a newer version")
	// ErrOrder means that rows came in an order that the files cannot have.
	ErrOrder = errors.New("rows out of order")
)

// Dataset is open for writing: it holds the lock of its target. It is for one
// goroutine.
type Dataset struct{}

// Open locks target, reads the manifest (no manifest is a new dataset) and puts
// right what an interrupted writer left: days that were published but are not in
// the manifest count as changed. Errors wrap ErrLocked, ErrSettings, ErrManifest
// or ErrNewer where that is the cause.
func Open(_ context.Context, _ Target, _ Config) (*Dataset, error) { panic("BUG: not written yet") }

// Close writes what the manifest still lacks and gives the lock back. It may be
// called twice.
func (d *Dataset) Close(_ context.Context) error { panic("BUG: not written yet") }

// Partition is one table's share of one UTC day, and of one vehicle with the
// level vin.
type Partition struct {
	Table string
	Day   Date
	VIN   schema.VIN // empty without the level vin
}

// Date is a UTC day.
type Date struct{ days int32 } // since 1970

// DateOf gives the UTC day of t.
func DateOf(t time.Time) Date { panic("BUG: not written yet") }

// Touched gives the digest that p was committed with, also when p had no rows;
// empty when p was never committed, or when its file has to be made again. The
// exporter compares it with the digest of today's day marks.
func (d *Dataset) Touched(_ Partition) string { panic("BUG: not written yet") }

// SortVehicles sorts vins into the order that Begin's vehicles must come in: by
// what stands in column vin.
func (d *Dataset) SortVehicles(_ []schema.VIN) { panic("BUG: not written yet") }

// Begin starts files for tables of one day. Those that the profile does not
// write are skipped. End with Commit or Abort.
func (d *Dataset) Begin(_ Date, _ ...string) (*Day, error) { panic("BUG: not written yet") }

// WriteCatalogue writes table catalogue when it is not there as it should be.
func (d *Dataset) WriteCatalogue(_ context.Context) error { panic("BUG: not written yet") }

// Day takes the rows of one UTC day.
type Day struct{}

// Vehicle says whose rows come next: each vehicle once, as SortVehicles orders
// them. Empty, and then first, is for gaps of accounts without a known car.
func (w *Day) Vehicle(_ schema.VIN) error { panic("BUG: not written yet") }

// Readings takes readings of the present vehicle and day: descriptors ascending,
// times ascending within one, in one block or in several. b may be reused.
func (w *Day) Readings(_ *schema.ReadingBlock) error { panic("BUG: not written yet") }

// Positions takes positions of the present vehicle and day, times ascending.
func (w *Day) Positions(_ []derive.Position) error { panic("BUG: not written yet") }

// Row takes one row of table's measurement, of the present vehicle and day, in
// any order.
func (w *Day) Row(_ string, _ Cells) error { panic("BUG: not written yet") }

// SessionZone tells the zone of a charging session that began before this day:
// its blocks may lie in it. Those that begin on the day are known from their rows.
func (w *Day) SessionZone(_ time.Time, _ string) error { panic("BUG: not written yet") }

// Committed says what Commit did.
type Committed struct {
	Files   int   // published
	Removed int   // partitions that had a file and have no rows now
	Same    int   // files that were there already, byte for byte
	Rows    int64 // in all files
	Bytes   int64 // in all files
}

// Commit finishes the files and publishes them. touched gives for each table, and
// vehicle with the level vin, the digest to keep with it. With the level vin only
// vehicles named by Vehicle are replaced; without it the whole day is.
func (w *Day) Commit(_ context.Context, _ func(table string, vin schema.VIN) string) (Committed, error) {
	panic("BUG: not written yet")
}

// Abort drops the day. It is nil after Commit, and may be called twice.
func (w *Day) Abort() error { panic("BUG: not written yet") }
