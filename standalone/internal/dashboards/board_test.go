package dashboards

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const folder = "../../../deploy/grafana/dashboards"

// dashboard is what Grafana's JSON says of queries.
type dashboard struct {
	Title  string
	Panels []struct {
		Title   string
		Targets []struct{ RefID, Query, Expr string }
	}
	Annotations struct {
		List []struct{ Name, Query string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

func dashboards(t *testing.T) []dashboard {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	all := make([]dashboard, len(files))
	for i, f := range files {
		data, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(data, &all[i])
		}
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
	}
	return all
}

// queries gives every InfluxQL query by "Dashboard/Panel/A".
func queries(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, d := range dashboards(t) {
		title := strings.TrimPrefix(d.Title, "CarData / ")
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				if q.Query != "" {
					all[title+"/"+p.Title+"/"+q.RefID] = q.Query
				}
			}
		}
		for _, a := range d.Annotations.List {
			if a.Query != "" {
				all[title+"/annotation "+a.Name] = a.Query
			}
		}
		for _, v := range d.Templating.List {
			if strings.HasPrefix(v.Definition, "SHOW") {
				all[title+"/variable "+v.Name] = v.Definition
			}
		}
	}
	return all
}

// view is what a person has chosen above a dashboard.
type view struct {
	from, to time.Time
	vin      string // one, several as (a|b), or .* for all
}

// fill puts values for variables, as Grafana's InfluxDB data source does.
func (v view) fill(query string) string {
	from, to := v.from.UnixMilli(), v.to.UnixMilli()
	interval := v.to.Sub(v.from) / 500 // a chart's width in pixels, roughly
	return strings.NewReplacer(
		"$timeFilter", fmt.Sprintf("time >= %dms and time <= %dms", from, to),
		"$__interval", fmt.Sprintf("%ds", max(1, int(interval.Seconds()))),
		"${__from}", fmt.Sprint(from), "${__to}", fmt.Sprint(to),
		"$vin", v.vin, "$descriptor", ".*", "$period", "1d",
	).Replace(query)
}
