package simulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFaultyAnswers(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 1, Quota: 1000})
	c := newRESTClient(t, s)
	gcid := s.Accounts()[0].GCID
	for name, row := range map[string]struct {
		faults Faults
		want   func(a *restAnswer) bool
		stays  bool
	}{
		"HTML in place of JSON": {Faults{RESTHTML: 1}, func(a *restAnswer) bool {
			return a.status == http.StatusBadGateway && a.header.Get("Content-Type") == "text/html" && strings.Contains(string(a.text), "<html>")
		}, false},
		"HTML with a status of choice": {Faults{RESTHTML: 1, RESTHTMLStatus: http.StatusUnauthorized}, func(a *restAnswer) bool {
			return a.status == http.StatusUnauthorized && strings.Contains(string(a.text), "<html>")
		}, false},
		"the gateway's fault body": {Faults{RESTFaultBody: 1}, func(a *restAnswer) bool {
			return a.status == http.StatusInternalServerError && strings.Contains(string(a.text), `"faultstring"`)
		}, false},
		"a server error": {Faults{RESTServerErrors: 1}, func(a *restAnswer) bool { return a.status == http.StatusInternalServerError && a.code == "CU-500" }, false},
		"a partner system down": {Faults{RESTUnavailable: 1, RetryAfter: 7 * time.Second}, func(a *restAnswer) bool {
			return a.status == http.StatusServiceUnavailable && a.code == "CU-503" && a.header.Get("Retry-After") == "7"
		}, false},
		"a dropped connection": {Faults{RESTDropped: -1}, func(a *restAnswer) bool { return a.err != nil && a.status == 0 }, true},
		"a cut JSON text":      {Faults{RESTCut: 1}, func(a *restAnswer) bool { return a.status == http.StatusOK && a.err == nil && !json.Valid(a.text) }, false},
		"a truncated body":     {Faults{RESTTruncated: 1}, func(a *restAnswer) bool { return a.status == http.StatusOK && a.err != nil }, false},
		"a huge body": {Faults{RESTHugeBytes: 3 << 20}, func(a *restAnswer) bool {
			return a.status == http.StatusOK && len(a.text) > 3<<20 && json.Valid(a.text)
		}, true},
		"one member of another type": {Faults{RESTWrongType: "vin"}, func(a *restAnswer) bool { return strings.Contains(string(a.text), `"vin":12345`) }, true},
		"every scalar of another type": {Faults{RESTWrongType: "*"}, func(a *restAnswer) bool {
			return strings.Contains(string(a.text), `"mappedSince":12345`) && strings.HasPrefix(string(a.text), "[{")
		}, true},
		"a body of another type": {Faults{RESTWrongType: "."}, func(a *restAnswer) bool { return string(a.text) == `"wrong type"` }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s.SetFaults(row.faults)
			before := s.QuotaSpent(gcid)
			if a := c.get("/customers/vehicles/mappings"); !row.want(&a) {
				t.Errorf("answer %d %v %.200s", a.status, a.err, a.text)
			}
			counted := s.QuotaSpent(gcid) - before
			if counted < 1 || counted > 1 && !row.stays { // a client may try a dropped connection again
				t.Errorf("counted %d on the quota, want 1", counted)
			}
			if row.stays {
				return
			}
			if a := c.get("/customers/vehicles/mappings"); a.status != http.StatusOK || !json.Valid(a.text) {
				t.Errorf("the next answer: %d %v; want a good one", a.status, a.err)
			}
		})
	}
}

func TestAnswersAreHeldBack(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 1})
	c := newRESTClient(t, s)
	s.SetFaults(Faults{RESTDelay: time.Hour})
	c.http.Timeout = 50 * time.Millisecond
	if a := c.get("/customers/vehicles/mappings"); a.err == nil {
		t.Errorf("answered %d before its time", a.status)
	}
}

func TestStrictAnswersFollowTheDocument(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 3})
	c := newRESTClient(t, s)
	vin := s.Accounts()[0].VINs[2]
	s.SetFaults(Faults{RESTStrict: true})
	var b map[string]any
	a := c.get(vinPath(vin, "basicData"))
	a.into(t, &b)
	if b["vin"] != string(vin) || b["isTelematicsCapable"] != true || b["countryCodeISO"] == nil || b["countryCode"] != nil || b["seriesDevt"] != nil {
		t.Errorf("strict basicData %s", a.text)
	}
	id := c.container(everyKey(s)[1]...)
	if a = c.get(vinPath(vin, "telematicData?containerId="+id)); a.status != http.StatusOK || strings.Contains(string(a.text), `"unit":null`) || strings.Contains(string(a.text), `"value":null`) {
		t.Errorf("strict telematicData has nulls: %d", a.status)
	}
}
