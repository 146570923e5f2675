package cars

import (
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Model is a kind of car; it decides the drive, the battery and the keys sent.
type Model string

// The models, by the differences that clients see (CarData API, section
// "Model differences").
const (
	ICE  Model = "ice"  // combustion engine
	PHEV Model = "phev" // plug-in hybrid
	BEV  Model = "bev"  // electric, state of charge as batteryManagement.header
	NK   Model = "nk"   // Neue Klasse, state of charge as stateOfCharge.displayed
	I3   Model = "i3"   // the first i3: small battery, positions at trip ends only
)

// Quirks are the oddities of the real feed. Rates are shares of 0 to 1.
type Quirks struct {
	Duplicate       float64 // share of all messages that repeat an earlier one
	OldMeasurement  float64 // share of messages handed over minutes late, behind newer ones
	Outlier         float64 // share of positions about 200 km off for 12 s
	Null            float64 // share of messages whose value is null or a sentinel
	Revised         float64 // share of messages followed by another value of the same key and time
	MissingUnit     float64 // share of mileage messages without the unit key
	ChargingSilence bool    // charging cars stop sending five minutes after plug-in
}

// DefaultQuirks returns the rates of the real feed (CarData API, section
// "Simulator specification").
func DefaultQuirks() Quirks {
	return Quirks{
		Duplicate:      0.35,
		OldMeasurement: 0.02,
		Outlier:        0.0001,
		Null:           0.002,
		Revised:        0.001,
		MissingUnit:    0.05,
	}
}

// Config says which car to build and from when on it is watched.
type Config struct {
	Seed   uint64
	VIN    schema.VIN // also decides the car's life: two VINs of one seed differ
	Model  Model      // empty means BEV
	Start  time.Time  // nothing due before it is emitted
	Quirks Quirks
	Busy   float64 // density of messages while driving and charging; 0 means 1
}

// Emission is one message on its way from the backend to the broker, with the
// truth that must come out at the pipeline's end.
type Emission struct {
	Due        time.Time // when the backend hands it to the broker, UTC
	Sent       time.Time // envelope time, milliseconds, equal for all of one burst, UTC
	VIN        schema.VIN
	Descriptor schema.Descriptor
	Measured   time.Time // whole seconds, UTC
	// Wire is the JSON of "value". It stays valid for good and is shared
	// between emissions: read it, never write to it.
	Wire      []byte
	Unit      string // unit text as sent
	HasUnit   bool   // whether the unit key is there at all
	Truth     schema.Value
	TruthUnit string // canonical unit of Truth, empty when none
	// Duplicate says that it repeats an earlier emission: same key, measured
	// time and value. The earlier one may lie before Config.Start, so judge
	// what was sent by its key, not by this flag.
	Duplicate bool
}

// Session is one charging session, plug-in to plug-out, as the charging
// history reports it and as the stream showed it.
type Session struct {
	Start, End          time.Time // plug-in and end of charging, UTC; End is zero while it runs, see Car.History
	StartSOC, EndSOC    float64   // percent; EndSOC of a running session is the one reached
	EnergyGridKWh       float64   // 0 while it runs
	Latitude, Longitude float64   // degrees
	MileageKm           float64
	Blocks              []Block // ascending; pauses lie between them
	DC                  bool
	Place               string // name of the place
	Street              string
	City                string
	TimeZone            string // IANA name
	PostalCode          string // of public charging points alone
	Provider            string // likewise
	Preconditioned      bool   // the battery was brought to temperature
	Miles               bool   // the car reports its mileage in miles
	Errors              []SessionError
}

// SessionError is what the service noted about a session, in whole seconds.
type SessionError struct {
	Time time.Time
	Hint string
}

// Block is a span of a session at one power.
type Block struct {
	Start, End time.Time
	PowerKW    float64 // average, at the grid
}

// ChargingSeconds is the time in which power flowed.
func (s *Session) ChargingSeconds() int64 {
	var sum time.Duration
	for _, b := range s.Blocks {
		sum += b.End.Sub(b.Start)
	}
	return int64(sum.Seconds())
}
