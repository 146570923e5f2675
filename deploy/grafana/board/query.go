package board

import "strings"

// ofCar and inPeriod are the conditions of nearly every query. A regular
// expression, so that one car, several and "All" are the same query.
const (
	ofCar    = `"vin" =~ /^$vin$/`
	inPeriod = ofCar + ` AND $timeFilter`
	upToEnd  = ofCar + ` AND time <= ${__to}ms` // whatever is known at the end of the period
)

// series is a query whose every column of each group is a line; alias names it.
func series(query, alias string) target {
	return target{Datasource: influxSource(), Query: query, RawQuery: true, ResultFormat: "time_series", Alias: alias}
}

// rows is a query whose answer is a table.
func rows(query string) target {
	return target{Datasource: influxSource(), Query: query, RawQuery: true, ResultFormat: "table"}
}

// any of the descriptors, without their leading "vehicle.".
func anyOf(names ...string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = `"descriptor" = 'vehicle.` + n + `'`
	}
	if len(all) == 1 {
		return all[0]
	}
	return "(" + strings.Join(all, " OR ") + ")"
}

// latest is the newest value of any of the descriptors at the end of the period.
// field is number, bool or text.
func latest(field string, names ...string) target {
	return rows(`SELECT last("` + field + `") AS "value" FROM "reading" WHERE ` + upToEnd + ` AND ` + anyOf(names...))
}

// over is the mean of a number over time.
func over(alias string, names ...string) target {
	return series(`SELECT mean("number") FROM "reading" WHERE `+inPeriod+` AND `+anyOf(names...)+` GROUP BY time($__interval) fill(none)`, alias)
}

// prom is a PromQL query over time.
func prom(expr, legend string) target {
	return target{Datasource: prometheusSource(), Expr: expr, LegendFormat: legend, EditorMode: "code", Range: true}
}

// instant is a PromQL query of the end of the period.
func instant(expr string) target {
	return target{Datasource: prometheusSource(), Expr: expr, LegendFormat: "", EditorMode: "code", Instant: true}
}

// rate is a counter's growth a second over all processes of the chosen jobs.
func rate(metric string) string { return `sum(rate(` + selected(metric) + `[$__rate_interval]))` }

// grown is a counter's growth over the period.
func grown(metric string) string { return `sum(increase(` + selected(metric) + `[$__range]))` }

func selected(metric string) string { return metric + `{job=~"$job"}` }
