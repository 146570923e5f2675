package schema

import "time"

// ChargingSession is one plug-in to plug-out from the charging history (CarData
// API, section "REST", "chargingHistory"). BMW gives it no identifier: its key
// is (VIN, Start), and a later record of the same key replaces it. A nil pointer
// and an empty text mean that BMW did not say; numbers are finite.
type ChargingSession struct {
	GCID     GCID // account it came by; empty when not known
	VIN      VIN
	Start    time.Time // UTC
	End      time.Time // UTC; zero while the session runs
	TimeZone string    // IANA name of the zone of the place, such as Europe/Berlin

	StartSOC           *float64 // state of charge before, %
	EndSOC             *float64 // after, or now while the session runs, %
	ChargingSeconds    *float64 // time that energy flowed, s; less than End-Start
	GridKWh            *float64 // drawn from the grid, kWh
	BatteryIncreaseKWh *float64 // that reached the battery, kWh; the owner archive alone has it
	BatteryDecreaseKWh *float64 // taken out of the battery, kWh
	DischargedKWh      *float64 // given back by bidirectional charging, kWh
	MileageKm          *float64 // odometer, km
	Preconditioning    *bool    // cabin or battery was conditioned

	Place  *ChargingPlace
	Public []ChargingPoint // public charging points that match the place
	Cost   *ChargingCost
	Errors []ChargingError
	Blocks []ChargingBlock // one for each change of power, as BMW ordered them

	Source  Source
	Fetched time.Time // when it was fetched or imported, UTC
}

// Running says whether the session had not ended when it was fetched.
func (s *ChargingSession) Running() bool { return s.End.IsZero() }

// ChargingPlace is where a session took place. It is personal data.
type ChargingPlace struct {
	Municipality string
	Address      string // in one line
	Street       string
	Latitude     *float64 // degrees north, matched to the map
	Longitude    *float64 // degrees east
}

// ChargingPoint is a public charging point that may have been used.
type ChargingPoint struct {
	Provider   string
	Street     string
	PostalCode string
	City       string
}

// ChargingCost is what BMW reckoned in 2025; it has not been sent since 2026.
type ChargingCost struct {
	Currency   string   // ISO 4217, such as EUR
	Calculated *float64 // in Currency
	Savings    *float64 // in Currency
}

// ChargingError is a fault that BMW noted for a session.
type ChargingError struct {
	Time time.Time // UTC; zero when not known
	Hint string
}

// ChargingBlock is a stretch of a session at about the same power.
type ChargingBlock struct {
	Start         time.Time // UTC
	End           time.Time // UTC; zero when not known
	AverageGridKW float64   // kW from the grid
}
