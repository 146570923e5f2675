package backfill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// entry is one paid answer between the call and Kafka. It says all that is
// needed to produce it and to book it, so that a killed run never asks again.
type entry struct {
	Seq         int64         `json:"seq"`
	Kind        Kind          `json:"kind"`
	VIN         schema.VIN    `json:"vin,omitempty"`
	Source      schema.Source `json:"source"`
	Fetched     time.Time     `json:"fetched"`
	Container   string        `json:"container,omitempty"` // name, of telematics
	None        bool          `json:"none,omitempty"`      // the service has none
	ContentType string        `json:"content_type,omitempty"`
	Page        *page         `json:"page,omitempty"` // of sessions and settings
	Body        []byte        `json:"body,omitempty"`
}

// page says which part of a history query an answer is.
type page struct {
	Query   span      `json:"query"`
	Upper   time.Time `json:"upper"`
	Token   string    `json:"token,omitempty"` // it was asked for with
	Next    string    `json:"next,omitempty"`  // of the next page
	Oldest  time.Time `json:"oldest,omitzero"` // start of the oldest session on it
	Running time.Time `json:"running,omitzero"`
	Ordered bool      `json:"ordered"`
	Count   int       `json:"count"`
}

// folder holds what one account's runs keep on disk: state.json, and answer.json
// while an answer is on its way to Kafka. Both are replaced in one step. One
// process at a time has it.
type folder struct {
	path string
	lock *flock.Flock
}

const (
	stateFile  = "state.json"
	answerFile = "answer.json"
)

// errBusy reports an account that another process, or another run of this one,
// is at work on.
var errBusy = exit.With(exit.Usage, errors.New("another backfill is at work on this account with the same CARDATA_DATA_DIR; wait for it, or stop it"))

// openFolder takes the account's folder for this process.
func openFolder(dataDir string, gcid schema.GCID) (*folder, error) {
	path := filepath.Join(dataDir, "backfill", string(gcid))
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("folder of resume state: %w; choose a CARDATA_DATA_DIR that can be written", err)
	}
	lock := flock.New(filepath.Join(path, "lock"), flock.SetPermissions(0o600))
	got, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock resume state: %w", err)
	}
	if !got {
		return nil, errBusy
	}
	return &folder{path: path, lock: lock}, nil
}

func (f *folder) close() { _ = f.lock.Close() }

// loadState reads the state; a missing one is new. A broken one is put aside:
// what it knew costs calls, never data.
func (f *folder) loadState() (*state, error) {
	s := newState()
	switch err := f.read(stateFile, s); {
	case errors.Is(err, fs.ErrNotExist):
		return newState(), nil
	case err != nil:
		return nil, err
	}
	maps.DeleteFunc(s.Cars, func(_ schema.VIN, c *carState) bool { return c == nil })
	if s.Cars == nil {
		s.Cars = make(map[schema.VIN]*carState)
	}
	if s.Containers == nil {
		s.Containers = make(map[string]containerState)
	}
	if s.Version != stateVersion {
		return nil, exit.With(exit.Usage, fmt.Errorf("resume state is of version %d, this program reads %d; use the newer program", s.Version, stateVersion))
	}
	return s, nil
}

// peekState reads the state without the lock, for plans.
func peekState(dataDir string, gcid schema.GCID) (*state, error) {
	f := &folder{path: filepath.Join(dataDir, "backfill", string(gcid))}
	return f.loadState()
}

func (f *folder) saveState(s *state) error { return f.write(stateFile, s) }

// keep makes an answer durable before anything else is done with it.
func (f *folder) keep(e *entry) error { return f.write(answerFile, e) }

// kept gives an answer that a killed run left, or nil.
func (f *folder) kept() (*entry, error) {
	e := new(entry)
	switch err := f.read(answerFile, e); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // no answer is waiting
	case err != nil:
		return nil, err
	}
	return e, nil
}

// drop forgets the kept answer, once the state has it.
func (f *folder) drop() error {
	err := os.Remove(filepath.Join(f.path, answerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// read fills v. A file that is no JSON, which a replaced file never is but by a
// failing disk or a hand, is moved aside and counts as missing.
func (f *folder) read(name string, v any) error {
	path := filepath.Join(f.path, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read resume state: %w", err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		if moved := os.Rename(path, path+".broken"); moved != nil {
			return fmt.Errorf("resume state %s is broken: %w; move it away", path, err)
		}
		return fmt.Errorf("resume state %s was broken: %w", path, fs.ErrNotExist)
	}
	return nil
}

// write replaces a file: all of the new one is on disk before the old one goes.
func (f *folder) write(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("BUG: resume state: %w", err)
	}
	return writeFile(filepath.Join(f.path, name), data)
}

func writeFile(path string, data []byte) error {
	tmp := path + ".tmp"
	file, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write resume state: %w", err)
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write resume state: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write resume state: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename durable; systems that cannot sync a folder need not.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("write resume state: %w", err)
	}
	_ = dir.Sync()
	return dir.Close()
}
