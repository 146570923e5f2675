package kafka

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What members of one group must have in common. The type is not "consumer", so
// that no tool takes the group for one that reads topics.
const (
	protocolType = "cardata-owner"
	protocolName = "rendezvous-1"
)

// Member is one process that takes part.
type Member struct {
	Name string `json:"name"` // stable
	Note string `json:"note"` // its own words
	ID   string `json:"id"`   // the coordinator's, new in each life
}

// Roster is who takes part in one generation of the group. It is never changed.
type Roster struct {
	Generation int32
	Members    []Member // sorted by name, then ID
	Self       int      // index of this process
}

// Owner gives the member that a key belongs to: the one with the highest hash of
// name and key. A member that goes moves its own keys alone, one that comes takes
// its share from all, and one that comes back under its name gets the same keys.
// Of two members of one name the last in the order of IDs has them.
func (r *Roster) Owner(key string) Member {
	var best Member
	var most uint64
	for i, m := range r.Members {
		if weight := weigh(m.Name, key); i == 0 || weight >= most {
			best, most = m, weight
		}
	}
	return best
}

// Mine tells whether a key belongs to this process.
func (r *Roster) Mine(key string) bool { return r.Owner(key).ID == r.Members[r.Self].ID }

// weigh is part of the protocol: another function needs another protocolName.
func weigh(name, key string) uint64 {
	sum := sha256.Sum256([]byte(name + "\x00" + key))
	return binary.BigEndian.Uint64(sum[:8])
}

func encodeMember(name, note string) []byte {
	b, _ := json.Marshal(Member{Name: name, Note: note}) // strings cannot fail
	return b
}

// encodeRoster is the leader's work. A member whose words cannot be read takes
// part under its ID, so that one odd member does not stop the group.
func encodeRoster(joined []joinedMember) []byte {
	members := make([]Member, 0, len(joined))
	for _, j := range joined {
		var m Member
		if err := json.Unmarshal(j.metadata, &m); err != nil || m.Name == "" {
			m.Name = j.id
		}
		m.ID = j.id
		members = append(members, m)
	}
	b, _ := json.Marshal(members) // strings cannot fail
	return b
}

var errRoster = errors.New("the group's roster is malformed")

func decodeRoster(b []byte, generation int32, self string) (*Roster, error) {
	r := &Roster{Generation: generation}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&r.Members); err != nil {
		return nil, fmt.Errorf("%w: %w", errRoster, err)
	}
	slices.SortFunc(r.Members, func(a, b Member) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	r.Self = slices.IndexFunc(r.Members, func(m Member) bool { return m.ID == self })
	if r.Self < 0 {
		return nil, fmt.Errorf("%w: this member is not in it", errRoster)
	}
	return r, nil
}
