package dashboards

// The kinds of a column's values in InfluxDB's JSON.
const (
	number = "number"
	truth  = "truth"
	text   = "text"
)

// columns says which columns of a query must have values, and of which kind.
// Every row has a time besides.
type columns map[string]string

func value(kind string) columns { return columns{"value": kind} }

// expected has each InfluxQL query of each dashboard: what a chart cannot be drawn
// without. A query that is not here fails, and so does a line without a query.
func expected() map[string]columns {
	all := map[string]columns{
		"Vehicle Live/State of charge/A":    value(number),
		"Vehicle Live/Electric range/A":     value(number),
		"Vehicle Live/Whole range/A":        value(number),
		"Vehicle Live/Fuel/A":               value(number),
		"Vehicle Live/Mileage/A":            value(number),
		"Vehicle Live/Last heard/A":         {},
		"Vehicle Live/Charging/A":           value(text),
		"Vehicle Live/Charging power/A":     value(number),
		"Vehicle Live/Plug/A":               value(text),
		"Vehicle Live/Time left/A":          value(number),
		"Vehicle Live/Doors/A":              value(text),
		"Vehicle Live/12 V battery/A":       value(number),
		"Vehicle Live/Speed/A":              {"mean": number},
		"Vehicle Live/Speed/B":              {"mean": number},
		"Vehicle Live/Speed/C":              {"mean": number},
		"Vehicle Live/Tyres/A":              {"mean": number},
		"Vehicle Live/Range over time/A":    {"mean": number},
		"Vehicle Live/Range over time/B":    {"mean": number},
		"Vehicle Live/Mileage over time/A":  {"last": number},
		"Vehicle Live/Power over time/A":    {"mean": number},
		"Vehicle Live/Charge over time/A":   {"mean": number},
		"Vehicle Live/Charge over time/B":   {"mean": number},
		"Vehicle Live/variable vin":         {"value": text},
		"Vehicle Live/Track and position/A": {"latitude": number, "longitude": number},
		"Vehicle Live/Track and position/B": {"latitude": number, "longitude": number},

		"Vehicle Live/Doors, windows, flaps/A": {"open": truth},
		"Vehicle Live/Doors, windows, flaps/B": {"state": text},

		"Vehicle Live/Charging status and doors/A": {"text": text},
		"Vehicle Live/Charging status and doors/B": {"text": text},
		"Vehicle Live/Charging status and doors/C": {"text": text},

		"Charging Sessions/Sessions/A":            value(number),
		"Charging Sessions/Energy/A":              value(number),
		"Charging Sessions/At fast chargers/A":    value(number),
		"Charging Sessions/Time charging/A":       value(number),
		"Charging Sessions/Mean power/A":          value(number),
		"Charging Sessions/Highest power/A":       value(number),
		"Charging Sessions/Energy per period/A":   {"sum": number},
		"Charging Sessions/Sessions per period/A": {"count": number},
		"Charging Sessions/List of sessions/A": {
			"end": number, "grid_kwh": number, "charging_seconds": number, "peak_kw": number, "start_soc": number,
			"end_soc": number, "mileage_km": number, "municipality": text, "running": truth,
		},
		"Charging Sessions/Places/A":     {"latitude": number, "longitude": number, "grid_kwh": number, "municipality": text},
		"Charging Sessions/By place/A":   {"grid_kwh": number, "charging_seconds": number, "municipality": text},
		"Charging Sessions/Power/A":      {"average_grid_kw": number},
		"Charging Sessions/variable vin": {"value": text},

		"Coverage and Freshness/Readings/A":            value(number),
		"Coverage and Freshness/Numeric descriptors/A": value(number),
		"Coverage and Freshness/Mean lag/A":            value(number),
		"Coverage and Freshness/Longest lag/A":         value(number),
		"Coverage and Freshness/Readings over time/A":  {"sum": number},
		"Coverage and Freshness/Lag over time/A":       {"mean": number},
		"Coverage and Freshness/Last stored/A":         {"readings": number},
		"Coverage and Freshness/Days written/A":        {"touched": number},
		"Coverage and Freshness/variable vin":          {"value": text},
		"Coverage and Freshness/variable descriptor":   {"value": text},

		"Coverage and Freshness/Per descriptor and car/A": {"number": number},
		"Coverage and Freshness/Per descriptor and car/B": {"bool": truth},
		"Coverage and Freshness/Per descriptor and car/C": {"text": text},
		"Coverage and Freshness/Per descriptor and car/D": {"numbers": number, "bools": number, "texts": number},

		"Gaps and Duplicates/Gaps/A":                     value(number),
		"Gaps and Duplicates/Without a stream/A":         value(number),
		"Gaps and Duplicates/Longest/A":                  value(number),
		"Gaps and Duplicates/Share of the worst car/A":   value(number),
		"Gaps and Duplicates/Seconds without a stream/A": {"sum": number},
		"Gaps and Duplicates/Gaps in time/A":             {"end": number, "cause": text},
		"Gaps and Duplicates/List of gaps/A":             {"end": number, "seconds": number, "cause": text},
		"Gaps and Duplicates/By cause/A":                 {"seconds": number, "cause": text},
		"Gaps and Duplicates/variable vin":               {"value": text},

		"Pipeline/variable vin": {"value": text},
	}
	for _, d := range []string{"Vehicle Live", "Charging Sessions", "Coverage and Freshness", "Gaps and Duplicates", "Pipeline"} {
		all[d+"/annotation Gaps in the stream"] = columns{"end": number, "cause": text}
	}
	return all
}
