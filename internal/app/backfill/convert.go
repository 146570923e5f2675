package backfill

import (
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// origin says by which way something came.
type origin struct {
	gcid    schema.GCID
	vin     schema.VIN
	source  schema.Source
	fetched time.Time
}

// session gives BMW's session as the pipeline's. What BMW's archive alone has,
// the energy that reached the battery, has no place in it.
func session(s *rest.ChargingSession, o origin) schema.ChargingSession {
	c := schema.ChargingSession{
		GCID: o.gcid, VIN: o.vin, Start: s.Start, End: s.End, TimeZone: s.TimeZone,
		StartSOC: s.StartSOC, EndSOC: s.EndSOC, ChargingSeconds: s.ChargingSeconds,
		GridKWh: s.GridKWh, BatteryIncreaseKWh: s.BatteryIncreaseKWh, BatteryDecreaseKWh: s.BatteryDecreaseKWh, DischargedKWh: s.DischargedKWh,
		MileageKm: s.MileageKm(), Preconditioning: s.Preconditioning,
		Source: o.source, Fetched: o.fetched,
	}
	if p := s.Place; p != nil {
		c.Place = &schema.ChargingPlace{
			Municipality: p.Municipality, Address: p.Address, Street: p.Street, Latitude: p.Latitude, Longitude: p.Longitude,
		}
	}
	for _, p := range s.Public {
		c.Public = append(c.Public, schema.ChargingPoint{Provider: p.Provider, Street: p.Street, PostalCode: p.PostalCode, City: p.City})
	}
	if m := s.Cost; m != nil {
		c.Cost = &schema.ChargingCost{Currency: m.Currency, Calculated: m.Calculated, Savings: m.Savings}
	}
	for _, e := range s.Errors {
		c.Errors = append(c.Errors, schema.ChargingError{Time: e.Time, Hint: e.Hint})
	}
	for _, b := range s.Blocks {
		if b.Start.IsZero() || b.AverageGridKW == nil {
			continue // a block without a start or a power says nothing
		}
		c.Blocks = append(c.Blocks, schema.ChargingBlock{Start: b.Start, End: b.End, AverageGridKW: *b.AverageGridKW})
	}
	return c
}
