package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// saved is what the state file keeps of one account, so that a stored login
// works after a restart and no day is fed twice. Slices are replaced, never
// changed, for a copy of this may be in other hands.
type saved struct {
	RefreshToken   string    `json:"refresh_token,omitempty"`
	RefreshExpires time.Time `json:"refresh_expires,omitzero"`
	Scope          string    `json:"scope,omitempty"`
	AuthTime       int64     `json:"auth_time,omitempty"`
	Serial         uint64    `json:"serial,omitempty"`  // of the newest token set
	Revoked        uint64    `json:"revoked,omitempty"` // token sets up to this one are void
	Feed           position  `json:"feed,omitzero"`

	RESTCalls      []int64     `json:"rest_calls,omitempty"`      // Unix seconds of those that may still count
	Containers     []Container `json:"containers,omitempty"`      // oldest first
	ContainersMade int         `json:"containers_made,omitempty"` // ever, so that no id comes twice
}

// position is how far an account's cars were fed, in the cars' own time.
type position struct {
	Until time.Time     `json:"until,omitzero"` // Due of the last message fed
	Same  int           `json:"same,omitempty"` // how many messages of that Due were fed
	Lead  time.Duration `json:"lead,omitempty"` // the cars' clock minus the real one
	Fast  []span        `json:"fast,omitempty"` // when the cars lived faster than the real clock
}

// store is the state file. Safe for concurrent use; saving is whole or not at all.
type store struct {
	path string
	mu   sync.Mutex // guards all below
	all  map[schema.GCID]saved
	last []byte // content of the file, as far as written here
}

type stateContent struct {
	Version  int                   `json:"version"`
	Accounts map[schema.GCID]saved `json:"accounts"`
}

func openStore(path string) (*store, error) {
	s := &store{path: path, all: make(map[schema.GCID]saved)}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	var c stateContent
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("read state %s: %w", path, err)
	}
	if c.Version != 1 {
		return nil, fmt.Errorf("read state %s: version %d, want 1", path, c.Version)
	}
	if c.Accounts != nil {
		s.all = c.Accounts
	}
	return s, nil
}

func (s *store) get(gcid schema.GCID) saved {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[gcid]
}

// update changes one account's entry in memory; save makes it durable.
func (s *store) update(gcid schema.GCID, change func(*saved)) saved {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.all[gcid]
	change(&v)
	s.all[gcid] = v
	return v
}

// save writes the file unless it says the same already. The lock is held over the write so that an older
// content never replaces a newer one.
func (s *store) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := json.MarshalIndent(stateContent{Version: 1, Accounts: s.all}, "", "\t")
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	if bytes.Equal(text, s.last) {
		return nil
	}
	if err := writeFile(s.path, text, 0o600); err != nil {
		return err
	}
	s.last = text
	return nil
}
