package backfill

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is one sort of thing that REST serves.
type Kind string

// The kinds, in the order in which a run fetches them.
const (
	KindMapping    Kind = "mapping" // which cars the account has; always fetched when not known
	KindSessions   Kind = "sessions"
	KindTelematics Kind = "telematics"
	KindBasic      Kind = "basic"
	KindTyres      Kind = "tyres"
	KindSettings   Kind = "settings"
	KindImage      Kind = "image"
)

// Kinds gives those that a person may choose from.
func Kinds() []Kind {
	return []Kind{KindSessions, KindTelematics, KindBasic, KindTyres, KindSettings, KindImage}
}

// ParseKinds reads names of kinds; none is all of them. The result is in the
// order of Kinds, each at most once.
func ParseKinds(names []string) ([]Kind, error) {
	if len(names) == 0 {
		return Kinds(), nil
	}
	var chosen []Kind
	for _, name := range names {
		kind := Kind(strings.ToLower(strings.TrimSpace(name)))
		if !slices.Contains(Kinds(), kind) {
			return nil, fmt.Errorf("kind %q: want some of %s", name, joinKinds(Kinds()))
		}
		chosen = append(chosen, kind)
	}
	return ordered(chosen), nil
}

func ordered(kinds []Kind) []Kind {
	if len(kinds) == 0 {
		return Kinds()
	}
	return slices.DeleteFunc(Kinds(), func(k Kind) bool { return !slices.Contains(kinds, k) })
}

func joinKinds(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ",")
}

// fresh is how long an answer of this kind is not asked for again. Telematics
// change with each drive; the picture of a car is nearly static (CarData API,
// section "Quota").
func (k Kind) fresh() time.Duration {
	switch k {
	case KindSessions, KindTelematics:
		return time.Hour
	case KindImage:
		return 30 * 24 * time.Hour
	default:
		return 12 * time.Hour
	}
}

// noneFresh is how long "there is none" is believed.
const noneFresh = 30 * 24 * time.Hour
