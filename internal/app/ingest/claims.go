package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// claim says to which life of which replica an account belongs. The zero claim is
// nobody's.
type claim struct {
	Epoch   int64     `json:"epoch"` // grows with each claim of the account
	Life    string    `json:"life"`  // of the process, drawn at its start
	Replica string    `json:"replica"`
	At      time.Time `json:"at"`
}

func (c claim) same(o claim) bool { return c.Life == o.Life && c.Epoch == o.Epoch }

// report is what a life of a replica says of its accounts, for whoever takes one
// over.
type report struct {
	Alive    time.Time // all that arrived until then is in its journal, on the disk
	Accounts map[schema.GCID]pipeline.CoverageState
}

// claims is where replicas leave word for each other. It has to be as durable as
// the tokens, and to show a claim to all replicas within a few seconds.
type claims interface {
	holder(ctx context.Context, gcid schema.GCID) (claim, error)
	// take makes c the account's claim. Of two that take at once the last one
	// stays, so look at holder again before relying on it.
	take(ctx context.Context, gcid schema.GCID, c claim) error
	// tell replaces the report of a life.
	tell(ctx context.Context, life string, r report) error
	// told gives the report of a life; without error and Accounts when there is none.
	told(ctx context.Context, life string) (report, error)
}

// claimDir keeps claims as files in a folder that all replicas share:
// <gcid>.claim, and for each life <life>.accounts, written when it changes, and
// <life>.alive. Each file is replaced by rename, and nobody writes a file that
// is named after another life, so that it needs no lock.
type claimDir struct {
	dir string

	mu   sync.Mutex // guards last
	last []byte     // accounts told last
}

const (
	claimSuffix    = ".claim"
	accountsSuffix = ".accounts"
	aliveSuffix    = ".alive"
	reportsKept    = 24 * time.Hour // of a life without claims
)

func openClaims(tokenDir string) (*claimDir, error) {
	dir := filepath.Join(tokenDir, "claims")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of claims: %w", err)
	}
	return &claimDir{dir: dir}, nil
}

func (d *claimDir) path(name, suffix string) string { return filepath.Join(d.dir, name+suffix) }

func (d *claimDir) holder(_ context.Context, gcid schema.GCID) (claim, error) {
	var c claim
	err := readJSON(d.path(string(gcid), claimSuffix), &c)
	if errors.Is(err, fs.ErrNotExist) {
		return claim{}, nil
	}
	if err != nil {
		return claim{}, fmt.Errorf("read the claim of an account: %w", err)
	}
	return c, nil
}

func (d *claimDir) take(_ context.Context, gcid schema.GCID, c claim) error {
	b, err := json.Marshal(c)
	if err == nil {
		err = replace(d.path(string(gcid), claimSuffix), c.Life, b, true)
	}
	if err != nil {
		return fmt.Errorf("claim an account: %w", err)
	}
	return nil
}

// tell writes the accounts ahead of alive: who reads both then never takes an
// account for covered longer than it was.
func (d *claimDir) tell(_ context.Context, life string, r report) error {
	b, err := json.Marshal(r.Accounts)
	if err != nil {
		return fmt.Errorf("report on accounts: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !bytes.Equal(b, d.last) {
		if err := replace(d.path(life, accountsSuffix), life, b, true); err != nil {
			return fmt.Errorf("report on accounts: %w", err)
		}
		d.last = b
	}
	if b, err = json.Marshal(r.Alive); err == nil {
		err = replace(d.path(life, aliveSuffix), life, b, false)
	}
	if err != nil {
		return fmt.Errorf("report on accounts: %w", err)
	}
	return nil
}

// told reads alive ahead of the accounts, for the same reason.
func (d *claimDir) told(_ context.Context, life string) (report, error) {
	var r report
	err := readJSON(d.path(life, aliveSuffix), &r.Alive)
	if err == nil {
		err = readJSON(d.path(life, accountsSuffix), &r.Accounts)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return report{}, nil
	}
	if err != nil {
		return report{}, fmt.Errorf("read a replica's report: %w", err)
	}
	return r, nil
}

// tidy removes the reports of lives that hold no account and have been silent for
// a day.
func (d *claimDir) tidy(now time.Time) error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("tidy the claims: %w", err)
	}
	needed := make(map[string]bool)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), claimSuffix) {
			continue
		}
		var c claim
		if err := readJSON(filepath.Join(d.dir, e.Name()), &c); err != nil {
			return fmt.Errorf("tidy the claims: %w", err) // whose report is needed is not known
		}
		needed[c.Life] = true
	}
	var faults []error
	for _, e := range entries {
		name, suffix, _ := strings.Cut(e.Name(), ".")
		info, err := e.Info()
		if "."+suffix == claimSuffix || needed[name] || err != nil || now.Sub(info.ModTime()) < reportsKept {
			continue
		}
		faults = append(faults, os.Remove(filepath.Join(d.dir, e.Name())))
	}
	return errors.Join(faults...)
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// replace swaps a file's content in. writer keeps the temporary files of two
// processes apart.
func replace(path, writer string, b []byte, durable bool) error {
	tmp := path + "." + writer + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
