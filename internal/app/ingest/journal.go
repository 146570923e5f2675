package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/journal"
)

func openJournal(cfg Config, log *slog.Logger) (*journal.Journal, error) {
	policies := map[string]journal.Policy{
		"always": journal.SyncAlways, "interval": journal.SyncInterval, "never": journal.SyncNever,
	}
	j, err := journal.Open(filepath.Join(cfg.DataDir, "journal"), journal.Config{
		MaxBytes: int64(cfg.JournalMaxMib) << 20, ReserveBytes: int64(cfg.JournalReserveMib) << 20,
		Sync: policies[cfg.JournalSync], SyncInterval: cfg.JournalSyncInterval, KeepAcked: cfg.JournalKeep, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if cfg.JournalKeep > 0 && !j.Clean() {
		// The broker may have lost its own tail with us: send the kept records again.
		number, err := j.Rewind(cfg.JournalKeep)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("rewind the journal: %w", err), j.Close())
		}
		log.Info("journal is sent again from an earlier record after an unclean stop", "number", number)
	}
	return j, nil
}

func coverageFile(cfg Config) string { return filepath.Join(cfg.DataDir, "coverage.json") }

// recoverCoverage folds the journal into the last snapshot, and opens a gap for
// each account whose coverage simply stops there.
func recoverCoverage(j *journal.Journal, file string, log *slog.Logger) (pipeline.Coverage, error) {
	var c pipeline.Coverage
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return c, fmt.Errorf("coverage snapshot: %w", err)
	default:
		if err := json.Unmarshal(data, &c); err != nil {
			log.Warn("coverage snapshot is unreadable, the whole journal is read instead", "err", err)
			c = pipeline.Coverage{}
		}
	}
	if err := j.Scan(c.Number+1, func(r journal.Record) error {
		c.Fold(r.Number, r.At, r.Data)
		return nil
	}); err != nil {
		return c, fmt.Errorf("read coverage from the journal: %w", err)
	}
	if n := c.Crashed(j.LastAt()); n > 0 {
		log.Warn("the last run ended without saying so, gaps are open", "accounts", n, "since", j.LastAt())
	}
	return c, nil
}

// saveCoverage writes the snapshot beside the journal and swaps it in.
func (in *Ingest) saveCoverage() error {
	number := in.journal.Tail() // before the look at the accounts: folding a record twice does no harm
	coverage := in.intake.Coverage(number)
	data, err := json.Marshal(&coverage)
	if err != nil {
		return err
	}
	file := coverageFile(in.cfg)
	if err := os.WriteFile(file+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}
