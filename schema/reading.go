package schema

import "time"

// Kind says which field of a Value is meant.
type Kind uint8

// The kinds of a Value. The zero Kind is KindNull: nothing reported.
const (
	KindNull Kind = iota
	KindNumber
	KindBool
	KindText
)

// Value is what a descriptor said. Exactly the field named by Kind counts; the
// others are zero, so two Values may be compared with ==. A number is finite.
type Value struct {
	Kind   Kind
	Bool   bool
	Number float64
	Text   string
}

// Source says by which way a reading came.
type Source string

// The ways a reading can come.
const (
	SourceStream  Source = "stream"
	SourceREST    Source = "rest"
	SourceArchive Source = "archive"
)

// Reading is one value of one descriptor of one vehicle at one moment. Its key
// is (VIN, Descriptor, Time). A Reading is a plain value: copying it copies it
// whole, and nothing in it is shared with a decoder's scratch memory.
type Reading struct {
	VIN        VIN
	Descriptor Descriptor
	Time       time.Time // when the car measured it, UTC
	Value      Value
	Unit       string // canonical unit: %, km, kPa, kWh, degC, deg, …; empty when none
	Raw        string // original text where normalising changed it, else empty
	Source     Source
	Sent       time.Time // the backend's envelope time, UTC; zero when not known
	Received   time.Time // arrival here, UTC
	GCID       GCID      // account it came by
}
