package influx_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// scanned collects a scan as copies, and checks what holds for every block.
func scanned(t *testing.T, c *influx.Client, q influx.ReadingsQuery) []schema.Reading {
	t.Helper()
	var all []schema.Reading
	err := c.ScanReadings(t.Context(), q, func(b *schema.ReadingBlock) error {
		if b.Len() == 0 || b.Len() > influx.MaxBlockReadings || len(b.Values) != len(b.Times) {
			t.Errorf("block of %d times and %d values, want 1 to %d of both", len(b.Times), len(b.Values), influx.MaxBlockReadings)
		}
		for i, ns := range b.Times {
			all = append(all, schema.Reading{VIN: b.VIN, Descriptor: b.Descriptor, Time: time.Unix(0, ns).UTC(), Value: b.Values[i]})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func inOrder(a, b schema.Reading) int {
	return cmp.Or(cmp.Compare(a.VIN, b.VIN), cmp.Compare(a.Descriptor, b.Descriptor), a.Time.Compare(b.Time))
}

func wantScanned(t *testing.T, got, want []schema.Reading) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("scan gave %d readings, want %d", len(got), len(want))
	}
	for i := range want {
		if inOrder(got[i], want[i]) != 0 || got[i].Value != want[i].Value {
			t.Fatalf("scan gave as reading %d %.200q, want %.200q", i, fmt.Sprint(got[i]), fmt.Sprint(want[i]))
		}
	}
}

// mixed gives readings of three vehicles whose values are of every kind, in order.
func mixed(perSeries int) (all []schema.Reading) {
	for _, vin := range []schema.VIN{vinA, vinB, "WBY00000000000003"} {
		for _, d := range []schema.Descriptor{"a", "a b", "b.c", "ключ.😀", `q'"\,=`} {
			for i := range perSeries {
				r := number(d, noon.Add(time.Duration(i)*time.Second), float64(i)/8)
				switch i % 7 {
				case 3:
					r.Value = schema.Value{Kind: schema.KindBool, Bool: i%2 == 0}
				case 4:
					r.Value = schema.Value{Kind: schema.KindText, Text: []string{"CHARGING", "", "a,\"b\"\n"}[i%3]}
				case 5:
					r.Value = schema.Value{}
				}
				r.VIN = vin
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, inOrder)
	return all
}

func stored(t *testing.T, tg target, readings []schema.Reading) *influx.Client {
	t.Helper()
	c := newClient(t, tg.cfg)
	for batch := range slices.Chunk(readings, 5000) {
		if err := influx.NewReadingSink(c).Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestScanGivesReadingsInOrderAndAsStored(t *testing.T) {
	for name, perSeries := range map[string]int{"sparse": 20, "dense": 200} {
		t.Run(name, func(t *testing.T) {
			eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
				t.Helper()
				want := mixed(perSeries)
				c := stored(t, newTarget(t), want)
				for range 2 { // the second knows how long series are
					wantScanned(t, scanned(t, c, influx.ReadingsQuery{}), want)
				}
				wantScanned(t, scanned(t, c, influx.ReadingsQuery{VINs: []schema.VIN{vinB, "missing", vinA, vinB}, From: noon.Add(3 * time.Second), To: noon.Add(9 * time.Second)}),
					slices.DeleteFunc(slices.Clone(want), func(r schema.Reading) bool {
						s := r.Time.Sub(noon)
						return r.VIN != vinA && r.VIN != vinB || s < 3*time.Second || s >= 9*time.Second
					}))
				wantScanned(t, scanned(t, c, influx.ReadingsQuery{Descriptors: []schema.Descriptor{`q'"\,=`, "missing", "a b"}}),
					slices.DeleteFunc(slices.Clone(want), func(r schema.Reading) bool { return r.Descriptor != "a b" && r.Descriptor != `q'"\,=` }))
				if got := scanned(t, c, influx.ReadingsQuery{From: noon.Add(time.Hour)}); len(got) != 0 {
					t.Errorf("scan of an empty hour gave %d readings", len(got))
				}
			})
		})
	}
}

// A bucket of 2.x named database/policy, without a mapping of its own, can be
// queried but not listed.
func TestScanNeedsNoListOfTagValues(t *testing.T) {
	fake := newFake(2)
	fake.listless = true
	want := mixed(200)
	c := stored(t, target{fakeConfig(fake.serve(t)), fake}, want)
	for range 2 { // the second would ask for each series
		wantScanned(t, scanned(t, c, influx.ReadingsQuery{VINs: []schema.VIN{vinA, vinB}}), slices.DeleteFunc(slices.Clone(want), func(r schema.Reading) bool {
			return r.VIN != vinA && r.VIN != vinB
		}))
	}
}

func TestScanGivesHostileValuesByteForByte(t *testing.T) {
	var want []schema.Reading
	for i, v := range hostileTexts() {
		want = append(want, text("text", noon.Add(time.Duration(i)), v))
	}
	for i, v := range []float64{0, -0.5, 1, 1e21, -1e-21, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi, 1 << 53} {
		want = append(want, number("number", noon.Add(time.Duration(i)), v))
	}
	want = append(want,
		number("early", time.Date(2000, 1, 1, 0, 0, 0, 1, time.UTC), 1), number("late", time.Date(2099, 12, 31, 23, 59, 59, 999999999, time.UTC), 1))
	slices.SortFunc(want, inOrder)
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		wantScanned(t, scanned(t, stored(t, tg, want), influx.ReadingsQuery{}), want)
		if tg.fake != nil {
			tg.fake.jsonOnly = true
			wantScanned(t, scanned(t, newClient(t, tg.cfg), influx.ReadingsQuery{}), want)
		}
	})
}

func TestScanTakesTheFirstFieldOfAKeyByRule(t *testing.T) {
	kinds := []schema.Value{{Kind: schema.KindNumber, Number: 2.5}, {Kind: schema.KindBool, Bool: true}, {Kind: schema.KindText, Text: "x"}, {}}
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		c := newClient(t, newTarget(t).cfg)
		var want []schema.Reading
		for set := 1; set < 1<<len(kinds); set++ {
			r := number("key", noon.Add(time.Duration(set)*time.Hour), 0)
			first := true
			for i, v := range kinds {
				if set>>i&1 == 0 {
					continue
				}
				r.Value = v
				if err := influx.NewReadingSink(c).Write(t.Context(), []schema.Reading{r}); err != nil {
					t.Fatal(err)
				}
				if first {
					want, first = append(want, r), false
				}
			}
		}
		wantScanned(t, scanned(t, c, influx.ReadingsQuery{}), want)
	})
}

func TestScanBlocksAreBounded(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		var want []schema.Reading
		for i := range 2*influx.MaxBlockReadings + 1 {
			want = append(want, number("key", noon.Add(time.Duration(i)*time.Millisecond), float64(i)))
		}
		wantScanned(t, scanned(t, stored(t, newTarget(t), want), influx.ReadingsQuery{VINs: []schema.VIN{vinA}}), want)
	})
}

func TestScanPutsSeriesOfManyChunksTogether(t *testing.T) {
	fake := newFake(2)
	fake.chunk = 7
	want := mixed(200)
	c := stored(t, target{cfg: fakeConfig(fake.serve(t))}, want)
	blocks := 0
	for range 2 {
		blocks = 0
		if err := c.ScanReadings(t.Context(), influx.ReadingsQuery{}, func(*schema.ReadingBlock) error { blocks++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if blocks != 15 {
		t.Errorf("scan gave %d blocks, want one for each of 15 series", blocks)
	}
}

// Each cut of an answer, and each fault told in it, must be an error.
func TestScanNeverTakesATornAnswerForTheEnd(t *testing.T) {
	for _, jsonOnly := range []bool{false, true} {
		fake := newFake(1)
		fake.chunk, fake.jsonOnly = 3, jsonOnly
		srv := fake.serve(t)
		stored(t, target{cfg: fakeConfig(srv)}, mixed(8)[:20])
		var whole []byte
		var header http.Header
		cut := -1 // nothing
		cfg := fakeConfig(srv)
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := http.DefaultTransport.RoundTrip(r) //nolint:forbidigo // of a test
			if err != nil {
				return nil, err
			}
			defer resp.Body.Close()
			whole, _ = io.ReadAll(resp.Body)
			header = resp.Header
			body := whole
			if cut >= 0 {
				body = whole[:cut]
			}
			return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader(string(body)))}, nil
		})}
		c := newClient(t, cfg)
		q := influx.ReadingsQuery{VINs: []schema.VIN{vinA, vinB}, Descriptors: []schema.Descriptor{"a", "a b", "b.c", "z"}}
		all := len(scanned(t, c, q))
		full := len(whole)
		if all == 0 {
			t.Fatal("the whole answer gave nothing")
		}
		for cut = range full - 1 { // less the last line feed
			err := c.ScanReadings(t.Context(), q, func(*schema.ReadingBlock) error { return nil })
			if re, ok := errors.AsType[*influx.ReadError](err); !ok || re.Class != pipeline.Retryable {
				t.Fatalf("json %v: scan of %d of %d bytes = %v, want a retryable *ReadError", jsonOnly, cut, full, err)
			}
		}
	}
}

func TestScanFaultsHaveAClass(t *testing.T) {
	packed := func(s *fakeSeries, id int, more bool) string { return string(appendPacked(nil, id, s, more)) }
	row := func(cells ...any) *fakeSeries {
		return &fakeSeries{"descriptor", "d", []string{"time", "number", "bool", "text", "absent"}, [][]any{cells}}
	}
	told := func(text string) string {
		return string(packText(packText([]byte("\x81\xa7results\x91\x81"), "error"), text))
	}
	good := packed(row(int64(1), 1.0, nil, nil, nil), 0, true)
	tests := map[string]struct {
		status int
		body   string
		class  pipeline.Class
		text   string
	}{
		"refused, packed":            {401, string(packText(packText([]byte{0x81}, "error"), "authorization failed")), pipeline.Fatal, "authorization failed"},
		"refused, JSON":              {404, `{"code":"not found","message":"no bucket"}`, pipeline.Fatal, "404"},
		"server in trouble":          {503, "", pipeline.Retryable, "503"},
		"too many requests":          {429, "", pipeline.Retryable, "429"},
		"killed after rows":          {200, good + told("query killed"), pipeline.Retryable, "query killed"},
		"shut down after rows":       {200, good + told("query engine shutdown"), pipeline.Retryable, "shutdown"},
		"timeout after rows":         {200, good + told("query-timeout limit exceeded"), pipeline.Retryable, "timeout"},
		"limit of points":            {200, told("max-select-point limit exceeed: (5/1)"), pipeline.Fatal, "max-select-point"},
		"missing database":           {200, told("database not found: x"), pipeline.Fatal, "not found"},
		"more promised":              {200, good, pipeline.Retryable, "ends before"},
		"nothing":                    {200, "", pipeline.Retryable, "ends before"},
		"a statement left out":       {200, packed(nil, 1, false), pipeline.Retryable, "statement 1 where 0"},
		"a statement too many":       {200, packed(nil, 0, false) + packed(nil, 1, false), pipeline.Retryable, "statement 1"},
		"a page of a proxy":          {200, "<html></html>", pipeline.Retryable, "map should be"},
		"times go back":              {200, packed(&fakeSeries{"descriptor", "d", row().columns, [][]any{{int64(2), 1.0, nil, nil, nil}, {int64(2), 1.0, nil, nil, nil}}}, 0, false), pipeline.Retryable, "ascend"},
		"series go back":             {200, packed(&fakeSeries{"descriptor", "e", row().columns, row(int64(1), 1.0, nil, nil, nil).rows}, 0, true) + packed(row(int64(1), 1.0, nil, nil, nil), 0, false), pipeline.Retryable, "out of order"},
		"text where a number is due": {200, packed(row(int64(1), "x", nil, nil, nil), 0, false), pipeline.Retryable, "whole number should be"},
		"no field":                   {200, packed(row(int64(1), nil, nil, nil, nil), 0, false), pipeline.Retryable, "without a field"},
		"other columns":              {200, packed(&fakeSeries{"descriptor", "d", []string{"time", "text", "bool", "number", "absent"}, row(int64(1), 1.0, nil, nil, nil).rows}, 0, false), pipeline.Fatal, "columns"},
		"absurd length":              {200, "\x81\xdb\xff\xff\xff\xff", pipeline.Retryable, ""},
		"nested without end":         {200, "\x81\xa1x" + strings.Repeat("\x91", 1000), pipeline.Retryable, "nested"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := http.Header{"Content-Type": {"application/x-msgpack"}}
			c := clientOver(t, answering(tt.status, h, tt.body))
			err := c.ScanReadings(t.Context(), influx.ReadingsQuery{VINs: []schema.VIN{vinA}}, func(*schema.ReadingBlock) error { return nil })
			re, ok := errors.AsType[*influx.ReadError](err)
			if !ok || re.Class != tt.class || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("scan = %v (class %v), want class %v and %q", err, re, tt.class, tt.text)
			}
		})
	}
}

func TestScanEndsWithTheCallersError(t *testing.T) {
	c := stored(t, target{cfg: fakeConfig(newFake(1).serve(t))}, mixed(3))
	stop, n := errors.New("enough"), 0
	err := c.ScanReadings(t.Context(), influx.ReadingsQuery{}, func(*schema.ReadingBlock) error { n++; return stop })
	if err != stop || n != 1 { //nolint:errorlint // the very error
		t.Errorf("scan = %v after %d blocks, want the caller's error after 1", err, n)
	}
}
