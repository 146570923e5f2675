package parquet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

// pendingList is the content of _pending.json: paths that were about to be
// replaced when it was written, and are not yet in the manifest.
type pendingList struct {
	Paths []string `json:"paths"`
}

// announce says what is about to be replaced, before anything is.
func (d *Dataset) announce(ctx context.Context, paths []string) error {
	before := len(d.pending)
	for _, p := range paths {
		d.pending[p] = true
	}
	if len(d.pending) == before {
		return nil
	}
	if err := d.held(); err != nil {
		return err
	}
	b, err := json.Marshal(pendingList{slices.Sorted(maps.Keys(d.pending))})
	if err != nil {
		return err
	}
	return publishBytes(ctx, d.target, d.temp, pendingFile, b)
}

// repair takes in what an interrupted writer published: such files go into the
// manifest as they are, without a digest, so that their days count as changed.
// What it left half written is removed.
func (d *Dataset) repair(ctx context.Context) error {
	b, err := readAll(ctx, d.target, pendingFile)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var list pendingList
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("%w: %s: %w; %s", ErrManifest, pendingFile, err, rebuildHint)
	}
	for _, path := range list.Paths {
		p, ok := parsePath(path)
		if !ok {
			return fmt.Errorf("%w: %s: %q is no path of a file; %s", ErrManifest, pendingFile, path, rebuildHint)
		}
		if _, known := TableByName(p.table); !known {
			return fmt.Errorf("%w: it has a table %q", ErrNewer, p.table)
		}
		if err := d.adopt(ctx, p); err != nil {
			return err
		}
		d.pending[path] = true
	}
	d.dirty = true
	return d.Flush(ctx)
}

func (d *Dataset) adopt(ctx context.Context, p place) error {
	path := p.path()
	if err := d.removeLeftovers(ctx, path); err != nil {
		return err
	}
	t := d.manifest.table(p.table)
	ft, err := readFooter(ctx, d.target, d.temp, path)
	switch {
	case missing(err):
		t.clear(path, "")
		return nil
	case errors.Is(err, errFooter):
		// Not ours to keep: publishing is atomic, so no writer of this program left it.
		return fmt.Errorf("%w: %w; remove the file, or %s", ErrManifest, err, rebuildHint)
	case err != nil:
		return err
	}
	if err := sameSettings(ft.settings, d.manifest.Settings); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	t.put(ft.file(path))
	return t.addColumns(ft.columns)
}

// removeLeftovers removes what stands beside the one file of a partition.
func (d *Dataset) removeLeftovers(ctx context.Context, path string) error {
	var stray []string
	folder := folderOf(path)
	err := d.target.List(ctx, folder, func(p string, _ int64) error {
		if p != path && folderOf(p) == folder {
			stray = append(stray, p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", folder, err)
	}
	for _, p := range stray {
		if err := d.target.Remove(ctx, p); err != nil {
			return fmt.Errorf("remove %s: %w", p, err)
		}
	}
	return nil
}

// Rebuild makes the manifest anew from the footers of the files, all of which it
// reads. No digest is known afterwards, so that every day counts as changed. cfg
// must be that of the files; errors wrap ErrSettings when it is not.
func Rebuild(ctx context.Context, target Target, cfg Config) error {
	if err := cfg.Profile.Validate(); err != nil {
		return err
	}
	unlock, lost, err := target.Lock(ctx)
	if err != nil {
		return fmt.Errorf("lock the dataset: %w", err)
	}
	d := newDataset(target, cfg, unlock, lost)
	return errors.Join(d.rebuild(ctx), d.release())
}

func (d *Dataset) rebuild(ctx context.Context) error {
	temp, err := os.MkdirTemp(d.cfg.TempDir, "cardata-parquet-")
	if err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	d.temp = temp
	d.mask = newMask(&d.cfg.Profile)
	d.manifest = &Manifest{Format: manifestFormat, Settings: d.mask.settings(&d.cfg)}
	var paths []string
	err = d.target.List(ctx, "", func(path string, _ int64) error {
		if _, ok := parsePath(path); ok {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the dataset: %w", err)
	}
	slices.Sort(paths)
	for _, path := range paths {
		p, _ := parsePath(path)
		if _, known := TableByName(p.table); !known {
			continue
		}
		if p.date != "" && p.level != d.cfg.VINLevel {
			return fmt.Errorf("%w: %s has another level vin", ErrSettings, path)
		}
		if err := d.adopt(ctx, p); err != nil {
			return err
		}
	}
	if err := d.knowsColumns(); err != nil {
		return err
	}
	d.dirty = true
	if err := d.Flush(ctx); err != nil {
		return err
	}
	return d.target.Remove(ctx, pendingFile)
}
