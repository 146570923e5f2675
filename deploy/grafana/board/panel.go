package board

// panel gives a panel of a kind and a size, in 24ths of the width and in lines.
func panel(kind, title, description string, w, h int, targets ...target) *Panel {
	p := &Panel{
		Type: kind, Title: title, Description: description, GridPos: gridPos{W: w, H: h}, Targets: targets,
		FieldConfig: &fields{Defaults: object{"custom": object{}}, Overrides: []object{}}, Options: object{},
	}
	for i := range p.Targets {
		p.Targets[i].RefID = string(rune('A' + i))
		p.Datasource = p.Targets[i].Datasource
	}
	return p
}

// stat shows one figure, that of the column called value.
func stat(title, description, unit string, w int, t target) *Panel {
	p := panel("stat", title, description, w, 4, t)
	p.Options = object{
		"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "/^value$/", "values": false},
		"colorMode":     "value", "graphMode": "none", "textMode": "value", "justifyMode": "auto", "orientation": "auto",
	}
	p.set("unit", unit).set("color", object{"mode": "thresholds"}).thresholds("text", nil)
	return p.set("noValue", "–")
}

// promStat shows one figure of Prometheus, a sixth of the width.
func promStat(title, description, unit, expr string) *Panel {
	p := stat(title, description, unit, 4, instant(expr))
	p.Options["reduceOptions"] = object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}
	return p
}

// chart draws lines over time.
func chart(title, description, unit string, w, h int, targets ...target) *Panel {
	p := panel("timeseries", title, description, w, h, targets...)
	p.Options = object{
		"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
		"tooltip": object{"mode": "multi", "sort": "desc"},
	}
	p.set("color", object{"mode": "palette-classic"})
	p.custom("drawStyle", "line").custom("lineWidth", 1).custom("fillOpacity", 8).custom("showPoints", "auto").custom("spanNulls", true)
	return p.set("unit", unit)
}

// bars draws stacked bars over time.
func bars(title, description, unit string, w, h int, targets ...target) *Panel {
	p := chart(title, description, unit, w, h, targets...)
	p.custom("drawStyle", "bars").custom("fillOpacity", 70).custom("lineWidth", 0).custom("spanNulls", false).custom("showPoints", "never")
	return p.custom("stacking", object{"mode": "normal", "group": "A"})
}

// table lists rows, the newest first where the query says so.
func table(title, description string, w, h int, targets ...target) *Panel {
	p := panel("table", title, description, w, h, targets...)
	p.Options = object{"showHeader": true, "cellHeight": "sm"}
	return p.custom("align", "auto").custom("filterable", true).set("noValue", "")
}

// timeline draws states over time.
func timeline(title, description string, w, h int, targets ...target) *Panel {
	p := panel("state-timeline", title, description, w, h, targets...)
	p.Options = object{
		"mergeValues": true, "showValue": "auto", "rowHeight": 0.8, "alignValue": "left",
		"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []string{}},
		"tooltip": object{"mode": "single", "sort": "none"},
	}
	return p.custom("fillOpacity", 75).custom("lineWidth", 0).set("color", object{"mode": "palette-classic-by-name"})
}

// geomap shows places; every query needs the columns latitude and longitude.
func geomap(title, description string, w, h int, layers []object, targets ...target) *Panel {
	p := panel("geomap", title, description, w, h, targets...)
	p.Options = object{
		"basemap":  object{"type": "default", "name": "Map", "config": object{}},
		"controls": object{"showZoom": true, "mouseWheelZoom": true, "showAttribution": true, "showScale": true},
		"view":     object{"id": "fit", "allLayers": true, "lat": 48, "lon": 11, "zoom": 6, "padding": 10},
		"tooltip":  object{"mode": "details"},
		"layers":   layers,
	}
	return p
}

// layer is one layer of a map, drawn from the query with that letter.
func layer(kind, name, refID string, config object) object {
	return object{
		"type": kind, "name": name, "config": config, "tooltip": true, "filterData": object{"id": "byRefId", "options": refID},
		"location": object{"mode": "coords", "latitude": "latitude", "longitude": "longitude"},
	}
}

// marker is the look of a place; size is a number, or a column that it grows with.
func marker(color string, size any) object {
	dimension := object{"fixed": 6, "min": 4, "max": 20}
	if column, ok := size.(string); ok {
		dimension["field"] = column
	} else {
		dimension["fixed"] = size
	}
	return object{"showLegend": false, "style": object{
		"color": object{"fixed": color}, "size": dimension, "opacity": 0.7,
		"symbol": object{"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
	}}
}

// set sets a default of all fields.
func (p *Panel) set(name string, value any) *Panel {
	p.FieldConfig.Defaults[name] = value
	return p
}

// custom sets a default that only this kind of panel knows.
func (p *Panel) custom(name string, value any) *Panel {
	p.FieldConfig.Defaults["custom"].(object)[name] = value
	return p
}

// step is a colour from a value up.
type step struct {
	from  float64
	color string
}

// thresholds colours by value: base below the first step.
func (p *Panel) thresholds(base string, steps []step) *Panel {
	all := append(make([]object, 0, 1+len(steps)), object{"color": base, "value": nil})
	for _, s := range steps {
		all = append(all, object{"color": s.color, "value": s.from})
	}
	return p.set("thresholds", object{"mode": "absolute", "steps": all})
}

// words gives values other words and colours: value, text, colour, and again.
func (p *Panel) words(triples ...string) *Panel {
	options := object{}
	for i := 0; i+2 < len(triples); i += 3 {
		options[triples[i]] = object{"text": triples[i+1], "color": triples[i+2], "index": i / 3}
	}
	return p.set("mappings", []object{{"type": "value", "options": options}})
}

// column sets properties of one column or series: name, value, and again.
func (p *Panel) column(name string, properties ...any) *Panel {
	set := make([]object, 0, len(properties)/2)
	for i := 0; i+1 < len(properties); i += 2 {
		set = append(set, object{"id": properties[i], "value": properties[i+1]})
	}
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, object{
		"matcher": object{"id": "byName", "options": name}, "properties": set,
	})
	return p
}

// then appends a transformation.
func (p *Panel) then(id string, options object) *Panel {
	p.Transformations = append(p.Transformations, object{"id": id, "options": options})
	return p
}

// toVehicle makes a column of VINs lead to the car's own dashboard.
func (p *Panel) toVehicle() *Panel {
	return p.column("vin", "displayName", "Vehicle", "links", []object{{
		"title": "Show the car", "url": "/d/" + uidVehicle + "?var-vin=${__value.raw}&${__url_time_range}", "targetBlank": false,
	}})
}
