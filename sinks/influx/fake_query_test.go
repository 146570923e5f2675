package influx_test

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What the fakes know of InfluxQL: the statements that the package reads with.
// Answers are in the form asked for, one document for each series and chunk.

var (
	fakeWhere   = regexp.MustCompile(`("?\w+"?) = '((?:[^'\\]|\\.)*)'`)
	fakeFrom    = regexp.MustCompile(`time >= (-?\d+)`)
	fakeTo      = regexp.MustCompile(`time < (-?\d+)`)
	fakeSource  = regexp.MustCompile(`FROM "?(\w+)"?`)
	fakeColumns = regexp.MustCompile(`^SELECT (.*?) FROM`)
	fakeGroup   = regexp.MustCompile(`GROUP BY (\w+)`)
	fakeKey     = regexp.MustCompile(`WITH KEY = (\w+)`)
)

type fakeSeries struct {
	tag, value string // of GROUP BY
	columns    []string
	rows       [][]any
}

// read answers statements that read points; false when it knows one of them not.
func (f *fakeInflux) read(w http.ResponseWriter, r *http.Request) bool {
	form := appendJSON
	if r.Header.Get("Accept") == "application/x-msgpack" && !f.jsonOnly {
		form = appendPacked
		w.Header().Set("Content-Type", "application/x-msgpack")
	} else {
		w.Header().Set("Content-Type", "application/json")
	}
	f.queries = append(f.queries, r.FormValue("q"))
	var answer []byte
	for id, q := range splitStatements(r.FormValue("q")) {
		series, known := f.statement(q)
		if !known {
			return false
		}
		chunk := cmp.Or(f.chunk, 10_000)
		var parts []fakeSeries
		for _, s := range series {
			for rows := range slices.Chunk(s.rows, chunk) {
				parts = append(parts, fakeSeries{s.tag, s.value, s.columns, rows})
			}
		}
		if len(parts) == 0 {
			answer = form(answer, id, nil, false)
		}
		for i := range parts {
			answer = form(answer, id, &parts[i], i < len(parts)-1)
		}
	}
	w.Write(answer)
	return true
}

func splitStatements(q string) (all []string) {
	from, quoted := 0, false
	for i := 0; i < len(q); i++ {
		switch {
		case q[i] == '\\':
			i++
		case q[i] == '\'':
			quoted = !quoted
		case q[i] == ';' && !quoted:
			all, from = append(all, q[from:i]), i+1
		}
	}
	if from < len(q) {
		all = append(all, q[from:])
	}
	return all
}

func (f *fakeInflux) statement(q string) ([]fakeSeries, bool) {
	source := fakeSource.FindStringSubmatch(q)
	if source == nil {
		return nil, false
	}
	points := f.matching(q, source[1])
	if f.listless && strings.HasPrefix(q, "SHOW TAG VALUES") {
		return nil, false
	}
	if key := fakeKey.FindStringSubmatch(q); key != nil {
		seen := map[string]bool{}
		for _, p := range points {
			seen[p.tags[key[1]]] = true
		}
		s := fakeSeries{columns: []string{"key", "value"}}
		for _, v := range sortedKeys(seen) {
			s.rows = append(s.rows, []any{key[1], v})
		}
		return []fakeSeries{s}, true
	}
	columns := fakeColumns.FindStringSubmatch(q)
	if columns == nil || strings.Contains(columns[1], "(") || columns[1] == "*" {
		return nil, false
	}
	names := strings.Split(columns[1], ", ")
	group := ""
	if g := fakeGroup.FindStringSubmatch(q); g != nil {
		group = g[1]
	}
	return grouped(points, group, names), true
}

func grouped(points []point, group string, names []string) (all []fakeSeries) {
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.tags[group], b.tags[group]), cmp.Compare(a.time, b.time))
	})
	for _, p := range points {
		row, has := []any{p.time}, false
		for _, name := range names {
			v := p.fields[name]
			has = has || v != nil
			row = append(row, v)
		}
		if !has {
			continue
		}
		if n := len(all); n == 0 || all[n-1].value != p.tags[group] {
			all = append(all, fakeSeries{group, p.tags[group], append([]string{"time"}, names...), nil})
		}
		last := &all[len(all)-1]
		last.rows = append(last.rows, row)
	}
	return all
}

func sortedKeys(m map[string]bool) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (f *fakeInflux) matching(q, measurement string) (found []point) {
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if m := fakeFrom.FindStringSubmatch(q); m != nil {
		from, _ = strconv.ParseInt(m[1], 10, 64)
	}
	if m := fakeTo.FindStringSubmatch(q); m != nil {
		to, _ = strconv.ParseInt(m[1], 10, 64)
	}
	tags := map[string]string{}
	for _, m := range fakeWhere.FindAllStringSubmatch(q, -1) {
		tags[strings.Trim(m[1], `"`)] = strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\n`, "\n").Replace(m[2])
	}
	for _, p := range f.points {
		fits := p.measurement == measurement && p.time >= from && p.time < to
		for name, v := range tags {
			fits = fits && p.tags[name] == v
		}
		if fits {
			found = append(found, p)
		}
	}
	return found
}

func appendJSON(b []byte, id int, s *fakeSeries, more bool) []byte {
	result := map[string]any{}
	if s != nil {
		series := map[string]any{"name": "m", "columns": s.columns, "values": s.rows}
		if s.tag != "" {
			series["tags"] = map[string]string{s.tag: s.value}
		}
		result["series"] = []any{series}
	}
	if more {
		result["partial"] = true
	}
	doc, _ := json.Marshal(map[string]any{"results": []any{result}})
	// Both servers put these two in this order.
	text := strings.Replace(string(doc), `{"results":[{`, fmt.Sprintf(`{"results":[{"statement_id":%d,`, id), 1)
	return append(append(b, strings.Replace(text, ",}]}", "}]}", 1)...), '\n')
}

// appendPacked writes what the packing writer of 1.8 and 2.7 writes.
func appendPacked(b []byte, id int, s *fakeSeries, more bool) []byte {
	b = append(b, 0x81)
	b = packText(b, "results")
	b = append(b, 0x91, 0x82)
	if more {
		b[len(b)-1]++
	}
	b = packText(b, "statement_id")
	b = packInt(b, int64(id))
	b = packText(b, "series")
	if s == nil {
		return append(b, 0x90)
	}
	b = append(b, 0x91, 0x83)
	if s.tag != "" {
		b[len(b)-1]++
	}
	b = packText(packText(b, "name"), "reading")
	if s.tag != "" {
		b = append(packText(b, "tags"), 0x81)
		b = packText(packText(b, s.tag), s.value)
	}
	b = append(packText(b, "columns"), 0x90|byte(len(s.columns)))
	for _, c := range s.columns {
		b = packText(b, c)
	}
	b = append(packText(b, "values"), 0xdc)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.rows)))
	for _, row := range s.rows {
		b = append(b, 0x90|byte(len(row)))
		for _, v := range row {
			b = packAny(b, v)
		}
	}
	if more {
		b = append(packText(b, "partial"), 0xc3)
	}
	return b
}

func packAny(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, 0xc0)
	case bool:
		if v {
			return append(b, 0xc3)
		}
		return append(b, 0xc2)
	case int64:
		return packInt(b, v)
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(v))
	case string:
		return packText(b, v)
	}
	panic(fmt.Sprintf("BUG: %T", v))
}

func packInt(b []byte, v int64) []byte {
	if v >= 0 && v < 128 {
		return append(b, byte(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
}

func packText(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n < 256:
		b = append(b, 0xd9, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}
