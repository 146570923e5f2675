package deploytest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestChartHoldsCopiesOfAlertsAndDashboards: a chart cannot reach files outside
// itself. `make chart-files` copies them.
func TestChartHoldsCopiesOfAlertsAndDashboards(t *testing.T) {
	for name, test := range map[string]struct{ original, copied string }{
		"alerts":     {root + "/deploy/alerts/*.rules.yaml", chart + "/files/alerts/*.yaml"},
		"dashboards": {root + "/deploy/grafana/dashboards/*.json", chart + "/files/dashboards/*.json"},
	} {
		t.Run(name, func(t *testing.T) {
			original, copied := contents(t, test.original), contents(t, test.copied)
			for file, want := range original {
				if got, ok := copied[file]; !ok || got != want {
					t.Errorf("the chart's %s is missing or another one: run `make chart-files`", file)
				}
			}
			for file := range copied {
				if _, ok := original[file]; !ok {
					t.Errorf("the chart's %s has no original: run `make chart-files`", file)
				}
			}
		})
	}
}

func contents(t *testing.T, pattern string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string, len(files))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(f)] = string(b)
	}
	return all
}

// alerts gives every alert of deploy/alerts.
func alerts(t *testing.T) []any {
	t.Helper()
	var all []any
	files, _ := filepath.Glob(root + "/deploy/alerts/*.rules.yaml")
	for _, f := range files {
		for _, group := range list(readYAML(t, f), "groups") {
			all = append(all, list(group, "rules")...)
		}
	}
	if len(all) == 0 {
		t.Fatal("no alerts")
	}
	return all
}

func TestEachAlertHasSeverityTextAndRunbook(t *testing.T) {
	anchors := headings(t, root+"/docs/operations.md")
	for _, a := range alerts(t) {
		name := text(a, "alert")
		switch text(a, "labels", "severity") {
		case "critical", "warning", "info":
		default:
			t.Errorf("%s: severity %q", name, text(a, "labels", "severity"))
		}
		if text(a, "annotations", "summary") == "" || text(a, "annotations", "description") == "" {
			t.Errorf("%s has no summary or no description", name)
		}
		file, anchor, _ := strings.Cut(text(a, "annotations", "runbook_url"), "#")
		if file != "docs/operations.md" || !anchors[anchor] {
			t.Errorf("%s: %s has no heading #%s", name, file, anchor)
		}
	}
}

// headings gives the anchors of a document's headings, as GitHub makes them.
func headings(t *testing.T, path string) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	anchors := make(map[string]bool)
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(string(b), -1) {
		anchors[strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return anchors
}
