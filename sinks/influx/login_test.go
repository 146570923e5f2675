package influx_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles/tlstest"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// securely serves h with TLS; clients need a certificate if mutual.
func securely(t *testing.T, a *tlstest.Authority, mutual bool, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = a.Serving(mutual, time.Hour)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestServersAreReachedByTheirOwnAuthority(t *testing.T) {
	t.Parallel()
	a, other := tlstest.New(t), tlstest.New(t)
	certFile, keyFile := a.Issue("client", 3, time.Hour)
	for name, c := range map[string]struct {
		mutual bool
		cfg    influx.Config
		want   string // of the error; empty: all well
	}{
		"own authority":       {false, influx.Config{CAFile: a.File}, ""},
		"another authority":   {false, influx.Config{CAFile: other.File}, "CARDATA_INFLUX_CA_FILE does not hold"},
		"the system's":        {false, influx.Config{}, "name the server's authority by CARDATA_INFLUX_CA_FILE"},
		"with a certificate":  {true, influx.Config{CAFile: a.File, CertFile: certFile, KeyFile: keyFile}, ""},
		"without one":         {true, influx.Config{CAFile: a.File}, "CARDATA_INFLUX_CERT_FILE"},
		"no such file":        {false, influx.Config{CAFile: "/none"}, "CARDATA_INFLUX_CA_FILE"},
		"a key and no more":   {false, influx.Config{KeyFile: keyFile}, "CARDATA_INFLUX_CERT_FILE"},
		"user and token":      {false, influx.Config{CAFile: a.File, Token: "t", User: "u", Password: "hidden-one"}, "CARDATA_INFLUX_USER"},
		"password alone":      {false, influx.Config{CAFile: a.File, Password: "hidden-one"}, "CARDATA_INFLUX_USER"},
		"user alone":          {false, influx.Config{CAFile: a.File, User: "u"}, "CARDATA_INFLUX_PASSWORD"},
		"user and a password": {false, influx.Config{CAFile: a.File, User: "u", Password: "hidden-one"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Bucket = "cardata"
			c.cfg.URL = securely(t, a, c.mutual, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
			client, err := influx.New(c.cfg)
			if err == nil {
				defer client.Close()
				err = client.Ping(t.Context())
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hidden-one") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// Users of 2.x are known to the addresses of 1.x alone.
func TestUsersWriteByTheAddressesOf1(t *testing.T) {
	t.Parallel()
	for bucket, query := range map[string]string{"cardata": "db=cardata", "cardata/year": "db=cardata&rp=year"} {
		got := ""
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			got = r.URL.Path + "?" + r.URL.RawQuery + " " + user + " " + password
			w.WriteHeader(http.StatusNoContent)
		}))
		defer srv.Close()
		client := newClient(t, influx.Config{URL: srv.URL, Bucket: bucket, User: "pipe", Password: "hidden"})
		if err := client.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := "/write?" + query + " pipe hidden"; got != want {
			t.Errorf("%s: got %s, want %s", bucket, got, want)
		}
	}
}

// parts gives what SetUp did as "name: state" lines.
func parts(t *testing.T, c *influx.Client, want influx.Layout) string {
	t.Helper()
	list, err := c.SetUp(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, 0, len(list))
	for _, p := range list {
		lines = append(lines, p.Name+": "+p.State)
	}
	return strings.Join(lines, ", ")
}

func TestSetUpOfARealOneCreatesOnceAndChangesNothing(t *testing.T) {
	url, token, _ := strings.Cut(realServer(t, "CARDATA_TEST_INFLUX1"), ",")
	cfg := influx.Config{URL: url, Token: pipeline.Secret(token), Bucket: "setup_test"}
	c := newClient(t, cfg)
	t.Cleanup(func() {
		drop := newClient(t, cfg)
		_ = drop.Query(context.WithoutCancel(t.Context()), "DROP DATABASE setup_test", func(influx.Row) error { return nil })
	})
	named := cfg
	named.Bucket = "setup_test/year"
	year := newClient(t, named)
	for i, step := range []struct {
		client *influx.Client
		layout influx.Layout
		want   string
	}{
		{c, influx.Layout{DryRun: true}, "database setup_test: missing"},
		{c, influx.Layout{Retention: 48 * time.Hour}, "database setup_test: created"},
		{c, influx.Layout{Retention: 48 * time.Hour}, "database setup_test: present, retention policy autogen: present"},
		{c, influx.Layout{}, "database setup_test: present, retention policy autogen: differs"},
		{year, influx.Layout{DryRun: true}, "database setup_test: present, retention policy year: missing"},
		{year, influx.Layout{Retention: 8760 * time.Hour}, "database setup_test: present, retention policy year: created"},
		{year, influx.Layout{Retention: 8760 * time.Hour}, "database setup_test: present, retention policy year: present"},
	} {
		if got := parts(t, step.client, step.layout); got != step.want {
			t.Errorf("step %d: got %s, want %s", i, got, step.want)
		}
	}
	for _, client := range []*influx.Client{c, year} {
		if err := client.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestSetUpOfARealTwoCreatesOnceAndChangesNothing(t *testing.T) {
	url, token, _ := strings.Cut(realServer(t, "CARDATA_TEST_INFLUX2"), ",")
	var orgs struct{ Orgs []struct{ ID, Name string } }
	call2(t, http.MethodGet, url+"/api/v2/orgs", token, "", &orgs)
	cfg := influx.Config{URL: url, Token: pipeline.Secret(token), Org: orgs.Orgs[0].Name, Bucket: "setup_test"}
	c := newClient(t, cfg)
	t.Cleanup(func() {
		var got struct{ Buckets []struct{ ID string } }
		call2(t, http.MethodGet, url+"/api/v2/buckets?name=setup_test", token, "", &got)
		for _, b := range got.Buckets {
			call2(t, http.MethodDelete, url+"/api/v2/buckets/"+b.ID, token, "", nil)
		}
	})
	setUpTwo(t, c)
	if err := c.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func setUpTwo(t *testing.T, c *influx.Client) {
	t.Helper()
	for i, step := range []struct {
		layout influx.Layout
		want   string
	}{
		{influx.Layout{DryRun: true}, "bucket setup_test: missing, mapping of database setup_test: missing"},
		{influx.Layout{Retention: 48 * time.Hour}, "bucket setup_test: created, mapping of database setup_test: created"},
		{influx.Layout{Retention: 48 * time.Hour}, "bucket setup_test: present, mapping of database setup_test: present"},
		{influx.Layout{}, "bucket setup_test: differs, mapping of database setup_test: present"},
	} {
		if got := parts(t, c, step.layout); got != step.want {
			t.Errorf("step %d: got %s, want %s", i, got, step.want)
		}
	}
}

// A 2.x of a few lines: what it was asked to create it has.
func TestSetUpOfTwoCreatesOnceAndChangesNothing(t *testing.T) {
	t.Parallel()
	var buckets, mappings []map[string]any
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.Header().Set("X-Influxdb-Version", "v2.7.12")
		var answer any
		switch r.Method + " " + r.URL.Path {
		case "GET /ping":
			w.WriteHeader(http.StatusNoContent)
			return
		case "GET /api/v2/orgs":
			answer = map[string]any{"orgs": []any{map[string]any{"id": "o1", "name": r.URL.Query().Get("org")}}}
		case "GET /api/v2/buckets":
			answer = map[string]any{"buckets": buckets}
		case "GET /api/v2/dbrps":
			virtual := map[string]any{"bucketID": "b1", "database": "setup_test", "retention_policy": "autogen", "default": true, "virtual": true}
			answer = map[string]any{"content": append(mappings, virtual)}
		case "POST /api/v2/buckets":
			body["id"], answer = "b1", body
			buckets = append(buckets, body)
		case "POST /api/v2/dbrps":
			answer, mappings = body, append(mappings, body)
		default:
			http.Error(w, r.URL.Path, http.StatusTeapot)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer srv.Close()
	setUpTwo(t, newClient(t, influx.Config{URL: srv.URL, Token: "operator", Org: "fleet", Bucket: "setup_test"}))
	if len(buckets) != 1 || buckets[0]["orgID"] != "o1" || len(mappings) != 1 || mappings[0]["bucketID"] != "b1" || mappings[0]["default"] != true {
		t.Errorf("created %v and %v", buckets, mappings)
	}
}
