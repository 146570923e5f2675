package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// markerFile says what a data folder holds.
const markerFile = "cardata-standalone"

// ErrOtherData says that a folder holds the other kind of data.
var ErrOtherData = errors.New("simulated and real data must not share a folder")

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
