package board

// chargingSessions is the charging history that REST tells.
func chargingSessions() *Dashboard {
	d := frame("cardata-charging", "CarData / Charging Sessions",
		"Charging sessions from BMW's charging history, which backfill fetches each day; a session appears hours after it ended. Shaded: times without a stream.",
		"now-30d", influxVariable(), vinVariable(true), periodVariable()).withGaps().seldom()
	const from = ` FROM "charging_session" WHERE ` + inPeriod
	d.add(
		stat("Sessions", "That began within the period.", "short", 4, rows(`SELECT count("running") AS "value"`+from)),
		stat("Energy", "From the grid, all sessions together.", "kwatth", 4, rows(`SELECT sum("grid_kwh") AS "value"`+from)),
		stat("At fast chargers", "Energy of sessions whose highest power was above 25 kW, which only direct current gives.", "kwatth", 4,
			rows(`SELECT sum("grid_kwh") AS "value"`+from+` AND "peak_kw" > 25`)),
		stat("Time charging", "Without waiting while plugged in.", "s", 4, rows(`SELECT sum("charging_seconds") AS "value"`+from)),
		stat("Mean power", "Energy by time charging.", "kwatt", 4,
			rows(`SELECT 3600 * sum("grid_kwh") / sum("charging_seconds") AS "value"`+from)),
		stat("Highest power", "Of a block of a session.", "kwatt", 4, rows(`SELECT max("peak_kw") AS "value"`+from)),
		bars("Energy per period", "From the grid, by car.", "kwatth", 12, 8,
			series(`SELECT sum("grid_kwh")`+from+` GROUP BY time($period), "vin" fill(none)`, "$tag_vin")).
			custom("axisSoftMin", 0),
		bars("Sessions per period", "By car, by their start.", "short", 12, 8,
			series(`SELECT count("running")`+from+` GROUP BY time($period), "vin" fill(none)`, "$tag_vin")),
	)
	d.row("One by one", sessionList(from))
	d.row("Where and how fast",
		geomap("Places", "The larger the dot, the more energy.", 12, 12,
			[]object{layer("markers", "Sessions", "A", marker("green", "grid_kwh"))},
			rows(`SELECT "latitude", "longitude", "grid_kwh", "charging_seconds", "municipality", "providers"`+from)).
			column("grid_kwh", "unit", "kwatth").column("charging_seconds", "unit", "s"),
		table("By place", "Sessions, energy and time of each municipality.", 12, 12,
			rows(`SELECT "grid_kwh", "charging_seconds", "municipality"`+from)).
			then("groupBy", object{"fields": object{
				"municipality":     object{"operation": "groupby", "aggregations": []string{}},
				"grid_kwh":         object{"operation": "aggregate", "aggregations": []string{"sum", "count"}},
				"charging_seconds": object{"operation": "aggregate", "aggregations": []string{"sum"}},
			}}).
			column("municipality", "displayName", "Place").
			column("grid_kwh (sum)", "displayName", "Energy", "unit", "kwatth").
			column("grid_kwh (count)", "displayName", "Sessions", "unit", "short").
			column("charging_seconds (sum)", "displayName", "Time charging", "unit", "s"),
		chart("Power", "Mean power from the grid of each block of a session, at the block's start.", "kwatt", 24, 8,
			series(`SELECT "average_grid_kw" FROM "charging_block" WHERE `+inPeriod+` GROUP BY "vin"`, "$tag_vin")).
			custom("drawStyle", "points").custom("showPoints", "always").custom("pointSize", 6).set("min", 0),
	)
	return d
}

func sessionList(from string) *Panel {
	p := table("List of sessions", "The newest first. Cost is what the owner entered at BMW; a running session has no end.", 24, 12,
		rows(`SELECT "end", "grid_kwh", "charging_seconds", "peak_kw", "start_soc", "end_soc", "mileage_km", "municipality", "providers", `+
			`"cost", "currency", "running"`+from+` GROUP BY "vin" ORDER BY time DESC`)).
		then("organize", object{
			"excludeByName": object{},
			"indexByName": object{
				"Time": 0, "end": 1, "vin": 2, "grid_kwh": 3, "charging_seconds": 4, "peak_kw": 5, "start_soc": 6, "end_soc": 7,
				"mileage_km": 8, "municipality": 9, "providers": 10, "cost": 11, "currency": 12, "running": 13,
			},
			"renameByName": object{},
		}).
		then("sortBy", object{"fields": object{}, "sort": []object{{"field": "Time", "desc": true}}})
	p.toVehicle()
	for _, c := range []struct{ name, shown, unit string }{
		{"Time", "Start", "dateTimeAsLocal"},
		{"end", "End", "dateTimeAsLocal"},
		{"grid_kwh", "Energy", "kwatth"},
		{"charging_seconds", "Time charging", "s"},
		{"peak_kw", "Highest power", "kwatt"},
		{"start_soc", "From", "percent"},
		{"end_soc", "To", "percent"},
		{"mileage_km", "Mileage", "lengthkm"},
		{"municipality", "Place", "string"},
		{"providers", "Provider", "string"},
		{"cost", "Cost", "short"},
		{"currency", "Currency", "string"},
		{"running", "Running", "bool_yes_no"},
	} {
		p.column(c.name, "displayName", c.shown, "unit", c.unit)
	}
	return p
}
