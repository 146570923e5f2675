package parquet

// from says where a row of a measurement has a column's value.
type from struct {
	field string   // empty: the column's own name
	as    reading  // how it is read
	zone  *zonedBy // LocalTime alone
}

// reading is how a field is read.
type reading uint8

const (
	asIs   reading = iota
	asMS           // whole milliseconds since 1970 become a time
	asTime         // the row's own time
)

// zonedBy says how a LocalTime is made: the time of a column in the zone of the
// session that the row is, or belongs to.
type zonedBy struct{ column string }

// expander makes several rows of one.
type expander uint8

const expandFacts expander = 1

func startColumn(what string) Column {
	return Column{Name: "start", Type: Timestamp, Required: true, Description: what, from: from{as: asTime}}
}

func local(of, what string) Column {
	return Column{
		Name: of + "_local", Type: LocalTime, from: from{zone: &zonedBy{of}},
		Description: what + " on a clock at the place, by time_zone; null when the zone is not known",
	}
}

func fetchedColumn() Column {
	return Column{Name: "fetched", Type: Timestamp, from: from{as: asMS}, Description: "when this version was fetched or imported"}
}

func number(name, unit, description string) Column {
	return Column{Name: name, Type: Number, Unit: unit, Description: description}
}

func (c Column) private(p Privacy) Column {
	c.Privacy = p
	return c
}

func text(name, description string) Column {
	return Column{Name: name, Type: Text, Description: description}
}

func sessionsTable() Table {
	return Table{
		Name:        TableSessions,
		Description: "charging sessions, plug-in to plug-out, from the charging history; one row for each (vin, start)",
		Sort:        []string{"vin", "start"},
		Day:         "start",
		Marks:       []string{"charging_sessions"},
		Source:      SourceMeasurement,
		Measurement: "charging_session",
		Columns: []Column{
			vinColumn(),
			startColumn("plugged in"),
			{Name: "end", Type: Timestamp, from: from{as: asMS}, Description: "plugged out; null while the session runs"},
			local("start", "start"),
			local("end", "end"),
			text("time_zone", "IANA name of the zone of the place, such as Europe/Berlin"),
			{Name: "running", Type: Bool, Description: "had not ended when it was fetched"},
			number("seconds", "s", "from start to end"),
			number("charging_seconds", "s", "time that energy flowed"),
			number("start_soc", "%", "state of charge before"),
			number("end_soc", "%", "state of charge after, or when fetched while the session ran"),
			number("grid_kwh", "kWh", "drawn from the grid"),
			number("battery_increase_kwh", "kWh", "that reached the battery; the owner archive alone has it"),
			number("battery_decrease_kwh", "kWh", "taken out of the battery"),
			number("discharged_kwh", "kWh", "given back by bidirectional charging"),
			number("peak_kw", "kW", "highest power of the blocks; above 22 to 25 kW it was direct current"),
			number("mileage_km", "km", "odometer"),
			{Name: "preconditioning", Type: Bool, Description: "cabin or battery was conditioned"},
			number("latitude", "deg", "of the place, north, matched to the map").private(PrivacyPlace),
			number("longitude", "deg", "of the place, east").private(PrivacyPlace),
			text("municipality", "of the place").private(PrivacyDrop),
			text("address", "of the place, in one line").private(PrivacyDrop),
			text("street", "of the place").private(PrivacyDrop),
			text("providers", "of public charging points that match the place, separated by `; `").private(PrivacyDrop),
			text("public_points", "public charging points that match the place, separated by `; `").private(PrivacyDrop),
			text("currency", "ISO 4217 code of cost and savings").private(PrivacyWords),
			number("cost", "", "reckoned by BMW, in currency"),
			number("savings", "", "reckoned by BMW, in currency"),
			{Name: "blocks", Type: Int, Description: "number of charging blocks"},
			{Name: "errors", Type: Int, Description: "number of faults that BMW noted"},
			text("error_hints", "texts of those faults, separated by `; `").private(PrivacyDrop),
			{Name: "source", Type: Text, Privacy: PrivacyWords, Description: "rest or archive"},
			fetchedColumn(),
		},
	}
}

func blocksTable() Table {
	return Table{
		Name:        TableBlocks,
		Description: "stretches of a charging session at about the same power; one row for each (vin, start)",
		Sort:        []string{"vin", "start"},
		Day:         "start",
		Marks:       []string{"charging_sessions"},
		Source:      SourceMeasurement,
		Measurement: "charging_block",
		Columns: []Column{
			vinColumn(),
			startColumn("of the block"),
			{Name: "end", Type: Timestamp, from: from{as: asMS}, Description: "of the block; null when not known"},
			local("start", "start"),
			local("end", "end"),
			number("seconds", "s", "from start to end"),
			number("average_grid_kw", "kW", "average power from the grid"),
			{Name: "session", Type: Timestamp, from: from{as: asMS}, Description: "start of the session that the block is of"},
			fetchedColumn(),
		},
	}
}

func vehiclesTable() Table {
	return Table{
		Name:        TableVehicles,
		Description: "facts about the cars as the REST side told them, one row for each (vin, kind, time, fact); the latest time of each (vin, kind) counts",
		Sort:        []string{"vin", "kind", "time", "fact"},
		Day:         "time",
		Marks:       []string{"vehicles"},
		Source:      SourceMeasurement,
		Measurement: "vehicle",
		expand:      expandFacts,
		Columns: []Column{
			vinColumn(),
			{Name: "kind", Type: Text, Required: true, Description: "mapping, basic_data, tyres, settings or image"},
			{Name: "time", Type: Timestamp, Required: true, from: from{as: asTime}, Description: "when it was fetched or imported"},
			{Name: "fact", Type: Text, Required: true, Description: "path to the value in BMW's answer"},
			number("number", "", "value, when it is a number"),
			{Name: "bool", Type: Bool, Description: describeBool},
			{Name: "text", Type: Text, Privacy: PrivacyWords, Description: describeText},
		},
	}
}

func gapsTable() Table {
	return Table{
		Name:        TableGaps,
		Description: "times in which messages may have been missed, one row for each (vin, gcid, start); by the UTC day of the start, vin is null when no car of the account was known",
		Sort:        []string{"vin", "gcid", "start"},
		Day:         "start",
		Marks:       []string{"gaps"},
		Source:      SourceMeasurement,
		Measurement: "gap",
		Columns: []Column{
			{Name: "vin", Type: Text, Privacy: PrivacyVIN, Description: describeVIN},
			{Name: "gcid", Type: Text, Required: true, Privacy: PrivacyGCID, Description: describeGCID},
			startColumn("last moment known to be covered"),
			{Name: "end", Type: Timestamp, from: from{as: asMS}, Description: "first moment covered again"},
			number("seconds", "s", "from start to end"),
			text("cause", "token_change, shutdown, crash, connection, evicted, token_expired, refused, journal_full, journal_lost or moved").private(PrivacyWords),
		},
	}
}

func catalogueTable() Table {
	return Table{
		Name:        TableCatalogue,
		Description: "the descriptors that BMW documents; one file, `catalogue/part-0.parquet`",
		Sort:        []string{"descriptor"},
		Source:      SourceCatalogue,
		Columns: []Column{
			{Name: "descriptor", Type: Text, Required: true, Description: "CarData key"},
			{Name: "type", Type: Text, Required: true, Description: "number, bool, text, or unknown where BMW names none"},
			text("unit", "canonical unit; null when there is none"),
			text("datatype", "as BMW writes it: float, uint8, boolean, string, …"),
			{Name: "streamable", Type: Bool, Required: true, Description: "may arrive by MQTT; the others come by REST alone"},
			{Name: "distance", Type: Bool, Required: true, Description: "a distance, in km whatever the car is set to"},
			text("category", "BMW's group"),
			text("words", "documented values, separated by `|`; others occur"),
			text("true_word", "the word that means true, for booleans"),
			text("false_word", "the word that means false, for booleans"),
			text("sentinels", "words that mean nothing reported, separated by `|`"),
			text("min", "as BMW displays it; some are plainly wrong"),
			text("max", "as BMW displays it"),
			text("range", "as BMW displays it"),
			text("vehicle_types", "such as BEV, ICE, PHEV, separated by `|`"),
			text("note", "what is known beyond BMW's text"),
		},
	}
}
