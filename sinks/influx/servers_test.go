package influx_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// A target is one InfluxDB with an empty database: a fake or a real one.
type target struct {
	cfg  influx.Config
	fake *fakeInflux // nil when real
}

// eachServer runs f against the fakes, and against the real servers that
// CARDATA_TEST_INFLUX1 (URL, or
// URL,user:password of an administrator) and CARDATA_TEST_INFLUX2 (URL,token) name.
func eachServer(t *testing.T, f func(t *testing.T, newTarget func(t *testing.T) target)) {
	t.Helper()
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("fake %d", version), func(t *testing.T) {
			f(t, func(t *testing.T) target {
				t.Helper()
				fake := newFake(version)
				return target{fakeConfig(fake.serve(t)), fake}
			})
		})
	}
	eachRealServer(t, f)
}

func eachRealServer(t *testing.T, f func(t *testing.T, newTarget func(t *testing.T) target)) {
	t.Helper()
	t.Run("real 1", func(t *testing.T) {
		url, token, _ := strings.Cut(realServer(t, "CARDATA_TEST_INFLUX1"), ",")
		f(t, func(t *testing.T) target { t.Helper(); return newDatabase1(t, url, token) })
	})
	t.Run("real 2", func(t *testing.T) {
		url, token, _ := strings.Cut(realServer(t, "CARDATA_TEST_INFLUX2"), ",")
		f(t, func(t *testing.T) target { t.Helper(); return newBucket2(t, url, token) })
	})
}

func serverOf(t *testing.T, variable string) (url, token string) {
	t.Helper()
	url, token, _ = strings.Cut(realServer(t, variable), ",")
	return url, token
}

func realServer(t *testing.T, variable string) string {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" && required(strings.ToLower(strings.TrimPrefix(variable, "CARDATA_TEST_"))) {
		t.Fatalf("%s must name a server", variable)
	}
	if v == "" {
		t.Skipf("%s is not set", variable)
	}
	return v
}

// required tells whether CARDATA_TEST_REQUIRE demands a server: 1 demands all.
func required(server string) bool {
	list := strings.Split(os.Getenv("CARDATA_TEST_REQUIRE"), ",")
	return slices.Contains(list, "1") || slices.Contains(list, server)
}

func fakeConfig(srv *httptest.Server) influx.Config {
	return influx.Config{URL: srv.URL, Token: "test-token", Org: "test", Bucket: "cardata"}
}

// The name of each test's own database.
var databases atomic.Int64

func newDatabase1(t *testing.T, url, token string) target {
	t.Helper()
	cfg := influx.Config{URL: url, Token: pipeline.Secret(token), Bucket: fmt.Sprintf("test%d_%d", os.Getpid(), databases.Add(1))}
	c := newClient(t, cfg)
	if err := c.EnsureDatabase(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		drop := newClient(t, cfg)
		_ = drop.Query(context.WithoutCancel(t.Context()), "DROP DATABASE "+influx.QuoteIdent(cfg.Bucket), func(influx.Row) error { return nil })
	})
	return target{cfg: cfg}
}

// newBucket2 names the bucket database/retention-policy, which /query maps by
// name.
func newBucket2(t *testing.T, url, token string) target {
	t.Helper()
	var orgs struct{ Orgs []struct{ ID, Name string } }
	call2(t, http.MethodGet, url+"/api/v2/orgs", token, "", &orgs)
	if len(orgs.Orgs) == 0 {
		t.Fatal("influxdb 2 has no organisation")
	}
	cfg := influx.Config{
		URL: url, Token: pipeline.Secret(token), Org: orgs.Orgs[0].Name,
		Bucket: fmt.Sprintf("test%d_%d/autogen", os.Getpid(), databases.Add(1)),
	}
	var made struct{ ID string }
	call2(t, http.MethodPost, url+"/api/v2/buckets", token, fmt.Sprintf(`{"orgID":%q,"name":%q}`, orgs.Orgs[0].ID, cfg.Bucket), &made)
	t.Cleanup(func() { call2(t, http.MethodDelete, url+"/api/v2/buckets/"+made.ID, token, "", nil) })
	return target{cfg: cfg}
}

func call2(t *testing.T, method, url, token, body string, into any) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+token)
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s: %s", method, url, resp.Status, answer)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			t.Fatal(err)
		}
	}
}

func newClient(t *testing.T, cfg influx.Config) *influx.Client {
	t.Helper()
	c, err := influx.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// values gives the fields of every point of a measurement, keyed by
// "tag,tag,… time" with the tags in the order asked for.
func (tg target) values(t *testing.T, measurement string, tags, fields []string) map[string]map[string]any {
	t.Helper()
	found := map[string]map[string]any{}
	if tg.fake != nil {
		for _, p := range tg.fake.all(measurement) {
			key := ""
			for _, tag := range tags {
				key += p.tags[tag] + ","
			}
			found[fmt.Sprint(key, " ", p.time)] = p.fields
		}
		return found
	}
	quoted := ""
	for _, name := range append(append([]string{}, tags...), fields...) {
		quoted += "," + influx.QuoteIdent(name)
	}
	err := newClient(t, tg.cfg).Query(t.Context(), "SELECT "+quoted[1:]+" FROM "+influx.QuoteIdent(measurement), func(r influx.Row) error {
		key := ""
		for _, tag := range tags {
			v, _ := r.Text(tag)
			key += v + ","
		}
		got := map[string]any{}
		for _, name := range fields {
			if v := anyOf(r, name); v != nil {
				got[name] = v
			}
		}
		found[fmt.Sprint(key, " ", r.Time())] = got
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func anyOf(r influx.Row, column string) any {
	if v, ok := r.Text(column); ok {
		return v
	}
	if v, ok := r.Bool(column); ok {
		return v
	}
	if v, ok := r.Float(column); ok {
		return v
	}
	return nil
}

const (
	vinA  schema.VIN  = "WBY00000000000001"
	vinB  schema.VIN  = "WBY00000000000002"
	gcidA schema.GCID = "00000000-0000-4000-8000-000000000001"
)

// noon is a fixed moment well inside a UTC day and every retention of the tests.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 123456789, time.UTC)

func number(d schema.Descriptor, at time.Time, v float64) schema.Reading {
	return schema.Reading{VIN: vinA, Descriptor: d, Time: at, Value: schema.Value{Kind: schema.KindNumber, Number: v}}
}

func text(d schema.Descriptor, at time.Time, v string) schema.Reading {
	return schema.Reading{VIN: vinA, Descriptor: d, Time: at, Value: schema.Value{Kind: schema.KindText, Text: v}}
}

func readingKey(r schema.Reading) string {
	return fmt.Sprint(r.VIN, ",", r.Descriptor, ", ", r.Time.UnixNano())
}

func (tg target) readings(t *testing.T) map[string]map[string]any {
	t.Helper()
	return tg.values(t, "reading", []string{"vin", "descriptor"}, []string{"number", "bool", "text", "absent"})
}

// fieldsOf gives what a reading must look like in the store.
func fieldsOf(r schema.Reading) map[string]any {
	switch r.Value.Kind {
	case schema.KindNumber:
		return map[string]any{"number": r.Value.Number}
	case schema.KindBool:
		return map[string]any{"bool": r.Value.Bool}
	case schema.KindText:
		return map[string]any{"text": r.Value.Text}
	case schema.KindNull:
	}
	return map[string]any{"absent": true}
}

// longDescriptor makes a line that no InfluxDB takes: keys end at 64 KiB.
func longDescriptor(word string) schema.Descriptor {
	return schema.Descriptor(word + strings.Repeat("x", 70_000))
}
