package simulator

import (
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
)

// historyBody is the answer of chargingHistory. The answer's name of the token
// is next_token, the request's nextToken.
type historyBody struct {
	Data []sessionBody `json:"data"`
	Next string        `json:"next_token,omitempty"`
}

// sessionBody is a session on the wire (CarData API, section "Endpoints").
type sessionBody struct {
	SOC             int64         `json:"displayedSoc"`
	StartSOC        int64         `json:"displayedStartSoc"`
	Errors          []errorBody   `json:"businessErrors"`
	TimeZone        string        `json:"timeZone"`
	Start           any           `json:"startTime"`
	End             any           `json:"endTime,omitempty"`
	Seconds         int64         `json:"totalChargingDurationSec"`
	Energy          *float64      `json:"energyConsumedFromPowerGridKwh,omitempty"`
	Preconditioning bool          `json:"isPreconditioningActivated"`
	Mileage         int64         `json:"mileage"`
	MileageUnits    string        `json:"mileageUnits"`
	Location        *locationBody `json:"chargingLocation,omitempty"`
	Blocks          []blockBody   `json:"chargingBlocks"`
	Public          *publicBody   `json:"publicChargingPoint,omitempty"`
	Cost            *costBody     `json:"chargingCostInformation,omitempty"`
}

type errorBody struct {
	Time string `json:"creationTime"`
	Hint string `json:"hint"`
}

type locationBody struct {
	Municipality string  `json:"municipality"`
	Address      string  `json:"formattedAddress"`
	Street       string  `json:"streetAddress"`
	Latitude     float64 `json:"mapMatchedLatitude"`
	Longitude    float64 `json:"mapMatchedLongitude"`
}

type blockBody struct {
	Start int64   `json:"startTime"`
	End   int64   `json:"endTime"`
	Power float64 `json:"averagePowerGridKw"`
}

type publicBody struct {
	Matches []matchBody `json:"potentialChargingPointMatches"`
}

type matchBody struct {
	Provider   string `json:"providerName"`
	Street     string `json:"streetAddress"`
	PostalCode string `json:"postalCode"`
	City       string `json:"city"`
}

// costBody is of 2025 alone.
type costBody struct {
	Currency string  `json:"currency"`
	Cost     float64 `json:"calculatedChargingCost"`
	Savings  float64 `json:"calculatedSavings"`
}

// describe writes a session as the history tells it.
func (c *call) describe(s *cars.Session) sessionBody {
	b := sessionBody{
		SOC: int64(s.EndSOC), StartSOC: int64(s.StartSOC), Errors: []errorBody{}, TimeZone: s.TimeZone,
		Start: c.moment(s.Start), Seconds: s.ChargingSeconds(), Preconditioning: s.Preconditioned,
		Mileage: s.Mileage(), MileageUnits: c.units(s), Blocks: make([]blockBody, len(s.Blocks)),
		Location: &locationBody{
			Municipality: s.City, Address: Address(s), Street: s.Street, Latitude: s.Latitude, Longitude: s.Longitude,
		},
	}
	if !s.End.IsZero() {
		b.End, b.Energy = c.moment(s.End), &s.EnergyGridKWh
	}
	for i, e := range s.Errors {
		text := isoOffset(e.Time)
		if i%2 == 1 {
			text = isoMillis(e.Time)
		}
		b.Errors = append(b.Errors, errorBody{text, e.Hint})
	}
	for i, p := range s.Blocks {
		b.Blocks[i] = blockBody{p.Start.Unix(), p.End.Unix(), p.PowerKW}
	}
	if s.Provider != "" {
		b.Public = &publicBody{[]matchBody{{s.Provider, s.Street, s.PostalCode, s.City}}}
	}
	if c.faults.SessionCosts && b.Energy != nil {
		b.Cost = &costBody{"EUR", float64(int(*b.Energy*35)) / 100, 0}
	}
	return b
}

// Address is the formattedAddress of a session: street, then postal code and
// city.
func Address(s *cars.Session) string {
	if s.PostalCode == "" {
		return s.Street + ", " + s.City
	}
	return s.Street + ", " + s.PostalCode + " " + s.City
}

func (c *call) moment(t time.Time) any {
	if c.faults.SessionTimesISO {
		return isoMillis(t)
	}
	return t.Unix()
}

// units is bare on the live service, and dotted in the document.
func (c *call) units(s *cars.Session) string {
	switch {
	case c.faults.RESTStrict && s.Miles:
		return "MileageUnits.MI"
	case c.faults.RESTStrict:
		return "MileageUnits.KM"
	case s.Miles && s.Start.Unix()%2 == 0:
		return "MILES"
	case s.Miles:
		return "MI"
	default:
		return "KM"
	}
}
