package board

import (
	"bytes"
	"encoding/json"
)

// schemaVersion is that of Grafana 12.2 to 13 (npm @grafana/schema 13.2.3,
// defaultDashboard); older ones are migrated, so Grafana 10.4 and up read it too.
const schemaVersion = 42

// object is a JSON object whose members only Grafana knows.
type object map[string]any

// Dashboard is Grafana's own JSON of a dashboard.
type Dashboard struct {
	UID           string   `json:"uid"`
	Title         string   `json:"title"`
	Description   string   `json:"description"`
	Tags          []string `json:"tags"`
	SchemaVersion int      `json:"schemaVersion"`
	Editable      bool     `json:"editable"`
	GraphTooltip  int      `json:"graphTooltip"` // 1: one cross hair over all charts
	Timezone      string   `json:"timezone"`
	Time          span     `json:"time"`
	Refresh       string   `json:"refresh"`
	Links         []object `json:"links"`
	Annotations   list     `json:"annotations"`
	Templating    list     `json:"templating"`
	Panels        []*Panel `json:"panels"`
}

type list struct {
	List []object `json:"list"`
}

type span struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Panel is one panel, or a row's heading.
type Panel struct {
	ID              int         `json:"id"`
	Type            string      `json:"type"`
	Title           string      `json:"title"`
	Description     string      `json:"description,omitempty"`
	GridPos         gridPos     `json:"gridPos"`
	Datasource      *source     `json:"datasource,omitempty"`
	Interval        string      `json:"interval,omitempty"` // shortest $__interval
	Targets         []target    `json:"targets,omitempty"`
	FieldConfig     *fields     `json:"fieldConfig,omitempty"`
	Options         object      `json:"options,omitempty"`
	Transformations []object    `json:"transformations,omitempty"`
	Collapsed       *bool       `json:"collapsed,omitempty"` // rows alone
	Panels          *[]struct{} `json:"panels,omitempty"`    // rows alone
}

// gridPos is in units of a 24th of the width and of 30 pixels of height.
type gridPos struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

// source is a data source, always by a variable of the dashboard.
type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// target is one query of a panel.
type target struct {
	RefID      string  `json:"refId"`
	Datasource *source `json:"datasource"`

	Query        string `json:"query,omitempty"` // InfluxQL
	RawQuery     bool   `json:"rawQuery,omitempty"`
	ResultFormat string `json:"resultFormat,omitempty"`
	Alias        string `json:"alias,omitempty"`

	Expr         string `json:"expr,omitempty"` // PromQL
	LegendFormat string `json:"legendFormat,omitempty"`
	EditorMode   string `json:"editorMode,omitempty"`
	Range        bool   `json:"range,omitempty"`
	Instant      bool   `json:"instant,omitempty"`
}

type fields struct {
	Defaults  object   `json:"defaults"`
	Overrides []object `json:"overrides"`
}

// JSON gives d as it stands in its file.
func (d *Dashboard) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(d)
	return b.Bytes(), err
}

// All gives the dashboards by the names of their files.
func All() map[string]*Dashboard {
	return map[string]*Dashboard{
		"vehicle-live.json":           vehicleLive(),
		"charging-sessions.json":      chargingSessions(),
		"coverage-and-freshness.json": coverage(),
		"gaps-and-duplicates.json":    gapsAndDuplicates(),
		"pipeline.json":               pipelineHealth(),
	}
}
