package pipeline

import "github.com/cardata-pipeline/cardata-pipeline/schema"

// ReadingLetter describes a reading that a store refused.
func ReadingLetter(r *schema.Reading) Letter {
	return Letter{Key: string(r.VIN), Origin: "readings", GCID: string(r.GCID), FirstSeen: r.Received, Original: schema.AppendReading(nil, r)}
}

// GapLetter describes a gap that a store refused.
func GapLetter(g *schema.Gap) Letter {
	return Letter{Key: string(g.GCID), Origin: "gaps", GCID: string(g.GCID), FirstSeen: g.End, Original: schema.AppendGap(nil, g)}
}

// SessionLetter describes a charging session that a store refused.
func SessionLetter(s *schema.ChargingSession) Letter {
	return Letter{Key: string(s.VIN), Origin: "charging-sessions", GCID: string(s.GCID), FirstSeen: s.Fetched, Original: schema.AppendSession(nil, s)}
}

// VehicleLetter describes a vehicle record that a store refused.
func VehicleLetter(v *schema.Vehicle) Letter {
	return Letter{Key: string(v.VIN), Origin: "vehicles", GCID: string(v.GCID), FirstSeen: v.Fetched, Original: schema.AppendVehicle(nil, v)}
}
