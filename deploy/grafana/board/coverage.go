package board

// coverage is what came, when and how late, for each descriptor and car.
func coverage() *Dashboard {
	descriptors := tagVariable("descriptor", "Descriptor", "descriptor", true)
	d := frame("cardata-coverage", "CarData / Coverage and Freshness",
		"What each car sent within the period, when it sent it last, and how late it was stored. Shaded: times without a stream.",
		"now-7d", influxVariable(), vinVariable(true), descriptors).withGaps().seldom()
	const from = ` FROM "freshness" WHERE ` + inPeriod
	d.add(
		stat("Readings", "Stored within the period.", "short", 6, rows(`SELECT sum("readings") AS "value"`+from)),
		stat("Numeric descriptors", "Descriptors of which a number came within the period.", "short", 6,
			rows(`SELECT count("n") AS "value" FROM (SELECT count("number") AS "n" FROM "reading" WHERE `+inPeriod+` GROUP BY "descriptor")`)),
		stat("Mean lag", "From measured to stored; a car that was out of reach sends late.", "ms", 6, rows(`SELECT mean("lag_ms") AS "value"`+from)),
		stat("Longest lag", "The worst minute of a car.", "ms", 6, rows(`SELECT max("lag_ms") AS "value"`+from)),
		chart("Lag over time", "From measured to stored, mean of each car's minutes.", "ms", 12, 8,
			series(`SELECT mean("lag_ms")`+from+` GROUP BY time($__interval), "vin" fill(none)`, "$tag_vin")).set("min", 0),
		bars("Readings over time", "Stored, by car.", "short", 12, 8,
			series(`SELECT sum("readings")`+from+` GROUP BY time($__interval), "vin" fill(none)`, "$tag_vin")),
	)
	d.row("Cars",
		table("Last stored", "The newest minute in which readings of the car were stored.", 12, 9,
			rows(`SELECT last("readings") AS "readings"`+from+` GROUP BY "vin"`)).
			toVehicle().column("Time", "displayName", "Last", "unit", "dateTimeFromNow").column("readings", "displayName", "Readings of that minute"),
		table("Days written", "The newest day of each table that a write hit, and when it hit it.", 12, 9,
			rows(`SELECT last("touched") AS "touched" FROM "day" WHERE `+inPeriod+` GROUP BY "vin", "table"`)).
			toVehicle().column("Time", "displayName", "Day (UTC)", "unit", "time:YYYY-MM-DD").
			column("touched", "displayName", "Written", "unit", "dateTimeFromNow"),
	)
	d.row("Descriptors", perDescriptor())
	return d
}

// perDescriptor joins the newest value, which keeps its time, with the counts.
func perDescriptor() *Panel {
	const where = ` FROM "reading" WHERE ` + inPeriod + ` AND "descriptor" =~ /^$descriptor$/ GROUP BY "vin", "descriptor"`
	p := table("Per descriptor and car", "Time and value of the newest reading within the period, and how many came. "+
		"absent counts what the car told as unknown.", 24, 18,
		rows(`SELECT last("number") AS "number"`+where),
		rows(`SELECT last("bool") AS "bool"`+where),
		rows(`SELECT last("text") AS "text"`+where),
		rows(`SELECT count("number") AS "numbers", count("bool") AS "bools", count("text") AS "texts", count("absent") AS "absents"`+where))
	p.Transformations = append(p.Transformations, object{
		"id": "filterFieldsByName", "filter": object{"id": "byRefId", "options": "D"}, // its time is the period's start
		"options": object{"exclude": object{"names": []string{"Time"}}},
	})
	p.then("merge", object{}).
		then("organize", object{
			"excludeByName": object{},
			"indexByName": object{
				"vin": 0, "descriptor": 1, "Time": 2, "number": 3, "bool": 4, "text": 5, "numbers": 6, "bools": 7, "texts": 8, "absents": 9,
			},
			"renameByName": object{"Time": "last"},
		})
	for _, count := range []string{"numbers", "bools", "texts", "absents"} {
		p.column(count, "custom.footer.reducers", []string{"sum"})
	}
	return p.toVehicle().column("descriptor", "custom.width", 480).column("last", "unit", "dateTimeFromNow")
}
