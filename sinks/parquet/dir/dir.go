// Package dir keeps a dataset in a local folder.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

var _ parquet.Target = (*Target)(nil)

const (
	folderMode = 0o755 // a dataset is there to be read
	fileMode   = 0o644
	// tempEnding hides a file from readers that glob for *.parquet. The name is
	// the same each time, so an interrupted one is overwritten by the next.
	tempEnding = ".tmp"
)

// Target is a dataset in a folder. Files appear by a rename within their folder,
// after they and then the folder were synced. It is safe for concurrent use, but
// for one path at a time.
type Target struct{ root string }

// New uses the folder root, and makes it when it is missing. The error says so
// when it cannot be written.
func New(root string) (*Target, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("find folder %s: %w", root, err)
	}
	if err := os.MkdirAll(abs, folderMode); err != nil {
		return nil, fmt.Errorf("make folder of the dataset: %w", err)
	}
	f, err := os.CreateTemp(abs, ".writable-*")
	if err != nil {
		return nil, fmt.Errorf("folder of the dataset is not writable: %w", err)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return nil, fmt.Errorf("try folder of the dataset: %w", err)
	}
	return &Target{abs}, nil
}

// Root is the folder, an absolute path.
func (t *Target) Root() string { return t.root }

func (t *Target) local(p string) (string, error) {
	if p == "" || p != path.Clean(p) || !filepath.IsLocal(filepath.FromSlash(p)) {
		return "", fmt.Errorf("path %q: %w", p, fs.ErrInvalid)
	}
	return filepath.Join(t.root, filepath.FromSlash(p)), nil
}

// Publish copies local beside its place, syncs it and renames it. A full disk
// leaves the old file as it was.
func (t *Target) Publish(ctx context.Context, p, local string) error {
	to, err := t.local(p)
	if err != nil {
		return err
	}
	made, err := makeFolders(t.root, filepath.Dir(to))
	if err != nil {
		return err
	}
	temp := to + tempEnding
	if err := copyFile(ctx, temp, local); err != nil {
		_ = os.Remove(temp) // or the next Publish overwrites it
		return explain(err)
	}
	if err := os.Rename(temp, to); err != nil {
		_ = os.Remove(temp)
		return err
	}
	for _, folder := range append(made, filepath.Dir(to)) {
		if err := syncFolder(folder); err != nil {
			return err
		}
	}
	return nil
}

func explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("the disk of the dataset is full: %w", err)
	}
	return err
}

// makeFolders gives the folders that have a new entry now.
func makeFolders(root, folder string) ([]string, error) {
	var above []string
	for f := folder; f != root; f = filepath.Dir(f) {
		if _, err := os.Stat(f); err == nil {
			break
		}
		above = append(above, filepath.Dir(f))
	}
	if err := os.MkdirAll(folder, folderMode); err != nil {
		return nil, explain(err)
	}
	return above, nil
}

func copyFile(ctx context.Context, to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, reader{ctx, in}); err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// reader ends with ctx.
type reader struct {
	ctx context.Context //nolint:containedctx // lives for one copy
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Open reads the file at p.
func (t *Target) Open(_ context.Context, p string) (io.ReadCloser, error) {
	from, err := t.local(p)
	if err != nil {
		return nil, err
	}
	return os.Open(from)
}

// Remove deletes the file at p, what an interrupted Publish left beside it, and
// the folders that this leaves empty.
func (t *Target) Remove(_ context.Context, p string) error {
	at, err := t.local(p)
	if err != nil {
		return err
	}
	for _, f := range []string{at, at + tempEnding} {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for folder := filepath.Dir(at); folder != t.root; folder = filepath.Dir(folder) {
		if err := os.Remove(folder); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return syncFolder(folder) // it has more in it
		}
	}
	return syncFolder(t.root)
}

// List calls file for each file below prefix.
func (t *Target) List(ctx context.Context, prefix string, file func(path string, sizeBytes int64) error) error {
	from := t.root
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		var err error
		if from, err = t.local(prefix); err != nil {
			return err
		}
	}
	return filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed meanwhile, or never there
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case e.IsDir() || p == filepath.Join(t.root, lockFile) || p == filepath.Join(t.root, holderFile):
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(t.root, p)
		if err != nil {
			return err
		}
		return file(filepath.ToSlash(rel), info.Size())
	})
}
