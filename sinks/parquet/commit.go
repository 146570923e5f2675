package parquet

import (
	"context"
	"errors"
	"fmt"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// finished is a file that waits to be published, or a partition without rows.
type finished struct {
	place   place
	out     *output // nil without rows
	columns []ManifestColumn
	entry   ManifestFile // without path and digest
}

func (f *finished) discard() {
	if f.out != nil {
		f.out.discard()
		f.out = nil
	}
}

func (w *fileWriter) finished() finished {
	f := finished{out: w.out, entry: ManifestFile{Rows: w.total, Bytes: w.out.n, SHA256: w.out.sum()}}
	if w.time >= 0 {
		f.entry.From, f.entry.To = formatUS(w.minUS), formatUS(w.maxUS)
	}
	for _, c := range w.cols {
		f.columns = append(f.columns, ManifestColumn{Name: c.Name, Type: c.Type.String(), Unit: c.Unit})
	}
	return f
}

// Committed says what Commit did.
type Committed struct {
	Files   int   // published
	Removed int   // partitions that had a file and have no rows now
	Same    int   // files that were there already, byte for byte
	Rows    int64 // in all files, those that were there included
	Bytes   int64 // likewise
}

// Commit finishes the files and publishes them. touched gives for each table, and
// vehicle with the level vin, the digest to keep with it. With the level vin only
// vehicles named by Vehicle are replaced; without it the whole day is. After an
// error the day counts as changed, and can be made again.
func (w *Day) Commit(ctx context.Context, touched func(table string, vin schema.VIN) string) (Committed, error) {
	var c Committed
	if w.ended {
		return c, errors.New("commit a day twice")
	}
	defer w.Abort()
	if err := w.endVehicle(); err != nil {
		return c, err
	}
	if !w.d.cfg.VINLevel {
		for _, t := range w.tables {
			if err := w.finish(t, ""); err != nil {
				return c, err
			}
		}
	}
	vins := make(map[string]schema.VIN, len(w.names))
	for i, token := range w.vehicles {
		vins[token] = w.names[i]
	}
	for i := range w.done {
		f := &w.done[i]
		f.entry.Touched = touched(f.place.table, vins[f.place.vin])
	}
	return c, w.d.publish(ctx, w.done, &c)
}

// publish brings files to the target and into the manifest. At each moment the
// target holds for each partition the old file or the new one, whole.
func (d *Dataset) publish(ctx context.Context, files []finished, c *Committed) error {
	var changes []*finished
	var paths []string
	for i := range files {
		f := &files[i]
		f.entry.Path = f.place.path()
		t := d.manifest.table(f.place.table)
		at, had := t.file(f.entry.Path)
		switch {
		case f.out == nil && !had:
			d.note(t, f)
		case f.out != nil && had && t.Files[at].SHA256 == f.entry.SHA256:
			c.Same++
			c.add(f)
			d.note(t, f)
		default:
			changes = append(changes, f)
			paths = append(paths, f.entry.Path)
		}
	}
	if len(changes) > 0 {
		if err := d.announce(ctx, paths); err != nil {
			return err
		}
	}
	for _, f := range changes {
		if err := d.publishOne(ctx, f, c); err != nil {
			d.doubt(f)
			return err
		}
		delete(d.doubtful, f.entry.Path)
	}
	if len(d.pending) >= saveEvery {
		return d.Flush(ctx)
	}
	return nil
}

func (c *Committed) add(f *finished) {
	c.Rows += f.entry.Rows
	c.Bytes += f.entry.Bytes
}

// note writes the digest of a partition that is as it was.
func (d *Dataset) note(t *ManifestTable, f *finished) {
	d.dirty = true
	if f.out == nil {
		t.clear(f.entry.Path, f.entry.Touched)
		return
	}
	t.put(f.entry)
}

// doubt notes that nobody knows which file the target has now: the day counts as
// changed, and the next Open looks.
func (d *Dataset) doubt(f *finished) {
	d.doubtful[f.entry.Path] = true
	t := d.manifest.table(f.place.table)
	if at, had := t.file(f.entry.Path); had {
		t.Files[at].Touched = ""
	}
}

func (d *Dataset) publishOne(ctx context.Context, f *finished, c *Committed) error {
	if err := d.held(); err != nil {
		return err
	}
	t, path := d.manifest.table(f.place.table), f.entry.Path
	d.dirty = true
	if f.out == nil {
		if err := d.target.Remove(ctx, path); err != nil {
			return fmt.Errorf("remove %s: %w", path, err)
		}
		t.clear(path, f.entry.Touched)
		c.Removed++
		return nil
	}
	if err := t.addColumns(f.columns); err != nil {
		return err
	}
	if err := d.target.Publish(ctx, path, f.out.f.Name()); err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	t.put(f.entry)
	c.Files++
	c.add(f)
	return nil
}
