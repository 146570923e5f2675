package dashboards

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded/influxproc"
)

// store is one InfluxDB, asked as Grafana asks it.
type store struct {
	name, url, token, org string
	database              string // of this test alone
	group                 string // of the sink that fills it
}

// stores gives the embedded InfluxDB, and the real ones that
// CARDATA_TEST_INFLUX1 (URL or URL,user:password) and CARDATA_TEST_INFLUX2
// (URL,token; CARDATA_TEST_INFLUX2_ORG) name.
func stores(t *testing.T, dir string) []*store {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "influxdb.log"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := influxproc.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	server, err := influxproc.Start(program, filepath.Join(dir, "influxdb"), "127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(); _ = log.Close() })
	all := []*store{{name: "embedded 1.8", url: server.URL()}}
	for _, v := range []string{"CARDATA_TEST_INFLUX1", "CARDATA_TEST_INFLUX2"} {
		if at, token, _ := strings.Cut(os.Getenv(v), ","); at != "" {
			all = append(all, &store{name: v, url: at, token: token})
		} else if require := strings.Split(os.Getenv("CARDATA_TEST_REQUIRE"), ","); slices.Contains(require, "1") ||
			slices.Contains(require, strings.ToLower(strings.TrimPrefix(v, "CARDATA_TEST_"))) {
			t.Fatalf("%s is not set but required", v)
		}
	}
	for i, s := range all {
		s.database = "dashboards_" + strconv.FormatInt(time.Now().UnixNano(), 36)
		s.group = "dashboards-" + strconv.Itoa(i)
		if s.name == "CARDATA_TEST_INFLUX2" {
			s.org = os.Getenv("CARDATA_TEST_INFLUX2_ORG")
			s.makeBucket(t)
		}
	}
	return all
}

// makeBucket makes a bucket of 2.x, which maps the database of its name to itself.
func (s *store) makeBucket(t *testing.T) {
	t.Helper()
	var orgs struct{ Orgs []struct{ ID string } }
	s.call(t, http.MethodGet, "/api/v2/orgs?org="+url.QueryEscape(s.org), "", &orgs)
	if len(orgs.Orgs) == 0 {
		t.Fatalf("%s has no organisation %q", s.name, s.org)
	}
	var made struct{ ID string }
	s.call(t, http.MethodPost, "/api/v2/buckets", fmt.Sprintf(`{"orgID":%q,"name":%q,"retentionRules":[]}`, orgs.Orgs[0].ID, s.database), &made)
	s.call(t, http.MethodPost, "/api/v2/dbrps", fmt.Sprintf(
		`{"orgID":%q,"bucketID":%q,"database":%q,"retention_policy":"autogen","default":true}`, orgs.Orgs[0].ID, made.ID, s.database), nil)
	t.Cleanup(func() {
		req, _ := http.NewRequest(http.MethodDelete, s.url+"/api/v2/buckets/"+made.ID, http.NoBody)
		s.authorize(req)
		if resp, err := http.DefaultClient.Do(req); err == nil { //nolint:forbidigo // of a test
			_ = resp.Body.Close()
		}
	})
}

func (s *store) authorize(req *http.Request) {
	if s.token != "" {
		req.Header.Set("Authorization", "Token "+s.token)
	}
}

// call speaks to the server and decodes its answer into "into".
func (s *store) call(t *testing.T, method, path, body string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	s.authorize(req)
	resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // of a test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		var said json.RawMessage
		_ = json.NewDecoder(resp.Body).Decode(&said)
		t.Fatalf("%s %s: status %d: %s", method, path, resp.StatusCode, said)
	}
	if into == nil {
		return
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}

// answer is one series of an answer to InfluxQL.
type answer struct {
	Name    string
	Tags    map[string]string
	Columns []string
	Values  [][]any
}

// ask runs one InfluxQL query and gives its series, or what the server said.
func (s *store) ask(t *testing.T, query string) ([]answer, error) {
	t.Helper()
	var got struct {
		Results []struct {
			Series []answer
			Error  string
		}
		Error string
	}
	s.call(t, http.MethodGet, "/query?"+url.Values{"db": {s.database}, "epoch": {"ms"}, "q": {query}}.Encode(), "", &got)
	if got.Error != "" {
		return nil, fmt.Errorf("server: %s", got.Error)
	}
	var all []answer
	for _, r := range got.Results {
		if r.Error != "" {
			return nil, fmt.Errorf("server: %s", r.Error)
		}
		all = append(all, r.Series...)
	}
	return all, nil
}

// ensurePositions writes positions from latitudes and the longitudes beside them
// where the sink has written none.
func (s *store) ensurePositions(t *testing.T) {
	t.Helper()
	if there, err := s.ask(t, `SELECT count("latitude") FROM "position"`); err != nil || len(there) > 0 {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	const location = "vehicle.cabin.infotainment.navigation.currentLocation."
	found, err := s.ask(t, `SELECT "number" FROM "reading" WHERE "descriptor" = '`+location+`latitude' OR "descriptor" = '`+location+`longitude' GROUP BY "vin", "descriptor"`)
	if err != nil {
		t.Fatal(err)
	}
	longitudes := map[string]any{}
	for _, a := range found {
		if strings.HasSuffix(a.Tags["descriptor"], "longitude") {
			longitudes[a.Tags["vin"]] = a.Values[0][1]
		}
	}
	var lines strings.Builder
	for _, a := range found {
		lon, known := longitudes[a.Tags["vin"]]
		if !known || !strings.HasSuffix(a.Tags["descriptor"], "latitude") {
			continue
		}
		for _, v := range a.Values {
			fmt.Fprintf(&lines, "position,vin=%s latitude=%v,longitude=%v,heading=90,altitude=500,apart_ms=0i,outlier=false %.0f\n", a.Tags["vin"], v[1], lon, v[0])
		}
	}
	s.call(t, http.MethodPost, "/api/v2/write?"+url.Values{"org": {s.org}, "bucket": {s.database}, "precision": {"ms"}}.Encode(), lines.String(), nil)
}
