package board

const uidVehicle = "cardata-vehicle"

// Descriptors, without their leading "vehicle.".
const (
	charging = "drivetrain.electricEngine.charging."
	battery  = "powertrain.electric.battery."
)

// stateOfCharge is what the car shows: Neue Klasse cars send a key of their own
// (CarData API, section "Model differences").
func stateOfCharge() []string {
	return []string{"drivetrain.batteryManagement.header", battery + "stateOfCharge.displayed"}
}

func electricRange() []string {
	return []string{"drivetrain.electricEngine.kombiRemainingElectricRange", "drivetrain.electricEngine.remainingElectricRange"}
}

func wholeRange() []string {
	return []string{"drivetrain.lastRemainingRange", "drivetrain.totalRemainingRange"}
}

// vehicleLive is one car: how it stands at the end of the period, and the period.
func vehicleLive() *Dashboard {
	d := frame(uidVehicle, "CarData / Vehicle Live",
		"One car as it was at the end of the chosen period, its track and its curves within the period. Shaded: times without a stream.",
		"now-24h", influxVariable(), vinVariable(false)).withGaps()
	d.add(figures()...)
	d.add(states()...)
	d.row("Where",
		track(),
		table("Doors, windows, flaps", "The newest word of each at the end of the period; open is what the car tells as yes or no.", 8, 13,
			rows(lastOf("bool", "open")), rows(lastOf("text", "state"))).
			then("merge", object{}).
			then("organize", object{
				"excludeByName": object{}, "indexByName": object{"descriptor": 0, "state": 1, "open": 2, "Time": 3},
				"renameByName": object{"Time": "since"},
			}).
			column("descriptor", "custom.width", 330).column("since", "unit", "dateTimeFromNow"),
	)
	d.row("Curves", curves()...)
	return d
}

func figures() []*Panel {
	return []*Panel{
		stat("State of charge", "Of the high-voltage battery, as the car shows it.", "percent", 4, latest("number", stateOfCharge()...)).
			set("min", 0).set("max", 100).thresholds("red", []step{{15, "orange"}, {30, "green"}}),
		stat("Electric range", "As the car shows it.", "lengthkm", 4, latest("number", electricRange()...)),
		stat("Whole range", "Of all drives together; combustion engines and plug-in hybrids tell it.", "lengthkm", 4, latest("number", wholeRange()...)),
		stat("Fuel", "Level of the tank. Electric cars tell 0.", "percent", 4, latest("number", "drivetrain.fuelSystem.level")).
			thresholds("text", nil),
		stat("Mileage", "Of the odometer.", "lengthkm", 4, latest("number", "vehicle.travelledDistance")),
		lastHeard(),
	}
}

// lastHeard shows the time of the newest point of any kind. A look back of a
// quarter spares the server the shards of years.
func lastHeard() *Panel {
	p := stat("Last heard", "When the car measured its newest value of any kind, within 90 days. A parked car is silent for hours.", "dateTimeFromNow", 4,
		rows(`SELECT "number", "bool", "text", "absent" FROM "reading" WHERE `+upToEnd+` AND time > ${__to}ms - 90d ORDER BY time DESC LIMIT 1`))
	p.Options["reduceOptions"] = object{"calcs": []string{"lastNotNull"}, "fields": "/^Time$/", "values": false}
	return p
}

func states() []*Panel {
	return []*Panel{
		stat("Charging", "Status of charging. It flaps between active and paused on some cars.", "", 4, latest("text", charging+"status")).
			words("NOCHARGING", "no", "text", "INITIALIZATION", "starting", "blue", "CHARGINGACTIVE", "charging", "green",
				"CHARGINGPAUSED", "paused", "yellow", "CHARGINGENDED", "ended", "text", "CHARGINGERROR", "error", "red"),
		stat("Charging power", "Newest value; cars tell it while they charge.", "watt", 4, latest("number", battery+"charging.power")),
		stat("Plug", "Of the charging port.", "", 4, latest("text", "body.chargingPort.status")).
			words("CONNECTED", "plugged in", "green", "DISCONNECTED", "unplugged", "text"),
		stat("Time left", "Until the charging goal.", "m", 4, latest("number", charging+"timeRemaining")),
		stat("Doors", "OPEN, UNLOCKED, LOCKED or SECURED. Some cars tell it as JSON text.", "", 4, latest("text", "cabin.door.status")).
			words("OPEN", "open", "orange", "UNLOCKED", "unlocked", "yellow", "LOCKED", "locked", "green", "SECURED", "secured", "green"),
		stat("12 V battery", "State of charge of the small battery. Below 60 % cars stop sending.", "percent", 4,
			latest("number", "electricalSystem.battery.stateOfCharge")).thresholds("red", []step{{50, "orange"}, {65, "green"}}),
	}
}

// lastOf is the newest value of a kind of each thing that opens and locks.
func lastOf(field, as string) string {
	return `SELECT last("` + field + `") AS "` + as + `" FROM "reading" WHERE ` + upToEnd +
		` AND "descriptor" =~ /(isOpen|isLocked|sunroof\.status|window\..*\.status)$/ GROUP BY "descriptor"`
}

func track() *Panel {
	const columns = `SELECT "latitude", "longitude", "heading", "altitude" FROM "position" WHERE "outlier" = false AND `
	return geomap("Track and position", "Positions within the period, outliers left out; the large dot is the newest known at its end. "+
		"Map tiles are fetched by your browser from the map's provider.", 16, 13,
		[]object{
			layer("route", "Track", "A", object{"arrow": 1, "style": object{
				"color": object{"fixed": "blue"}, "lineWidth": 3, "opacity": 0.8, "size": object{"fixed": 3, "min": 2, "max": 8},
			}}),
			layer("markers", "Position", "B", marker("red", 9)),
		},
		rows(columns+inPeriod+` ORDER BY time ASC`),
		rows(columns+upToEnd+` ORDER BY time DESC LIMIT 1`))
}

func curves() []*Panel {
	return []*Panel{
		chart("Charge over time", "Of the high-voltage battery, and its goal.", "percent", 12, 8,
			over("state of charge", stateOfCharge()...), over("goal", battery+"stateOfCharge.target")).set("min", 0).set("max", 100),
		chart("Range over time", "As the car shows it.", "lengthkm", 12, 8, over("electric", electricRange()...), over("whole", wholeRange()...)).set("min", 0),
		chart("Power over time", "At the battery.", "watt", 12, 8, over("power", battery+"charging.power")).set("min", 0),
		chart("Mileage over time", "Of the odometer.", "lengthkm", 12, 8,
			series(`SELECT last("number") FROM "reading" WHERE `+inPeriod+` AND `+anyOf("vehicle.travelledDistance")+` GROUP BY time($__interval) fill(none)`, "mileage")).
			custom("lineInterpolation", "stepAfter"),
		chart("Speed", "Cars tell a band of 10 km/h and, some of them, the mean since the start.", "velocitykmh", 12, 8,
			over("from", "vehicle.speedRange.lowerBound"), over("to", "vehicle.speedRange.upperBound"), over("mean of the trip", "vehicle.avgSpeed")),
		chart("Tyres", "Pressures; many cars tell them at a trip's end alone.", "pressurekpa", 12, 8,
			series(`SELECT mean("number") FROM "reading" WHERE `+inPeriod+` AND "descriptor" =~ /tire\.pressure$/ GROUP BY time($__interval), "descriptor" fill(none)`, "$tag_descriptor")),
		timeline("Charging status and doors", "Each word stands until the next one.", 24, 6,
			series(`SELECT "text" FROM "reading" WHERE `+inPeriod+` AND `+anyOf(charging+"status"), "charging"),
			series(`SELECT "text" FROM "reading" WHERE `+inPeriod+` AND `+anyOf("cabin.door.status"), "doors"),
			series(`SELECT "text" FROM "reading" WHERE `+inPeriod+` AND `+anyOf("body.chargingPort.status"), "plug")),
	}
}
