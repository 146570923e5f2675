package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	fileMode   = 0o600
	dirMode    = 0o700
	fileSuffix = ".json"
	lockPoll   = 50 * time.Millisecond
	// reserveBytes is the least room kept on disk for a token set; a real one
	// has about 5 kB.
	reserveBytes = 16 << 10
)

// Store is the token file of one account, with three companions: .previous holds
// the set before, .lock is the lock between processes, .tmp is the file to come.
// A Store holds nothing open between calls and is safe for concurrent use; who
// changes the file holds the lock.
type Store struct {
	path string

	// For tests of a disk that fails between the rotation and the rename.
	write  func(f *os.File, b []byte) (int, error)
	rename func(from, to string) error
}

// OpenStore names a token file; it opens nothing yet.
func OpenStore(path string) *Store {
	return &Store{path: path, write: (*os.File).Write, rename: os.Rename}
}

// StorePath gives the file of an account in a directory of token files.
func StorePath(dir string, gcid schema.GCID) string {
	return filepath.Join(dir, string(gcid)+fileSuffix)
}

// Stores gives the store of every account file (<gcid>.json) in dir, sorted by
// name. A file that cannot be used is an error that names it; the others are
// still returned.
func Stores(dir string) ([]*Store, error) {
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, &Error{Op: opLoad, Err: err}
	}
	var (
		stores []*Store
		errs   []error
	)
	for _, e := range entries {
		name, isJSON := strings.CutSuffix(e.Name(), fileSuffix)
		gcid, err := schema.ParseGCID(name)
		if !isJSON || err != nil {
			continue
		}
		s := OpenStore(filepath.Join(dir, e.Name()))
		set, err := s.Load()
		switch {
		case err != nil:
			errs = append(errs, err)
		case !strings.EqualFold(string(set.GCID), string(gcid)):
			errs = append(errs, s.broken(errors.New("it holds the tokens of another account than its name says")))
		default:
			stores = append(stores, s)
		}
	}
	return stores, errors.Join(errs...)
}

// PrepareDir creates dir for token files (0700) where it is missing, and tells
// whether tokens may and can be kept there, before a person is asked for consent.
func PrepareDir(dir string) error {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return &Error{Op: opSave, Code: "directory", Remedy: "choose a directory that can be written", Err: err}
	}
	if err := checkDir(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".write-test-*")
	if err != nil {
		return &Error{Op: opSave, Code: "directory", Remedy: "choose a directory that can be written", Err: err}
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Path gives the file's name.
func (s *Store) Path() string { return s.path }

// Lock waits for the lock between processes, which also holds between two Stores
// of one process. The returned function gives it back.
func (s *Store) Lock(ctx context.Context) (unlock func(), err error) {
	l := flock.New(s.path+".lock", flock.SetPermissions(fileMode))
	if _, err := l.TryLockContext(ctx, lockPoll); err != nil {
		return nil, &Error{
			Op: "lock tokens", Transient: true,
			Remedy: "the directory of the tokens has to be writable for every process that uses them", Err: err,
		}
	}
	return func() { _ = l.Close() }, nil
}

// Load reads the set. The error wraps fs.ErrNotExist and ErrLoginNeeded for an
// account that never logged in, ErrStoreMode, or ErrStoreBroken for a torn,
// empty or foreign file. It does not fall back to .previous: the refresh token in
// there was spent when the file was written.
func (s *Store) Load() (TokenSet, error) {
	set, _, err := s.load(s.path)
	return set, err
}

func (s *Store) load(path string) (TokenSet, int64, error) {
	if err := checkDir(filepath.Dir(path)); err != nil {
		return TokenSet{}, 0, err
	}
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return TokenSet{}, 0, &Error{Op: opLoad, Code: "no_account", Remedy: remedyLogin, Err: fmt.Errorf("%w: %w", ErrLoginNeeded, err)}
	}
	if err != nil {
		return TokenSet{}, 0, &Error{Op: opLoad, Err: err}
	}
	if err := checkMode(path, fi.Mode(), 0o077, "chmod 600"); err != nil {
		return TokenSet{}, 0, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return TokenSet{}, 0, &Error{Op: opLoad, Err: err}
	}
	set, revision, err := decode(b)
	if err != nil {
		return TokenSet{}, 0, s.broken(err)
	}
	return set, revision, nil
}

func (s *Store) broken(cause error) error {
	remedy := remedyLogin
	if _, err := os.Stat(s.path + ".previous"); err == nil {
		remedy += "; the set in .previous beside it does not help, its refresh token is spent"
	}
	return &Error{Op: opLoad, Code: "file", Remedy: remedy, Err: fmt.Errorf("%w: %s: %w", ErrStoreBroken, s.path, cause)}
}

// Save makes set the content of the file: written beside it, synced, renamed
// over it, the directory synced; the set before is kept in .previous. On an error
// the file is as it was. The caller holds the lock.
func (s *Store) Save(set TokenSet) error {
	r, err := s.reserve()
	if err != nil {
		return err
	}
	return r.commit(set)
}

// recover finishes a save that a crash cut off after the write and before the
// rename; without it the rotated token would lie there unused. The caller holds
// the lock.
func (s *Store) recover() error {
	_, revision, err := s.load(s.path + ".tmp")
	if err != nil {
		return nil //nolint:nilerr // nothing complete to go on with is the usual case
	}
	if _, current, err := s.load(s.path); err != nil && !errors.Is(err, ErrStoreBroken) || current >= revision {
		return nil // a missing file means that the account was removed; load reports the rest
	}
	if err := s.rename(s.path+".tmp", s.path); err != nil {
		return notSaved(err)
	}
	return syncDir(filepath.Dir(s.path))
}

// reservation is room on disk for the next set, taken before the service is
// asked to rotate: a full disk then costs nothing.
type reservation struct {
	store    *Store
	file     *os.File
	revision int64
}

func (s *Store) reserve() (*reservation, error) {
	dir := filepath.Dir(s.path)
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	_, revision, err := s.load(s.path)
	if errors.Is(err, ErrStoreMode) {
		return nil, err
	}
	if err == nil {
		if err := s.keepPrevious(); err != nil {
			return nil, notSaved(err)
		}
	}
	f, err := os.OpenFile(s.path+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return nil, notSaved(err)
	}
	r := &reservation{store: s, file: f, revision: revision + 1}
	// A left-over file keeps its mode when opened.
	err = f.Chmod(fileMode)
	if err == nil {
		_, err = s.write(f, make([]byte, reserveBytes))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		r.cancel()
		return nil, notSaved(err)
	}
	return r, nil
}

func (s *Store) keepPrevious() error {
	b, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	tmp := s.path + ".previous.tmp"
	if err := os.WriteFile(tmp, b, fileMode); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return s.rename(tmp, s.path+".previous")
}

// commit writes set into the room and puts it in place; it ends the reservation.
func (r *reservation) commit(set TokenSet) error {
	b, err := encode(set, r.revision)
	if err != nil {
		r.cancel()
		return notSaved(err)
	}
	if err := r.fill(b); err != nil {
		r.cancel()
		return notSaved(err)
	}
	// The lock may not reach the other machine that writes a shared volume: what
	// it saved meanwhile is not overwritten.
	if _, revision, err := r.store.load(r.store.path); err == nil && revision >= r.revision {
		r.cancel()
		return notSaved(ErrOvertaken)
	}
	if err := r.file.Close(); err != nil {
		return notSaved(err)
	}
	s := r.store
	if err := s.rename(s.path+".tmp", s.path); err != nil {
		return notSaved(err) // .tmp stays: it is complete, recover finishes it
	}
	return syncDir(filepath.Dir(s.path))
}

func (r *reservation) fill(b []byte) error {
	if _, err := r.file.Seek(0, 0); err != nil {
		return err
	}
	if _, err := r.store.write(r.file, b); err != nil {
		return err
	}
	if err := r.file.Truncate(int64(len(b))); err != nil {
		return err
	}
	return r.file.Sync()
}

func (r *reservation) cancel() {
	_ = r.file.Close()
	_ = os.Remove(r.file.Name())
}

func notSaved(err error) error {
	return &Error{
		Op: opSave, Transient: true, Remedy: "make room and give write permission where the tokens are kept",
		Err: fmt.Errorf("%w: %w", ErrNotSaved, err),
	}
}

// checkDir refuses a directory in which others could put files of their own.
func checkDir(dir string) error {
	fi, err := os.Stat(dir)
	if err != nil {
		return &Error{Op: opLoad, Code: "directory", Remedy: remedyLogin, Err: err}
	}
	return checkMode(dir, fi.Mode(), 0o002, "chmod o-w")
}

func checkMode(path string, mode fs.FileMode, loose fs.FileMode, remedy string) error {
	if runtime.GOOS == "windows" || mode.Perm()&loose == 0 { // windows has ACLs, its mode bits say nothing
		return nil
	}
	return &Error{
		Op: opLoad, Code: "mode", Remedy: remedy + " " + path,
		Err: fmt.Errorf("%w: %s has mode %#o", ErrStoreMode, path, mode.Perm()),
	}
}

// syncDir makes a rename durable. Windows cannot sync a directory and does not need to.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return notSaved(err)
	}
	err = d.Sync()
	_ = d.Close()
	if err != nil {
		return notSaved(err)
	}
	return nil
}

// stamp tells two contents of the file apart without reading it; "" when it is
// missing. A rename gives a new file, hence another time or size.
func (s *Store) stamp() string {
	fi, err := os.Stat(s.path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(fi.ModTime().UnixNano(), fi.Size())
}
