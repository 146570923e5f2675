package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Free space for the journal, whose default limit is 4 GiB.
const (
	diskWarn = 5 << 30
	diskFail = 512 << 20
)

// disk looks at the room for the journal.
func (e *exam) disk(context.Context) {
	if e.cfg.DataDir == "" {
		e.skip(stepDisk, "", "no data folder named", "set CARDATA_DATA_DIR to ingest's")
		return
	}
	free, err := e.cfg.freeBytes(e.cfg.DataDir)
	text := fmt.Sprintf("%.1f GiB free in %s", float64(free)/(1<<30), e.cfg.DataDir)
	const remedy = "make room, or move CARDATA_DATA_DIR to a larger disk: a full one stops the journal, and what then comes is lost in a recorded gap"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.skip(stepDisk, "", e.cfg.DataDir+" does not exist: ingest has not run here", "set CARDATA_DATA_DIR to ingest's")
	case err != nil:
		e.skip(stepDisk, "", "free space is not known: "+err.Error(), "")
	case free < diskFail:
		e.act(stepDisk, "", text, remedy)
	case free < diskWarn:
		e.warn(stepDisk, "", text, remedy)
	default:
		e.ok(stepDisk, "", "%s", text)
	}
}
