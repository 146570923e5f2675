package board

// gapsAndDuplicates is what the pipeline knows it missed, and what came twice.
func gapsAndDuplicates() *Dashboard {
	d := frame("cardata-gaps", "CarData / Gaps and Duplicates",
		"Every time without a stream, with its cause: what BMW sent then is lost, for it sends each value once. And what came twice or changed.",
		"now-7d", influxVariable(), prometheusVariable(), vinVariable(true), jobVariable()).withGaps()
	const from = ` FROM "gap" WHERE ` + inPeriod
	d.add(
		stat("Gaps", "That began within the period; one for each car of the account.", "short", 6, rows(`SELECT count("seconds") AS "value"`+from)),
		stat("Without a stream", "All gaps of all cars together.", "s", 6, rows(`SELECT sum("seconds") AS "value"`+from)).
			thresholds("text", nil),
		stat("Longest", "The longest gap.", "s", 6, rows(`SELECT max("seconds") AS "value"`+from)).
			thresholds("green", []step{{60, "yellow"}, {900, "red"}}),
		stat("Share of the worst car", "Share of the period in which the worst car had no stream.", "percent", 6,
			rows(`SELECT max("share") AS "value" FROM (SELECT 100000 * sum("seconds") / (${__to} - ${__from}) AS "share"`+from+` GROUP BY "vin")`)).
			thresholds("green", []step{{0.5, "yellow"}, {5, "red"}}),
		gapStates(),
		bars("Seconds without a stream", "By car, at the gap's start.", "s", 24, 7,
			series(`SELECT sum("seconds")`+from+` GROUP BY time($__interval), "vin" fill(none)`, "$tag_vin")),
		table("By cause", "token_change is planned and takes seconds each hour; evicted means that another client of the account pushed us out.", 8, 10,
			rows(`SELECT "seconds", "cause"`+from)).
			then("groupBy", object{"fields": object{
				"cause":   object{"operation": "groupby", "aggregations": []string{}},
				"seconds": object{"operation": "aggregate", "aggregations": []string{"count", "sum", "max"}},
			}}).
			column("seconds (count)", "displayName", "Gaps").
			column("seconds (sum)", "displayName", "Together", "unit", "s").
			column("seconds (max)", "displayName", "Longest", "unit", "s"),
		table("List of gaps", "The newest first.", 16, 10,
			rows(`SELECT "end", "seconds", "cause"`+from+` GROUP BY "vin" ORDER BY time DESC`)).
			then("sortBy", object{"fields": object{}, "sort": []object{{"field": "Time", "desc": true}}}).
			toVehicle().column("Time", "displayName", "Start", "unit", "dateTimeAsLocal").
			column("end", "displayName", "End", "unit", "dateTimeAsLocal").column("seconds", "displayName", "Length", "unit", "s"),
	)
	d.row("Duplicates and revisions",
		chart("Readings over time", "Out of normalising. A duplicate is the same value of the same key again, a revision another value of it: the later one stays.", "cps", 16, 9,
			prom(rate("cardata_ledger_readings_produced_total"), "produced"),
			prom(rate("cardata_ledger_readings_duplicate_total"), "duplicates"),
			prom(rate("cardata_ledger_readings_revised_total"), "revisions"),
			prom(rate("cardata_ledger_readings_skipped_total"), "never reported by the car"),
			prom(rate("cardata_ledger_readings_minimised_total"), "dropped for consent"),
			prom(rate("cardata_ledger_readings_misfit_total"), "not of the catalogue's type")),
		promStat("Duplicates", "Share of the period's readings.", "percentunit",
			grown("cardata_ledger_readings_duplicate_total")+` / `+grown("cardata_ledger_readings_total")),
		promStat("Revisions", "Share of the period's readings.", "percentunit",
			grown("cardata_ledger_readings_revised_total")+` / `+grown("cardata_ledger_readings_total")),
	)
	return d
}

// gapStates draws each gap as a bar from its start to its end, one lane a car.
func gapStates() *Panel {
	p := timeline("Gaps in time", "From start to end, with the cause. Zoom in: most are seconds long.", 24, 7,
		rows(`SELECT "end", "cause" FROM "gap" WHERE `+inPeriod+` GROUP BY "vin"`))
	p.Options["mergeValues"] = false
	return p.
		then("convertFieldType", object{"conversions": []object{{"targetField": "end", "destinationType": "time"}}, "fields": object{}}).
		then("partitionByValues", object{"fields": []string{"vin"}, "keepFields": false, "naming": object{"asLabels": true}}).
		set("displayName", "${__field.labels.vin}")
}
