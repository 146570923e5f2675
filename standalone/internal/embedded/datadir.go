package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// markerFile says what a data folder holds.
const markerFile = "cardata-standalone"

// ErrOtherData says that a folder holds the other kind of data.
var ErrOtherData = errors.New("simulated and real data must not share a folder")

// ErrInUse says that another process works in the folder.
var ErrInUse = errors.New("data folder is in use by another run of standalone")

// LockDataDir makes this process the folder's only user until release, or its
// end, however it ends.
func LockDataDir(dir string) (release func() error, err error) {
	l := flock.New(filepath.Join(dir, markerFile+".lock"), flock.SetPermissions(0o600))
	held, err := l.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("lock the data folder: %w", err)
	case !held:
		return nil, fmt.Errorf("%w: %s; stop that run, or give another --data", ErrInUse, dir)
	}
	return l.Close, nil
}

// OpenDataDir makes the folder if needed and marks what it holds ("simulated"
// or "real"); a folder marked otherwise, or one with foreign files, is refused.
// It gives the absolute path.
func OpenDataDir(dir, kind string) (string, error) {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no place for data, give --data: %w", err)
		}
		dir = filepath.Join(cache, "cardata-pipeline", kind)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("data folder: %w", err)
	}
	marker := filepath.Join(dir, markerFile)
	held, err := os.ReadFile(marker)
	switch {
	case err == nil && strings.TrimSpace(string(held)) == kind:
		return dir, nil
	case err == nil:
		return "", fmt.Errorf("%w: %s holds %s data, give another --data", ErrOtherData, dir, strings.TrimSpace(string(held)))
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("data folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("data folder: %w", err)
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("data folder %s holds foreign files, give an empty one", dir)
	}
	return dir, os.WriteFile(marker, []byte(kind+"\n"), 0o600)
}
