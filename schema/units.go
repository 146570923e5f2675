package schema

import "strings"

// Canonical units that conversion knows by name.
const (
	unitKilometre        = "km"
	unitMile             = "mi"
	unitKilometrePerHour = "km/h"
	unitMilePerHour      = "mi/h"
	unitCelsius          = "degC"
	unitFahrenheit       = "degF"
)

// maxUnitBytes bounds a unit; the longest known is "kWh/100km".
const maxUnitBytes = 64

// kilometresPerMile is exact by definition.
const kilometresPerMile = 1.609344

// CanonicalUnit gives the one spelling of a unit (CarData API, section "Unit
// strings seen"). It does not convert: miles stay "mi", and whoever holds the
// value converts.
//
//	percent, %                          %
//	km, kilometers                      km
//	mi, miles                           mi      (readings carry km)
//	km/h, kmh                           km/h
//	mph, mi/h                           mi/h    (readings carry km/h)
//	kPa, kpa                            kPa
//	kWh, kwh                            kWh
//	kWh/100km, kWh/100 km               kWh/100km
//	Celsius, °C, Â°C (broken)           degC
//	Fahrenheit, °F                      degF    (readings carry degC)
//	degrees, °                          deg
//	l, L                                l
//	min, h, s, m, V, A, W, kW, months, weeks, stars   the same
//	-, null, empty                      none, the empty string
//
// Letter case does not matter except in V, A, W and m, where it is kept. Other
// text is passed on, free of invisible characters and surrounding space.
func CanonicalUnit(s string) string {
	if u, ok := knownUnit(s); ok {
		return u
	}
	s = clean(s)
	if u, ok := knownUnit(s); ok {
		return u
	}
	if u, ok := foldedUnit(strings.ToLower(s)); ok {
		return u
	}
	return s
}

// knownUnit covers the spellings that arrive day by day, without allocation.
func knownUnit(s string) (string, bool) {
	switch s {
	case "", "-", "null":
		return "", true
	case "%", "percent":
		return "%", true
	case "km", "kPa", "kWh", "min", "h", "s", "m", "V", "A", "W", "kW", "l", "km/h",
		"months", "weeks", "stars", "degC", "deg", "kWh/100km":
		return s, true
	case "degrees":
		return "deg", true
	case "Celsius", "celsius", "°C":
		return unitCelsius, true
	case "miles", "mi":
		return unitMile, true
	}
	return "", false
}

// foldedUnit takes lower case. A degree sign that was read as Latin-1 shows as
// "â°", one that could not be read as U+FFFD or "?".
func foldedUnit(s string) (string, bool) {
	s = strings.TrimPrefix(s, "â")
	s = strings.ReplaceAll(s, "\ufffd", "°")
	switch s {
	case "none":
		return "", true
	case "percent", "per cent", "pct":
		return "%", true
	case "km", "kilometer", "kilometers", "kilometre", "kilometres":
		return unitKilometre, true
	case "mi", "mile", "miles":
		return unitMile, true
	case "km/h", "kmh", "kph":
		return unitKilometrePerHour, true
	case "mph", "mi/h", "miles/h":
		return unitMilePerHour, true
	case "kpa":
		return "kPa", true
	case "kwh":
		return "kWh", true
	case "kw":
		return "kW", true
	case "kwh/100km", "kwh/100 km":
		return "kWh/100km", true
	case "celsius", "degc", "°c", "°°c", "º c", "ºc", "° c", "?c", "degree celsius", "degrees celsius":
		return unitCelsius, true
	case "fahrenheit", "degf", "°f", "°°f", "ºf", "° f", "?f", "degree fahrenheit", "degrees fahrenheit":
		return unitFahrenheit, true
	case "degrees", "degree", "deg", "°", "°°", "º":
		return "deg", true
	case "l", "liter", "liters", "litre", "litres":
		return "l", true
	case "min", "h", "s", "months", "weeks", "stars":
		return s, true
	}
	return "", false
}

// toMetric converts a number to the unit that readings carry.
func toMetric(x float64, unit string) (float64, string, bool) {
	switch unit {
	case unitMile:
		return x * kilometresPerMile, unitKilometre, true
	case unitMilePerHour:
		return x * kilometresPerMile, unitKilometrePerHour, true
	case unitFahrenheit:
		return (x - 32) * 5 / 9, unitCelsius, true
	}
	return x, unit, false
}

// isDistance tells the rows whose unit column is blank although their values
// are distances: by the display range ("0 km to 500000 km or 0 mi to …") or by
// the name. A consumption per distance is neither.
func isDistance(descriptor, valueRange string) bool {
	if f := strings.Fields(valueRange); len(f) > 1 && f[1] == unitKilometre {
		return true
	}
	name := strings.ToLower(descriptor[strings.LastIndexByte(descriptor, '.')+1:])
	return strings.HasSuffix(name, "distance") || strings.HasSuffix(name, "range") || strings.HasSuffix(name, "mileage")
}
