package parquet

// The names of the tables.
const (
	TableReadings  = "readings"
	TableWide      = "wide"
	TablePositions = "positions"
	TableSessions  = "charging_sessions"
	TableBlocks    = "charging_blocks"
	TableVehicles  = "vehicles"
	TableGaps      = "gaps"
	TableCatalogue = "catalogue"
)

// Tables defines all tables, in the order in which they are documented. Columns
// are only ever added, at the end of a table or not.
func Tables() []Table {
	return []Table{
		readingsTable(), wideTable(), positionsTable(),
		sessionsTable(), blocksTable(), vehiclesTable(), gapsTable(), catalogueTable(),
	}
}

const (
	describeVIN  = "vehicle; a token instead of the VIN under profile pseudonymous"
	describeGCID = "account; a token instead of the GCID under profile pseudonymous"
	describeText = "value, when it is a text"
	describeNum  = "value, when it is a number, in `unit`"
	describeBool = "value, when it is a boolean"
)

func vinColumn() Column {
	return Column{Name: "vin", Type: Text, Required: true, Privacy: PrivacyVIN, Description: describeVIN}
}

func readingsTable() Table {
	return Table{
		Name:        TableReadings,
		Description: "every value as the car sent it, one row for each (vin, descriptor, time); exactly one of number, bool and text is set, none when the car reported nothing",
		Sort:        []string{"vin", "descriptor", "time"},
		Day:         "time",
		Marks:       []string{"readings"},
		Source:      SourceReadings,
		Columns: []Column{
			vinColumn(),
			{Name: "descriptor", Type: Text, Required: true, Description: "CarData key; table catalogue explains it"},
			{Name: "time", Type: Timestamp, Required: true, Description: "when the car measured it"},
			{Name: "number", Type: Number, Description: describeNum},
			{Name: "bool", Type: Bool, Description: describeBool},
			{Name: "text", Type: Text, Privacy: PrivacyWords, Description: describeText},
			{Name: "unit", Type: Text, Description: "unit of the number, from the catalogue; null when it names none"},
		},
	}
}

func wideTable() Table {
	return Table{
		Name: TableWide,
		Description: "one row for each (vin, time) at which anything was measured, one column for each descriptor that occurs on the day; " +
			"a value that does not fit its column's type, and every value of a descriptor the catalogue does not type, is in `descriptor__number`, `descriptor__bool` or `descriptor__text`; " +
			"null says not measured then, or reported without a value",
		Sort:          []string{"vin", "time"},
		Day:           "time",
		Marks:         []string{"readings"},
		Source:        SourceReadings,
		PerDescriptor: true,
		Columns: []Column{
			vinColumn(),
			{Name: "time", Type: Timestamp, Required: true, Description: "when the car measured the values of this row"},
		},
	}
}

func positionsTable() Table {
	return Table{
		Name:        TablePositions,
		Description: "where the car was: latitude and longitude measured together, with what else was measured at about that time",
		Sort:        []string{"vin", "time"},
		Day:         "time",
		Marks:       []string{"positions", "readings"},
		Source:      SourcePositions,
		Columns: []Column{
			vinColumn(),
			{Name: "time", Type: Timestamp, Required: true, Description: "when the latitude was measured"},
			{Name: "latitude", Type: Number, Unit: "deg", Required: true, Privacy: PrivacyPlace, Description: "north of the equator"},
			{Name: "longitude", Type: Number, Unit: "deg", Required: true, Privacy: PrivacyPlace, Description: "east of Greenwich"},
			{Name: "altitude", Type: Number, Unit: "m", Privacy: PrivacyDrop, Description: "null when not measured near enough in time"},
			{Name: "heading", Type: Number, Unit: "deg", Privacy: PrivacyDrop, Description: "clockwise from north; null when not measured near enough in time"},
			{Name: "apart_ms", Type: Number, Unit: "ms", Required: true, Description: "between the measurements of latitude and longitude"},
			{Name: "outlier", Type: Bool, Required: true, Description: "not reachable from the positions around it"},
		},
	}
}
