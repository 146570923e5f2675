package schema

import (
	"strconv"
	"time"
)

// AppendSession appends s as one JSON object with members in a fixed order, the
// value of a record on the charging-sessions topic (ChargingSessionSchema).
// Equal sessions give equal bytes. What BMW did not say, empty lists and numbers
// that are not finite are left out.
func AppendSession(dst []byte, s *ChargingSession) []byte {
	dst = append(dst, `{"vin":`...)
	dst = appendString(dst, string(s.VIN))
	dst = append(dst, `,"start":`...)
	dst = appendTime(dst, s.Start)
	dst = appendMoment(dst, "end", s.End)
	dst = appendText(dst, "time_zone", s.TimeZone)
	dst = appendFloat(dst, "start_soc", s.StartSOC)
	dst = appendFloat(dst, "end_soc", s.EndSOC)
	dst = appendFloat(dst, "charging_seconds", s.ChargingSeconds)
	dst = appendFloat(dst, "grid_kwh", s.GridKWh)
	dst = appendFloat(dst, "battery_increase_kwh", s.BatteryIncreaseKWh)
	dst = appendFloat(dst, "battery_decrease_kwh", s.BatteryDecreaseKWh)
	dst = appendFloat(dst, "discharged_kwh", s.DischargedKWh)
	dst = appendFloat(dst, "mileage_km", s.MileageKm)
	if s.Preconditioning != nil {
		dst = strconv.AppendBool(appendName(dst, "preconditioning"), *s.Preconditioning)
	}
	if p := s.Place; p != nil {
		dst = append(appendName(dst, "place"), '{')
		dst = appendText(dst, "municipality", p.Municipality)
		dst = appendText(dst, "address", p.Address)
		dst = appendText(dst, "street", p.Street)
		dst = appendFloat(dst, "latitude", p.Latitude)
		dst = appendFloat(dst, "longitude", p.Longitude)
		dst = append(dst, '}')
	}
	dst = appendPoints(dst, s.Public)
	if c := s.Cost; c != nil {
		dst = append(appendName(dst, "cost"), '{')
		dst = appendText(dst, "currency", c.Currency)
		dst = appendFloat(dst, "calculated", c.Calculated)
		dst = appendFloat(dst, "savings", c.Savings)
		dst = append(dst, '}')
	}
	dst = appendErrors(dst, s.Errors)
	dst = appendBlocks(dst, s.Blocks)
	dst = appendText(dst, "source", string(s.Source))
	dst = append(dst, `,"fetched":`...)
	dst = appendTime(dst, s.Fetched)
	dst = appendText(dst, "gcid", string(s.GCID))
	return append(dst, '}')
}

func appendPoints(dst []byte, points []ChargingPoint) []byte {
	if len(points) == 0 {
		return dst
	}
	dst = append(appendName(dst, "public"), '[')
	for i := range points {
		p := &points[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		dst = appendText(dst, "provider", p.Provider)
		dst = appendText(dst, "street", p.Street)
		dst = appendText(dst, "postal_code", p.PostalCode)
		dst = appendText(dst, "city", p.City)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendErrors(dst []byte, faults []ChargingError) []byte {
	if len(faults) == 0 {
		return dst
	}
	dst = append(appendName(dst, "errors"), '[')
	for i := range faults {
		f := &faults[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		dst = appendMoment(dst, "time", f.Time)
		dst = appendText(dst, "hint", f.Hint)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendBlocks(dst []byte, blocks []ChargingBlock) []byte {
	if len(blocks) == 0 {
		return dst
	}
	dst = append(appendName(dst, "blocks"), '[')
	for i := range blocks {
		b := &blocks[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"start":`...)
		dst = appendTime(dst, b.Start)
		dst = appendMoment(dst, "end", b.End)
		dst = append(dst, `,"average_grid_kw":`...)
		if !isFinite(b.AverageGridKW) {
			dst = append(dst, '0', '}') // a block must have its power; decoding never gives another
			continue
		}
		dst = append(appendNumber(dst, b.AverageGridKW), '}')
	}
	return append(dst, ']')
}

// appendName begins a member of an object whose members may all be missing: the
// byte before the first is its brace, as no text and no number ends in one.
func appendName(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func appendText(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	return appendString(appendName(dst, name), text)
}

func appendFloat(dst []byte, name string, f *float64) []byte {
	if f == nil || !isFinite(*f) {
		return dst
	}
	return appendNumber(appendName(dst, name), *f)
}

func appendMoment(dst []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return appendTime(appendName(dst, name), t)
}
