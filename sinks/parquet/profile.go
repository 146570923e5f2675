package parquet

import (
	"errors"
	"fmt"
	"math"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// Privacy says what the profile pseudonymous does with a column.
type Privacy uint8

// What can be done with a column.
const (
	PrivacyKeep  Privacy = iota // written as it is
	PrivacyVIN                  // a token instead of the VIN
	PrivacyGCID                 // a token instead of the GCID
	PrivacyPlace                // left out, or rounded with zones cut
	PrivacyWords                // words of a fixed set alone: what does not look like one is null
	PrivacyDrop                 // the column is not written
)

// ProfileName names a profile.
type ProfileName string

// The profiles.
const (
	Full         ProfileName = "full"         // everything, as it is stored
	Pseudonymous ProfileName = "pseudonymous" // no one named, nowhere located
)

// PositionRule says what the profile pseudonymous does with places.
type PositionRule string

// The rules.
const (
	PositionsOmit  PositionRule = "omit"  // no table positions, no coordinates
	PositionsRound PositionRule = "round" // rounded, those in a zone left out
)

// Zone is a circle in which no position is kept, such as around a home.
type Zone struct {
	Latitude  float64 // degrees north, -90 to 90
	Longitude float64 // degrees east, -180 to 180
	RadiusM   float64 // m, 50 to 100,000
}

// Profile says what of the data a dataset holds. Beyond Name, the fields belong
// to Pseudonymous.
type Profile struct {
	Name ProfileName
	// Secret keys the tokens that stand for VINs and GCIDs: 16 bytes or more. The
	// same secret gives the same tokens; without it they cannot be undone.
	Secret    pipeline.Secret
	Positions PositionRule // empty: PositionsOmit
	Decimals  int          // of degrees with PositionsRound: 0 to 3 (3 is about 110 m)
	// Zones are cut out with PositionsRound. None at all must be said by NoZones:
	// rounding alone does not hide where somebody lives.
	Zones   []Zone
	NoZones bool
}

const (
	minSecretBytes = 16
	maxDecimals    = 3
	minRadiusM     = 50
	maxRadiusM     = 100_000
)

// Validate checks all fields and reports all faults at once.
func (p *Profile) Validate() error {
	switch p.Name {
	case Full:
		if p.Secret != "" || p.Positions != "" || p.Decimals != 0 || len(p.Zones) > 0 || p.NoZones {
			return fmt.Errorf("profile %q has no secret, positions or zones: those belong to profile %q", Full, Pseudonymous)
		}
		return nil
	case Pseudonymous:
	default:
		return fmt.Errorf("profile is %q; it can be %q or %q", p.Name, Full, Pseudonymous)
	}
	var errs []error
	if len(p.Secret) < minSecretBytes {
		errs = append(errs, fmt.Errorf("secret of the profile has %d bytes; it needs %d or more", len(p.Secret), minSecretBytes))
	}
	switch p.Positions {
	case "", PositionsOmit:
		if p.Decimals != 0 || len(p.Zones) > 0 || p.NoZones {
			errs = append(errs, fmt.Errorf("decimals and zones belong to positions %q", PositionsRound))
		}
	case PositionsRound:
		errs = append(errs, p.validateRound()...)
	default:
		errs = append(errs, fmt.Errorf("positions are %q; they can be %q or %q", p.Positions, PositionsOmit, PositionsRound))
	}
	return errors.Join(errs...)
}

func (p *Profile) validateRound() []error {
	var errs []error
	if p.Decimals < 0 || p.Decimals > maxDecimals {
		errs = append(errs, fmt.Errorf("positions are rounded to %d decimals; it can be 0 to %d", p.Decimals, maxDecimals))
	}
	if (len(p.Zones) == 0) != p.NoZones {
		errs = append(errs, errors.New("rounded positions still show where somebody lives: name the zones to cut, or say that there are none (and not both)"))
	}
	for i, z := range p.Zones {
		ok := math.Abs(z.Latitude) <= 90 && math.Abs(z.Longitude) <= 180 && z.RadiusM >= minRadiusM && z.RadiusM <= maxRadiusM
		if !ok { // a NaN as well
			errs = append(errs, fmt.Errorf("zone %d: latitude is -90 to 90, longitude -180 to 180, radius %d to %d m", i+1, minRadiusM, maxRadiusM))
		}
	}
	return errs
}

// drops says whether columns of that kind are not written.
func (p *Profile) drops(k Privacy) bool {
	if p.Name == Full {
		return false
	}
	return k == PrivacyDrop || k == PrivacyPlace && p.Positions != PositionsRound
}

// Writes says whether the profile allows table t at all.
func (p *Profile) Writes(t *Table) bool {
	for _, c := range t.Columns {
		if c.Required && p.drops(c.Privacy) {
			return false
		}
	}
	return true
}

// Columns gives the columns of t that the profile allows.
func (p *Profile) Columns(t *Table) []Column {
	var out []Column
	for _, c := range t.Columns {
		if !p.drops(c.Privacy) {
			out = append(out, c)
		}
	}
	return out
}
