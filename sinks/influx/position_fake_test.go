package influx_test

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var selection = regexp.MustCompile(`^SELECT "number" FROM "reading" WHERE "vin" = '([^']*)' AND \("descriptor" = .*\) AND time >= (-?\d+) AND time < (\d+) GROUP BY "descriptor" LIMIT (\d+)$`)

// selectNumbers answers the look-up of positions from the points; f.mu is held.
func (f *fakeInflux) selectNumbers(q string) string {
	m := selection.FindStringSubmatch(q)
	if m == nil {
		return `{"results":[{"statement_id":0,"error":"error parsing query"}]}`
	}
	from, _ := strconv.ParseInt(m[2], 10, 64)
	until, _ := strconv.ParseInt(m[3], 10, 64)
	limit, _ := strconv.Atoi(m[4])
	type series struct {
		Name    string            `json:"name"`
		Tags    map[string]string `json:"tags"`
		Columns []string          `json:"columns"`
		Values  [][]any           `json:"values"`
	}
	found := map[string]*series{}
	for _, p := range f.points {
		d, number := p.tags["descriptor"], p.fields["number"]
		if p.measurement != "reading" || p.tags["vin"] != m[1] || number == nil || p.time < from || p.time >= until || !strings.Contains(q, `'`+d+`'`) {
			continue
		}
		if found[d] == nil {
			found[d] = &series{"reading", map[string]string{"descriptor": d}, []string{"time", "number"}, nil}
		}
		found[d].Values = append(found[d].Values, []any{p.time, number})
	}
	list := []*series{}
	for _, s := range found {
		slices.SortFunc(s.Values, func(a, b []any) int { return cmp.Compare(a[0].(int64), b[0].(int64)) })
		s.Values = s.Values[:min(limit, len(s.Values))]
		list = append(list, s)
	}
	answer, err := json.Marshal(map[string]any{"results": []any{map[string]any{"statement_id": 0, "series": list}}})
	if err != nil {
		return `{"results":[{"statement_id":0,"error":"` + err.Error() + `"}]}`
	}
	return string(answer)
}
