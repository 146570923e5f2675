package influx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

func TestQueryGivesTypedColumnsByName(t *testing.T) {
	const answer = `{"results":[{"statement_id":0,"series":[{"name":"reading","tags":{"vin":"V1"},"columns":["time","number","text","bool","big"],` +
		`"values":[[1780315200123456789,1.5,null,null,9007199254740993],[1780315200123456790,null,"a \"b\" é\n",false,null]],"partial":true}],"partial":true}]}
{"results":[{"statement_id":0,"series":[{"name":"reading","tags":{"vin":"V2"},"columns":["time","number"],"values":[[-1,-2e3]]}]}]}
`
	var got []string
	err := clientOver(t, answering(200, nil, answer)).Query(t.Context(), "q", func(r influx.Row) error {
		n, nOK := r.Float("number")
		s, sOK := r.Text("text")
		b, bOK := r.Bool("bool")
		i, iOK := r.Int("big")
		got = append(got, fmt.Sprint(r.Measurement(), r.Tag("vin"), r.Time(), n, nOK, s, sOK, b, bOK, i, iOK, len(r.Columns())))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		fmt.Sprint("reading", "V1", 1780315200123456789, 1.5, true, "", false, false, false, 9007199254740993, true, 5),
		fmt.Sprint("reading", "V1", 1780315200123456790, 0.0, false, "a \"b\" é\n", true, false, true, 0, false, 5),
		fmt.Sprint("reading", "V2", -1, -2000.0, true, "", false, false, false, 0, false, 2),
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rows =\n%v, want\n%v", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestQueryFaultsAreToldAndNeverLookLikeTheEnd(t *testing.T) {
	const row = `{"results":[{"statement_id":0,"series":[{"name":"m","columns":["time"],"values":[[1]]}]`
	tests := map[string]struct {
		status int
		body   string
		query  bool // a *QueryError
		text   string
	}{
		"status of 1.8":              {400, `{"error":"error parsing query"}`, true, "error parsing query"},
		"status of 2.x":              {401, `{"code":"unauthorized","message":"unauthorized access"}`, true, "unauthorized access"},
		"error of a statement":       {200, `{"results":[{"statement_id":0,"error":"database not found: x"}]}`, true, "database not found"},
		"error of the whole":         {200, `{"error":"timeout"}`, true, "timeout"},
		"error after rows":           {200, row + `}]}` + "\n" + `{"results":[{"statement_id":0,"error":"query killed"}]}`, true, "query killed"},
		"torn in a row":              {200, row[:len(row)-4], false, "EOF"},
		"torn between documents":     {200, row + `,"partial":true}]}` + "\n", false, "EOF"},
		"nothing at all":             {200, "", false, "EOF"},
		"a page of a proxy":          {200, "<html></html>", false, ""},
		"values where names must be": {200, `{"results":[{"series":[{"columns":[1]}]}]}`, false, "text should be"},
		"more values than columns":   {200, `{"results":[{"series":[{"columns":["time"],"values":[[1,2]]}]}]}`, false, "differ in number"},
		"a value instead of a row":   {200, `{"results":[{"series":[{"columns":["time"],"values":[1]}]}]}`, false, "row"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := clientOver(t, answering(tt.status, nil, tt.body)).Query(t.Context(), "q", func(influx.Row) error { return nil })
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("Query = %v, want an error with %q", err, tt.text)
			}
			if _, ok := errors.AsType[*influx.QueryError](err); ok != tt.query {
				t.Errorf("Query = %v, is a *QueryError: %v, want %v", err, ok, tt.query)
			}
		})
	}
}

func TestQueryEndsWithTheCallersError(t *testing.T) {
	stop := errors.New("enough")
	c := clientOver(t, answering(200, nil, `{"results":[{"series":[{"name":"m","columns":["time"],"values":[[1],[2]]}]}]}`))
	n := 0
	err := c.Query(t.Context(), "q", func(influx.Row) error { n++; return stop })
	if err != stop || n != 1 { //nolint:errorlint // the very error
		t.Errorf("Query = %v after %d rows, want the caller's error after 1", err, n)
	}
}

func TestQueryEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	body, w := io.Pipe()
	c := clientOver(t, roundTrip(func(r *http.Request) (*http.Response, error) {
		context.AfterFunc(r.Context(), func() { w.CloseWithError(r.Context().Err()) })
		return &http.Response{StatusCode: http.StatusOK, Body: body}, nil
	}))
	go io.WriteString(w, `{"results":[{"series":[{"name":"m","columns":["time"],"values":[[1],`)
	err := c.Query(ctx, "q", func(influx.Row) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Query = %v, want context.Canceled", err)
	}
}

func TestQueryStreamsManyChunks(t *testing.T) {
	eachRealServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		c := newClient(t, tg.cfg)
		const n = 30_000 // exactly three chunks of 10,000
		var batch []schema.Reading
		for i := range n {
			batch = append(batch, number("key", noon.Add(time.Duration(i)*time.Millisecond), float64(i)))
		}
		if err := influx.NewReadingSink(c).Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{
			"SELECT number FROM reading", "SELECT number FROM reading GROUP BY *",
			fmt.Sprintf("SELECT number FROM reading WHERE vin = %s AND time >= %d", influx.QuoteText(string(vinA)), noon.UnixNano()),
		} {
			next := 0
			err := c.Query(t.Context(), q, func(r influx.Row) error {
				v, _ := r.Float("number")
				if int(v) != next || r.Time() != batch[next].Time.UnixNano() {
					return fmt.Errorf("row %d = %v at %d", next, v, r.Time())
				}
				next++
				return nil
			})
			if err != nil || next != n {
				t.Errorf("%s: %d rows, %v; want %d", q, next, err, n)
			}
		}
		err := c.Query(t.Context(), "SELECT nothing sensible", func(influx.Row) error { return nil })
		if _, ok := errors.AsType[*influx.QueryError](err); !ok {
			t.Errorf("Query of nonsense = %v, want a *QueryError", err)
		}
	})
}

func BenchmarkQuery(b *testing.B) {
	const rows = 10_000
	var doc strings.Builder
	doc.WriteString(`{"results":[{"statement_id":0,"series":[{"name":"reading","columns":["time","bool","descriptor","number","text","vin"],"values":[`)
	for i := range rows {
		if i > 0 {
			doc.WriteByte(',')
		}
		fmt.Fprintf(&doc, `[%d,null,"vehicle.powertrain.electric.battery.stateOfCharge.displayed",%d.5,null,"WBY00000000000001"]`, noon.UnixNano()+int64(i), i)
	}
	doc.WriteString("]}]}]}\n")
	c, err := influx.New(influx.Config{URL: "http://influx.test", Bucket: "cardata", HTTPClient: &http.Client{Transport: answering(200, nil, doc.String())}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(doc.Len()))
	for b.Loop() {
		n := 0
		err := c.Query(b.Context(), "q", func(r influx.Row) error {
			if _, ok := r.Float("number"); ok && r.Time() != 0 {
				n++
			}
			_, _ = r.TextBytes("vin")
			return nil
		})
		if err != nil || n != rows {
			b.Fatalf("%d rows, %v", n, err)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
