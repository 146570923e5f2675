//go:build !windows

package dir

import (
	"errors"
	"os"
)

// syncFolder makes renames in it survive a power cut.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
