package schema

import (
	"errors"
	"log/slog"
)

// VIN identifies one vehicle: 17 characters of [A-HJ-NPR-Z0-9]. It is personal
// data and redacts itself in logs.
type VIN string

// GCID identifies one BMW account, a UUID; it is the MQTT user name and topic
// prefix. It is personal data and redacts itself in logs.
type GCID string

// Descriptor is a dotted CarData key such as
// "vehicle.vehicle.travelledDistance", free of invisible characters.
type Descriptor string

var (
	// ErrVIN reports text that is not a vehicle identification number.
	ErrVIN = errors.New("VIN must be 17 characters of A-H, J-N, P, R-Z and 0-9")
	// ErrGCID reports text that is not an account identifier.
	ErrGCID = errors.New("GCID must be a UUID such as 00000000-0000-4000-8000-000000000001")
)

// ParseVIN checks the form of a VIN; there is no check digit to verify
// (CarData API, section "Overview"). The error wraps ErrVIN.
func ParseVIN(s string) (VIN, error) {
	if !validVIN(s) {
		return "", ErrVIN
	}
	return VIN(s), nil
}

func validVIN(s string) bool {
	if len(s) != 17 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'A' <= c && c <= 'Z' && c != 'I' && c != 'O' && c != 'Q'
		if !letter && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// ParseGCID checks the form of an account identifier. The error wraps ErrGCID.
func ParseGCID(s string) (GCID, error) {
	if !validGCID(s) {
		return "", ErrGCID
	}
	return GCID(s), nil
}

func validGCID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
			continue
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// LogValue keeps the maker's code and the last three characters: enough for an
// operator to tell two cars apart, too little to name one.
func (v VIN) LogValue() slog.Value { return slog.StringValue(redact(string(v))) }

// LogValue keeps the first and last three characters.
func (g GCID) LogValue() slog.Value { return slog.StringValue(redact(string(g))) }

func redact(s string) string {
	if len(s) < 12 {
		return "redacted"
	}
	return s[:3] + "…" + s[len(s)-3:]
}
