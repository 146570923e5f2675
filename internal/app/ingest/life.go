package ingest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// life is one run of a replica. The former life of a data folder is surely over,
// as the journal in it admits one process at a time.
type life struct {
	ID     string `json:"life"`
	Member string `json:"member"` // the group coordinator's name for it
}

func lifeFile(cfg Config) string { return filepath.Join(cfg.DataDir, "life.json") }

// newLife draws a new one and gives the former, zero for the first.
func newLife(cfg Config) (now, former life, err error) {
	switch err := readJSON(lifeFile(cfg), &former); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil: // torn: nothing is known, so one waits as for a stranger
		former = life{}
	}
	now = life{ID: rand.Text()[:16]}
	return now, former, now.save(cfg)
}

func (l life) save(cfg Config) error {
	b, err := json.Marshal(l)
	if err == nil {
		err = replace(lifeFile(cfg), l.ID, b, true)
	}
	if err != nil {
		return fmt.Errorf("save what this life is called: %w", err)
	}
	return nil
}
