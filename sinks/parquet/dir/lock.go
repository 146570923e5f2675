package dir

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// The files of the lock begin with an underscore, so readers of datasets pass over
// them. Who holds it stands in a file of its own: some systems let nobody read or
// write what is locked.
const (
	lockFile   = "_lock"
	holderFile = "_lock.txt"
)

const maxHolder = 200 // bytes of the lock file that are shown

// Lock holds the folder until unlock, or until the process ends. Its files stay.
func (t *Target) Lock(context.Context) (unlock func() error, lost <-chan struct{}, err error) {
	name := filepath.Join(t.root, lockFile)
	lock := flock.New(name, flock.SetPermissions(fileMode))
	held, err := lock.TryLock()
	if err != nil {
		return nil, nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if !held {
		return nil, nil, fmt.Errorf("%w: %s", parquet.ErrLocked, holder(filepath.Join(t.root, holderFile)))
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	name = filepath.Join(t.root, holderFile)
	who := fmt.Sprintf("process %d on %s since %s\n", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	if err := os.WriteFile(name, []byte(who), fileMode); err != nil {
		_ = lock.Close()
		return nil, nil, fmt.Errorf("write %s: %w", name, explain(err))
	}
	var once sync.Once
	return func() (err error) {
		once.Do(func() { err = lock.Close() })
		return err
	}, make(chan struct{}), nil
}

func holder(name string) string {
	b, err := os.ReadFile(name)
	if err != nil || len(b) == 0 {
		return "who is not known (" + name + ")"
	}
	return strings.TrimSpace(string(b[:min(len(b), maxHolder)]))
}
