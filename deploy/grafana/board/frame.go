package board

// The variables by which panels find their data source. With one data source of
// a kind there is nothing to choose.
const (
	influxVar     = "influx"
	prometheusVar = "prometheus"
)

func influxSource() *source     { return &source{Type: "influxdb", UID: "${" + influxVar + "}"} }
func prometheusSource() *source { return &source{Type: "prometheus", UID: "${" + prometheusVar + "}"} }

// frame gives a dashboard with what all of them share. period is where its time
// picker stands at first, such as now-24h. It is read anew every minute.
func frame(uid, title, description, period string, variables ...object) *Dashboard {
	return &Dashboard{
		UID: uid, Title: title, Description: description, Tags: []string{"cardata"},
		SchemaVersion: schemaVersion, Editable: true, GraphTooltip: 1, Timezone: "browser",
		Time: span{period, "now"}, Refresh: "1m",
		Links: []object{{
			"type": "dashboards", "title": "CarData", "tags": []string{"cardata"}, "asDropdown": false, "includeVars": true,
			"keepTime": true, "targetBlank": false, "icon": "external link", "tooltip": "", "url": "",
		}},
		Annotations: list{[]object{builtIn()}},
		Templating:  list{variables},
	}
}

// builtIn keeps annotations that people make by hand.
func builtIn() object {
	return object{
		"builtIn": 1, "name": "Annotations & Alerts", "enable": true, "hide": true, "iconColor": "rgba(0, 211, 255, 1)",
		"datasource": object{"type": "grafana", "uid": "-- Grafana --"}, "type": "dashboard",
	}
}

// withGaps shades each time without a stream in all time charts. A gap that began
// up to 30 days before the period and reaches into it is shown too.
func (d *Dashboard) withGaps() *Dashboard {
	d.Annotations.List = append(d.Annotations.List, object{
		"name": "Gaps in the stream", "enable": true, "hide": false, "iconColor": "rgba(242, 153, 74, 0.6)", "datasource": influxSource(),
		"query":         gapQuery(`"end", "cause"`),
		"textColumn":    "cause",
		"timeEndColumn": "end",
		"tagsColumn":    "",
		"target":        object{"refId": "Anno", "query": gapQuery(`"end", "cause"`), "rawQuery": true, "resultFormat": "table", "fromAnnotations": true, "textEditor": true, "textColumn": "cause", "timeEndColumn": "end"},
	})
	return d
}

func gapQuery(columns string) string {
	return `SELECT ` + columns + ` FROM "gap" WHERE ` + ofCar + ` AND time >= ${__from}ms - 30d AND time <= ${__to}ms AND "end" >= ${__from}`
}

// sourceVariable lets one choose among several data sources of a kind.
func sourceVariable(name, kind, label string) object {
	return object{
		"name": name, "label": label, "type": "datasource", "query": kind, "refresh": 1, "regex": "", "hide": 0,
		"includeAll": false, "multi": false, "options": []object{},
	}
}

// seldom reads a dashboard anew only now and then: long periods are dear, and new
// data is rare in them.
func (d *Dashboard) seldom() *Dashboard {
	d.Refresh = "15m"
	return d
}

func influxVariable() object { return sourceVariable(influxVar, "influxdb", "InfluxDB") }

func prometheusVariable() object { return sourceVariable(prometheusVar, "prometheus", "Prometheus") }

// vinVariable lists the cars of InfluxDB; with several, "All" is among them and
// stands first.
func vinVariable(several bool) object {
	v := tagVariable("vin", "Vehicle", "vin", several)
	v["description"] = "Vehicle identification number, as far as readings of it are stored."
	return v
}

func tagVariable(name, label, tag string, several bool) object {
	query := `SHOW TAG VALUES FROM "reading" WITH KEY = "` + tag + `"`
	v := object{
		"name": name, "label": label, "type": "query", "datasource": influxSource(), "query": query, "definition": query,
		"refresh": 1, "regex": "", "sort": 1, "hide": 0, "includeAll": several, "multi": several, "options": []object{},
	}
	if several {
		v["allValue"] = ".*"
		v["current"] = object{"text": []string{"All"}, "value": []string{"$__all"}, "selected": true}
	}
	return v
}

// periodVariable chooses over what one bar sums up.
func periodVariable() object {
	option := func(text, value string, selected bool) object {
		return object{"text": text, "value": value, "selected": selected}
	}
	return object{
		"name": "period", "label": "Sum per", "type": "custom", "query": "day : 1d, week : 1w, 4 weeks : 4w", "hide": 0,
		"description": "What one bar sums up. Days begin at 00:00 UTC, weeks on Thursday.",
		"includeAll":  false, "multi": false, "current": option("day", "1d", true),
		"options": []object{option("day", "1d", true), option("week", "1w", false), option("4 weeks", "4w", false)},
	}
}

// add places panels from left to right and top to bottom below what is there,
// and numbers them. A panel that does not fit into the line begins a new one.
func (d *Dashboard) add(panels ...*Panel) {
	next := 0
	for _, p := range d.Panels {
		next = max(next, p.GridPos.Y+p.GridPos.H)
	}
	x, y := 0, next
	for _, p := range panels {
		if x+p.GridPos.W > 24 {
			x, y = 0, next
		}
		p.ID = len(d.Panels) + 1
		p.GridPos.X, p.GridPos.Y = x, y
		x += p.GridPos.W
		next = max(next, y+p.GridPos.H)
		d.Panels = append(d.Panels, p)
	}
}

// row adds a heading and the panels below it.
func (d *Dashboard) row(title string, panels ...*Panel) {
	d.add(&Panel{Type: "row", Title: title, GridPos: gridPos{W: 24, H: 1}, Collapsed: new(false), Panels: new([]struct{}{})})
	d.add(panels...)
}
