package export

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// make reads one day of one source and publishes its files.
func (e *Export) make(ctx context.Context, ds *parquet.Dataset, w *work, sum *Summary) error {
	day, err := ds.Begin(parquet.DateOf(w.day), w.tables...)
	if err != nil {
		return err
	}
	defer day.Abort() // nothing after Commit
	if w.source == parquet.SourceReadings {
		err = e.readings(ctx, day, w)
	} else {
		err = e.measurement(ctx, day, w)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", w.text(), err)
	}
	done, err := day.Commit(ctx, w.digest)
	if err != nil {
		return fmt.Errorf("%s: %w", w.text(), err)
	}
	e.add(sum, &done)
	return nil
}

// bundles cuts the vehicles into those that one query asks for, so that each lane
// has some. An answer comes in the order of VINs, so tokens, which sort otherwise,
// go one by one.
func (e *Export) bundles(vehicles []schema.VIN) [][]schema.VIN {
	const most = 16
	size := max(1, min(most, len(vehicles)/(2*e.cfg.ExportParallel)))
	if e.dataset.Profile.Name != parquet.Full {
		size = 1
	}
	return slices.Collect(slices.Chunk(vehicles, size))
}

// span gives the day's first moment and the one after its last.
func (w *work) span() (from, to time.Time) { return w.day, w.day.Add(24 * time.Hour) }
