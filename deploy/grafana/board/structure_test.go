package board

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// builtIns come with Grafana; "row" is no plugin.
var builtIns = []string{"stat", "timeseries", "table", "state-timeline", "geomap", "row"}

// read gives the dashboards as Grafana reads them: from the files.
func read(t *testing.T) map[string]*Dashboard {
	t.Helper()
	boards := make(map[string]*Dashboard)
	for name := range All() {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		d := &Dashboard{}
		if err := json.Unmarshal(data, d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		boards[name] = d
	}
	return boards
}

func TestDashboardsCanBeToldApart(t *testing.T) {
	uids, titles := map[string]string{}, map[string]string{}
	for name, d := range read(t) {
		if other := uids[d.UID]; other != "" {
			t.Errorf("%s and %s have the uid %s", name, other, d.UID)
		}
		if other := titles[d.Title]; other != "" {
			t.Errorf("%s and %s have the title %s", name, other, d.Title)
		}
		uids[d.UID], titles[d.Title] = name, name
		if len(d.UID) < 8 || len(d.UID) > 40 || d.Description == "" || d.SchemaVersion != schemaVersion || !slices.Contains(d.Tags, "cardata") {
			t.Errorf("%s: uid %q (8 to 40 characters), description %q, schema %d, tags %q", name, d.UID, d.Description, d.SchemaVersion, d.Tags)
		}
	}
}

func TestPanelsDoNotOverlap(t *testing.T) {
	for name, d := range read(t) {
		ids := map[int]bool{}
		taken := map[[2]int]string{}
		for _, p := range d.Panels {
			if ids[p.ID] {
				t.Errorf("%s: two panels have the id %d", name, p.ID)
			}
			ids[p.ID] = true
			g := p.GridPos
			if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
				t.Errorf("%s: %s lies at %+v", name, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: %s lies on %s", name, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}

func TestPanelsSayWhatTheyShow(t *testing.T) {
	for name, d := range read(t) {
		titles := map[string]bool{}
		for _, p := range d.Panels {
			if titles[p.Title] {
				t.Errorf("%s: two panels are called %s", name, p.Title)
			}
			titles[p.Title] = true
			if !slices.Contains(builtIns, p.Type) {
				t.Errorf("%s: %s is a %s, which does not come with Grafana", name, p.Title, p.Type)
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
				t.Errorf("%s: panel %d has title %q, description %q and %d queries", name, p.ID, p.Title, p.Description, len(p.Targets))
			}
			unit := p.FieldConfig.Defaults["unit"]
			if (p.Type == "stat" || p.Type == "timeseries") && unit == nil {
				t.Errorf("%s: %s has no unit", name, p.Title)
			}
		}
	}
}

// TestDataSourcesAreVariables lets the same file serve every installation.
func TestDataSourcesAreVariables(t *testing.T) {
	for name, d := range read(t) {
		allowed := map[source]bool{*influxSource(): true, *prometheusSource(): true}
		for _, p := range d.Panels {
			refs := map[string]bool{}
			for _, q := range p.Targets {
				if q.Datasource == nil || !allowed[*q.Datasource] {
					t.Errorf("%s: %s/%s asks %+v", name, p.Title, q.RefID, q.Datasource)
				}
				if refs[q.RefID] || q.RefID == "" {
					t.Errorf("%s: %s has two queries %q", name, p.Title, q.RefID)
				}
				refs[q.RefID] = true
				if (q.Query == "") == (q.Expr == "") {
					t.Errorf("%s: %s/%s must be InfluxQL or PromQL", name, p.Title, q.RefID)
				}
			}
		}
	}
}

// TestVariablesAreThere finds every $name of every query among the dashboard's
// variables and Grafana's own.
func TestVariablesAreThere(t *testing.T) {
	own := []string{"timeFilter", "__interval", "__rate_interval", "__range", "__from", "__to", "__field", "__value", "__url_time_range", "tag_vin", "tag_descriptor", "__all"}
	variable := regexp.MustCompile(`\$\{?([a-zA-Z_]\w*)`)
	for name, d := range read(t) {
		known := slices.Clone(own)
		for _, v := range d.Templating.List {
			known = append(known, v["name"].(string))
		}
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		used := map[string]bool{}
		for _, found := range variable.FindAllStringSubmatch(string(text), -1) {
			used[found[1]] = true
		}
		for u := range used {
			if !slices.Contains(known, u) {
				t.Errorf("%s uses $%s, which is no variable", name, u)
			}
		}
		for _, v := range d.Templating.List {
			if !used[v["name"].(string)] {
				t.Errorf("%s: variable %s is used by nothing", name, v["name"])
			}
		}
	}
}

func TestLinksStayWithinGrafana(t *testing.T) {
	boards := read(t)
	uids := map[string]bool{}
	for d := range maps.Values(boards) {
		uids[d.UID] = true
	}
	leads := regexp.MustCompile(`"/d/([^?"]+)`)
	for name, d := range boards {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "://") {
			t.Errorf("%s has an absolute URL", name)
		}
		for _, l := range leads.FindAllStringSubmatch(string(text), -1) {
			if !uids[l[1]] {
				t.Errorf("%s leads to dashboard %q, which is not there", name, l[1])
			}
		}
		if fmt.Sprint(d.Links[0]["tags"]) != "[cardata]" || d.Links[0]["keepTime"] != true {
			t.Errorf("%s does not lead to the others: %v", name, d.Links)
		}
	}
}

func TestGapsAreShadedEverywhere(t *testing.T) {
	for name, d := range read(t) {
		shaded := slices.ContainsFunc(d.Annotations.List, func(a object) bool {
			q, _ := a["query"].(string)
			return strings.Contains(q, `FROM "gap"`) && a["enable"] == true && a["timeEndColumn"] == "end"
		})
		if !shaded {
			t.Errorf("%s does not shade gaps", name)
		}
	}
}
