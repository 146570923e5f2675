package derive

// Position is where a vehicle was: a latitude and a longitude that were measured
// together, with what else was measured at about that time.
type Position struct {
	Time      int64   // when the latitude was measured, nanoseconds since 1970 UTC; the key within a vehicle
	Latitude  float64 // degrees north
	Longitude float64 // degrees east
	Altitude  float64 // m; NaN when not measured near enough
	Heading   float64 // degrees clockwise from north; NaN when not measured near enough
	ApartNS   int64   // between the measurements of latitude and longitude, nanoseconds, never negative
	Outlier   bool    // not reachable from the positions around it
}
