package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// restClient calls the Customer API with one account's token.
type restClient struct {
	tb    testing.TB
	s     *Simulator
	http  *http.Client
	token string
}

func newRESTClient(tb testing.TB, s *Simulator) *restClient {
	tb.Helper()
	set := login(tb, s, s.Accounts()[0])
	return &restClient{tb, s, httpClient(tb, s), set["access_token"].(string)}
}

type restAnswer struct {
	status int
	header http.Header
	text   []byte
	code   string // CU-nnn, empty when none
	err    error  // of the connection
}

func (a *restAnswer) into(tb testing.TB, v any) {
	tb.Helper()
	if err := json.Unmarshal(a.text, v); a.status >= 300 || a.err != nil || err != nil {
		tb.Fatalf("answer %d %v: %.300s: %v", a.status, a.err, a.text, err)
	}
}

// do makes a call; change may spoil the request.
func (c *restClient) do(method, path string, body any, change ...func(*http.Request)) restAnswer {
	c.tb.Helper()
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			c.tb.Fatal(err)
		}
		payload = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(c.tb.Context(), method, c.s.RESTURL()+path, payload)
	if err != nil {
		c.tb.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("x-version", "v1")
	r.Header.Set("Accept", "application/json")
	for _, f := range change {
		f(r)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return restAnswer{err: err}
	}
	defer res.Body.Close()
	a := restAnswer{status: res.StatusCode, header: res.Header}
	a.text, a.err = io.ReadAll(res.Body)
	var e restError
	if json.Unmarshal(a.text, &e) == nil {
		a.code = e.ID
		if e.ID != "" && (e.Ref == "" || e.Text == "" || e.Note == "") {
			c.tb.Errorf("%s %s: error body %s; want all four members", method, path, a.text)
		}
	}
	return a
}

func (c *restClient) get(path string) restAnswer {
	c.tb.Helper()
	return c.do(http.MethodGet, path, nil)
}

// container makes one of the keys given and gives its id.
func (c *restClient) container(keys ...schema.Descriptor) string {
	c.tb.Helper()
	var b containerBody
	a := c.do(http.MethodPost, "/customers/containers", createRequest{"test", "test", keys})
	a.into(c.tb, &b)
	return b.ID
}

func vinPath(vin schema.VIN, rest string) string {
	return "/customers/vehicles/" + string(vin) + "/" + rest
}

const anyCar = 0

func TestChecksComeInTheServicesOrder(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 2, Quota: 1000})
	c := newRESTClient(t, s)
	own, second := s.Accounts()[0].VINs[0], s.Accounts()[0].VINs[1]
	foreign := "WBA00000009999999"
	bad := func(header, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(header, value) }
	}
	s.SetFaults(Faults{NoAPI: true})
	noScope := login(t, s, s.Accounts()[0])["access_token"].(string)
	all := Faults{Secondary: []schema.VIN{second}}
	s.SetFaults(all)
	full := func() { s.Spend(s.Accounts()[0].GCID, 1000) }
	for name, row := range map[string]struct {
		path   string
		before func()
		change []func(*http.Request)
		status int
		code   string
		free   bool // not counted on the quota
	}{
		"a version is needed before a token": {
			path: vinPath("bad", "basicData"), change: []func(*http.Request){bad("x-version", ""), bad("Authorization", "")}, status: 400, code: "CU-400", free: true,
		},
		"another version is none":           {path: "/customers/vehicles/mappings", change: []func(*http.Request){bad("x-version", "v2")}, status: 400, code: "CU-400", free: true},
		"no token before the VIN":           {path: vinPath("bad", "basicData"), change: []func(*http.Request){bad("Authorization", "")}, status: 401, code: "CU-100", free: true},
		"a forged token":                    {path: "/customers/vehicles/mappings", change: []func(*http.Request){bad("Authorization", "Bearer "+c.token[:20]+"x"+c.token[21:])}, status: 401, code: "CU-101", free: true},
		"scope before quota":                {path: vinPath("bad", "basicData"), before: full, change: []func(*http.Request){bad("Authorization", "Bearer "+noScope)}, status: 403, code: "CU-103", free: true},
		"quota before the VIN":              {path: vinPath("bad", "basicData"), before: full, status: 403, code: "CU-429", free: true},
		"the VIN's form before its mapping": {path: vinPath("bad", "basicData"), status: 400, code: "CU-120"},
		"a foreign VIN":                     {path: vinPath(schema.VIN(foreign), "basicData"), status: 403, code: "CU-104"},
		"a secondary car":                   {path: vinPath(second, "basicData"), status: 403, code: "CU-104"},
		"mapping before the container's form": {
			path: vinPath(second, "telematicData?containerId=short"), status: 403, code: "CU-104",
		},
		"the container's form":      {path: vinPath(own, "telematicData?containerId=short"), status: 400, code: "CU-121"},
		"no container named":        {path: vinPath(own, "telematicData"), status: 400, code: "CU-121"},
		"the container's ownership": {path: vinPath(own, "telematicData?containerId=AAAAAAAAAAAA1"), status: 403, code: "CU-105"},
		"a range too long":          {path: vinPath(own, "chargingHistory?from=2026-01-01T00:00:00.000Z&to=2026-02-16T00:00:00.000Z"), status: 400, code: "CU-401"},
		"no range":                  {path: vinPath(own, "chargingHistory"), status: 400, code: "CU-400"},
		"no form of time":           {path: vinPath(own, "chargingHistory?from=yesterday&to=today"), status: 400, code: "CU-401"},
	} {
		t.Run(name, func(t *testing.T) {
			gcid := s.Accounts()[0].GCID
			s.ResetQuota(gcid)
			if row.before != nil {
				row.before()
			}
			spent := s.QuotaSpent(gcid)
			a := c.do(http.MethodGet, row.path, nil, row.change...)
			if a.status != row.status || a.code != row.code {
				t.Errorf("GET %s: %d %s, want %d %s; body %s", row.path, a.status, a.code, row.status, row.code, a.text)
			}
			if counted := s.QuotaSpent(gcid) - spent; counted != 1 && !row.free || counted != 0 && row.free {
				t.Errorf("counted %d on the quota, want it free: %v", counted, row.free)
			}
		})
	}
}

func TestTokensEnd(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 1})
	c := newRESTClient(t, s)
	const path = "/customers/vehicles/mappings"
	if a := c.get(path); a.status != http.StatusOK {
		t.Fatalf("good token: %d %s", a.status, a.text)
	}
	s.SetFaults(Faults{RESTTokenRefused: 1})
	if a := c.get(path); a.status != http.StatusUnauthorized || a.code != "CU-102" {
		t.Errorf("refused once: %d %s, want 401 CU-102", a.status, a.code)
	}
	if a := c.get(path); a.status != http.StatusOK {
		t.Errorf("after that: %d %s, want 200", a.status, a.code)
	}
	s.ExpireTokens(s.Accounts()[0].GCID)
	if a := c.get(path); a.status != http.StatusUnauthorized || a.code != "CU-101" {
		t.Errorf("voided token: %d %s, want 401 CU-101", a.status, a.code)
	}
	s.SetFaults(Faults{RESTGateway127: true})
	if a := c.get(path); a.status != http.StatusForbidden || a.code != "CU-127" || !strings.Contains(string(a.text), "invalid_token") {
		t.Errorf("voided token at the gateway: %d %s, want 403 CU-127 invalid_token", a.status, a.text)
	}
	s.SetFaults(Faults{TokenLife: time.Second})
	short := newRESTClient(t, s)
	eventually(t, "the token ends", func() bool { return short.get(path).code == "CU-102" })
}

func TestQuotaCountsEveryCallOfTheAccount(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 1, Dir: newDir(t)})
	gcid := s.Accounts()[0].GCID
	c := newRESTClient(t, s)
	for range 3 {
		c.get("/customers/vehicles/mappings")
	}
	c.get(vinPath("nonsense", "basicData"))
	s.SetFaults(Faults{RESTServerErrors: 1})
	if a := c.get("/customers/containers"); a.status != http.StatusInternalServerError || a.code != "CU-500" {
		t.Errorf("server error: %d %s", a.status, a.code)
	}
	s.Spend(gcid, 44)
	if n := s.QuotaSpent(gcid); n != 49 {
		t.Errorf("spent %d, want 3 good, 2 failed and 44 of another tool", n)
	}
	if a := c.get("/customers/vehicles/mappings"); a.status != http.StatusOK {
		t.Errorf("call 50: %d %s, want 200", a.status, a.code)
	}
	for range 2 {
		if a := c.get("/customers/vehicles/mappings"); a.status != http.StatusForbidden || a.code != "CU-429" {
			t.Errorf("call over 50: %d %s, want 403 CU-429", a.status, a.code)
		}
	}
	if got, want := fmt.Sprint(s.RESTCalls(gcid)), fmt.Sprint(map[string]int{opMappings: 4, opBasicData: 1, opListContainers: 1}); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	if s.Stats.RESTQuotaRefused.Load() != 2 || s.QuotaSpent(gcid) != 50 {
		t.Errorf("refused %d, spent %d; want 2 and 50", s.Stats.RESTQuotaRefused.Load(), s.QuotaSpent(gcid))
	}
	dir := s.cfg.Dir
	s.Close()
	again := startTest(t, Config{Seed: 1, Cars: 1, Dir: dir})
	if n := again.QuotaSpent(gcid); n != 50 {
		t.Errorf("after a restart %d spent, want 50", n)
	}
	again.ResetQuota(gcid)
	if n := again.QuotaSpent(gcid); n != 0 {
		t.Errorf("after a reset %d spent", n)
	}
}

func TestQuotaWindow(t *testing.T) {
	now := time.Date(2026, 3, 14, 0, 10, 0, 0, time.UTC)
	calls := []int64{now.Add(-25 * time.Hour).Unix(), now.Add(-24 * time.Hour).Unix(), now.Add(-23 * time.Hour).Unix(), now.Add(-time.Minute).Unix(), now.Unix()}
	if n := spentCalls(calls, now, false); n != 2 {
		t.Errorf("UTC day: %d, want the 2 since midnight", n)
	}
	if n := spentCalls(calls, now, true); n != 3 {
		t.Errorf("rolling: %d, want the 3 of less than 24 hours ago", n)
	}
	if n := len(recent(calls, now)); n != 3 {
		t.Errorf("kept %d, want 3", n)
	}
}

func TestMappings(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 3})
	c := newRESTClient(t, s)
	second := s.Accounts()[0].VINs[1]
	s.SetFaults(Faults{Secondary: []schema.VIN{second}})
	var list []mapping
	a := c.get("/customers/vehicles/mappings")
	a.into(t, &list)
	if len(list) != 3 {
		t.Fatalf("mappings %+v, want three", list)
	}
	for _, m := range list {
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", m.Since); err != nil {
			t.Errorf("mappedSince %q", m.Since)
		}
		if want := map[bool]string{true: "SECONDARY", false: "PRIMARY"}[m.VIN == second]; m.Type != want {
			t.Errorf("%s is %s, want %s", m.VIN, m.Type, want)
		}
	}
	s.SetFaults(Faults{RESTStrict: true})
	var one mapping
	a = c.get("/customers/vehicles/mappings")
	a.into(t, &one)
	if one.VIN != s.Accounts()[0].VINs[0] {
		t.Errorf("strict mapping %+v", one)
	}
}

func TestFactsOfEachModel(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 6})
	c := newRESTClient(t, s)
	for _, vin := range s.Accounts()[0].VINs {
		var b map[string]any
		a := c.get(vinPath(vin, "basicData"))
		a.into(t, &b)
		for _, name := range []string{"brand", "driveTrain", "modelName", "series", "headUnit", "colourDescription", "numberOfDoors", "constructionDate"} {
			if b[name] == nil || b[name] == "" {
				t.Errorf("%s: %s is missing", vin, name)
			}
		}
		if _, err := time.Parse("2006-01-02T15:04:05.000-0700", b["constructionDate"].(string)); err != nil {
			t.Error(err)
		}
		electric := b["driveTrain"] != "CONV"
		if capacity, ok := b["reessNominalCapacityGross"].(string); ok != electric {
			t.Errorf("%s: capacity %q in Ah with drive %v", vin, capacity, b["driveTrain"])
		}
		a = c.get(vinPath(vin, "image"))
		if _, err := png.Decode(bytes.NewReader(a.text)); a.header.Get("Content-Type") != "image/png" || err != nil {
			t.Errorf("image: %v", err)
		}
		var tyres struct {
			Car struct {
				Mounted, Unmounted map[string]any
			} `json:"passengerCar"`
		}
		a = c.get(vinPath(vin, "smartMaintenanceTyreDiagnosis"))
		a.into(t, &map[string]any{})
		if strings.Contains(strings.ReplaceAll(string(a.text), `"value"`, ""), `"passengerCar":{}`) {
			t.Errorf("tyres %+v", tyres)
		}
		a = c.get(vinPath(vin, "locationBasedChargingSettings"))
		if electric && a.status != http.StatusOK || !electric && (a.status != http.StatusNotFound || a.code != "CU-127") {
			t.Errorf("%s: settings %d %s", vin, a.status, a.code)
		}
	}
}

func TestSwitchesOfOneCar(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 1})
	c := newRESTClient(t, s)
	vin := s.Accounts()[0].VINs[anyCar]
	list := []schema.VIN{vin}
	s.SetFaults(Faults{NoImage: list, NoSettings: list, UnregisteredTyres: list})
	if a := c.get(vinPath(vin, "image")); a.status != http.StatusNotFound || a.code != "CU-126" {
		t.Errorf("no image: %d %s", a.status, a.code)
	}
	if a := c.get(vinPath(vin, "locationBasedChargingSettings")); a.status != http.StatusNotFound || a.code != "CU-127" {
		t.Errorf("no settings: %d %s", a.status, a.code)
	}
	if a := c.get(vinPath(vin, "smartMaintenanceTyreDiagnosis")); a.status != http.StatusOK || strings.Contains(string(a.text), `"value"`) {
		t.Errorf("unregistered tyres: %d %.200s; want captions and fillers alone", a.status, a.text)
	}
	s.SetFaults(Faults{NoTelematics: list})
	if a := c.get(vinPath(vin, "basicData")); a.code != "CU-104" {
		t.Errorf("not telematics capable: %s, want CU-104", a.code)
	}
	s.SetFaults(Faults{PageSize: 1})
	var page struct {
		Data []map[string]any `json:"data"`
		Next string           `json:"nextToken"`
	}
	a := c.get(vinPath(vin, "locationBasedChargingSettings"))
	a.into(t, &page)
	if len(page.Data) != 1 || page.Next == "" {
		t.Fatalf("settings page %+v", page)
	}
	first := page.Data[0]["id"]
	query := url.QueryEscape(page.Next)
	a = c.get(vinPath(vin, "locationBasedChargingSettings?nextToken="+query))
	page.Next = ""
	a.into(t, &page)
	if len(page.Data) != 1 || page.Next != "" || page.Data[0]["id"] == first {
		t.Errorf("last page %+v", page)
	}
}

func TestParallelCallsShareOneQuota(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 2})
	c := newRESTClient(t, s)
	id := c.container(mileageKey) // the first of the fifty
	var wg sync.WaitGroup
	var good, refused atomic.Int64
	for i := range 80 {
		wg.Go(func() {
			switch a := c.get(vinPath(s.Accounts()[0].VINs[i%2], "telematicData?containerId="+id)); {
			case a.status == http.StatusOK:
				good.Add(1)
			case a.code == "CU-429":
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if good.Load() != 49 || refused.Load() != 31 || s.QuotaSpent(s.Accounts()[0].GCID) != 50 {
		t.Errorf("%d answered, %d refused, %d spent; want 49, 31 and 50", good.Load(), refused.Load(), s.QuotaSpent(s.Accounts()[0].GCID))
	}
}

func BenchmarkLatest(b *testing.B) {
	s := startTest(b, Config{Seed: 1, Cars: 1})
	vin := s.Accounts()[0].VINs[anyCar]
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			clear(s.accounts[0].memories)
			s.Latest(vin)
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Latest(vin)
		}
	})
	b.Run("history", func(b *testing.B) {
		b.ReportAllocs()
		now := time.Now()
		for b.Loop() {
			s.Sessions(vin, now.AddDate(0, 0, -30), now)
		}
	})
}
