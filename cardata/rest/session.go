package rest

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// ChargingSession is one plug-in to plug-out (CarData API, section 3.4,
// "chargingHistory"). There is no id: a session is its car and its start. What
// BMW left out, or sent in a form that cannot be read, is nil, "" or zero.
type ChargingSession struct {
	Start              time.Time // UTC
	End                time.Time // UTC, zero while it runs
	TimeZone           string    // IANA name of the place's zone
	StartSOC           *float64  // displayed state of charge before, percent
	EndSOC             *float64  // after, or at the time of asking, percent
	ChargingSeconds    *float64  // active charging alone
	GridKWh            *float64  // drawn from the grid
	BatteryIncreaseKWh *float64  // into the battery; the portal's archive alone has it
	BatteryDecreaseKWh *float64  // bidirectional charging
	DischargedKWh      *float64  // bidirectional charging
	Mileage            *float64  // in MileageUnit
	MileageUnit        string    // "km", "mi", or BMW's word when it is neither
	Preconditioning    *bool
	Place              *ChargingPlace
	Public             []ChargingPoint // what a public charger may have been
	Cost               *ChargingCost   // until 2025
	Errors             []ChargingError
	Blocks             []ChargingBlock // one per change of power
	Raw                json.RawMessage // the session as it came
	Problems           []string        // fields that could not be read, without their values
}

// ChargingPlace is where a session was. It is personal data.
type ChargingPlace struct {
	Municipality, Address, Street string
	Latitude, Longitude           *float64 // degrees, matched to the map
}

// ChargingPoint is a public charger near the place.
type ChargingPoint struct{ Provider, Street, PostalCode, City string }

// ChargingCost is what BMW reckoned from the tariff in the car.
type ChargingCost struct {
	Currency            string
	Calculated, Savings *float64
}

// ChargingError is what the car or the charger reported in a session.
type ChargingError struct {
	Time time.Time // UTC, zero when it could not be read
	Hint string
}

// ChargingBlock is a stretch of a session with about one power.
type ChargingBlock struct {
	Start, End    time.Time // UTC; End zero while it runs
	AverageGridKW *float64
}

// ChargingPage is one answer of the history: about ten sessions, newest first.
type ChargingPage struct {
	Sessions []ChargingSession
	Next     string            // token of the page that follows, "" for none
	Rejected []json.RawMessage // elements without a readable start, which have no identity
	Raw      json.RawMessage   // the answer as it came
	Problems []string          // of the page; a session's own stand at the session
}

// MileageKm gives the mileage in kilometres, nil when it or its unit is unknown.
func (s *ChargingSession) MileageKm() *float64 { return nil }

// ChargingHistory asks for one page of a car's sessions that started from..to, at
// most about 45 days (CarData API, section 3.4); pageToken is "" for the first
// one, else Next of the page before. Each page is one call. When Next repeats
// pageToken the page comes together with an Error of KindProtocol.
func (c *Client) ChargingHistory(ctx context.Context, vin schema.VIN, from, to time.Time, pageToken string) (ChargingPage, error) {
	return ChargingPage{}, nil
}

// ChargingPages asks for page after page from pageToken on and ends after the
// last, or with the first error; pages given before it stay good.
func (c *Client) ChargingPages(ctx context.Context, vin schema.VIN, from, to time.Time, pageToken string) iter.Seq2[ChargingPage, error] {
	return func(func(ChargingPage, error) bool) {}
}

// DecodeSessions reads an answer of the history, or the bare array of sessions in
// the portal's archive. The error is of KindProtocol.
func DecodeSessions(body []byte) (ChargingPage, error) { return ChargingPage{}, nil }
