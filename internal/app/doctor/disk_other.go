//go:build !linux && !darwin

package doctor

import (
	"errors"
	"os"
)

// freeBytes is not known here.
func freeBytes(dir string) (uint64, error) {
	if _, err := os.Stat(dir); err != nil {
		return 0, err
	}
	return 0, errors.ErrUnsupported
}
