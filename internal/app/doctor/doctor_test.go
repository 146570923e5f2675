package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

func TestAHealthySiteHasNoFindings(t *testing.T) {
	s := newSite(t)
	connects := s.sim.Stats.Connects.Load()
	report := s.run()
	for _, f := range report.Findings {
		if f.Level != OK && f.Step != stepIngest && (f.Step != stepData || f.Level != Skip) { // no ingest runs here
			t.Errorf("%+v", f)
		}
	}
	if exit.Code(report.Err()) != exit.Done {
		t.Errorf("Err = %v", report.Err())
	}
	if s.calls.Load() != 1 || s.sim.Stats.Connects.Load() != connects+1 {
		t.Errorf("spent %d calls and %d connections, want one each", s.calls.Load(), s.sim.Stats.Connects.Load()-connects)
	}
	order := []string{}
	for _, f := range report.Findings {
		if len(order) == 0 || order[len(order)-1] != f.Step {
			order = append(order, f.Step)
		}
	}
	want := "clock network tokens login scopes dynamic_scopes quota vehicles ingest stream data kafka influxdb disk"
	if got := strings.Join(order, " "); got != want {
		t.Errorf("steps %s, want %s", got, want)
	}
}

// TestDoctorFindsPlantedFaults plants one fault at a time in a healthy site.
func TestDoctorFindsPlantedFaults(t *testing.T) {
	const person, passing, none = exit.NeedsPerson, exit.Failed, exit.Done
	tests := map[string]struct {
		plant  func(s *site)
		step   string
		level  Level
		remedy string // part of it
		code   int
	}{
		"clock five minutes off": {func(s *site) {
			s.sim.SetFaults(simulator.Faults{ClockSkew: 5 * time.Minute, ReconnectRefusal: -1})
		}, stepClock, Fail, "NTP", person},
		"clock a minute off": {func(s *site) {
			s.sim.SetFaults(simulator.Faults{ClockSkew: -time.Minute, ReconnectRefusal: -1})
		}, stepClock, Warn, "NTP", none},
		"name does not resolve":              {func(s *site) { s.cfg.OauthURL = "https://oauth.invalid" }, stepNetwork, Fail, "DNS", passing},
		"stream's port is closed":            {func(s *site) { s.cfg.MQTTAddr = nobody }, stepNetwork, Fail, "9000", passing},
		"certificate of somebody else":       {func(s *site) { s.cfg.CAFile = "" }, stepNetwork, Fail, "CARDATA_CA_FILE", person},
		"stream behind a proxy with TLS 1.2": {func(s *site) { s.cfg.MQTTAddr = tls12(s.t) }, stepNetwork, Fail, "TLS 1.3", person},

		"never logged in": {func(s *site) { s.cfg.TokenDir = filepath.Join(s.t.TempDir(), "none") }, stepTokens, Fail, "cardata login", person},
		"empty folder":    {func(s *site) { s.cfg.TokenDir = s.t.TempDir() }, stepTokens, Fail, "cardata login", person},
		"token file open to others": {
			func(s *site) { must(s.t, os.Chmod(s.tokenFile(), 0o644)) },
			stepTokens, Fail, "chmod 600", person,
		},
		"token folder writable by all":  {func(s *site) { must(s.t, os.Chmod(s.cfg.TokenDir, 0o777)) }, stepTokens, Fail, "chmod o-w", person},
		"token folder readable by all":  {func(s *site) { must(s.t, os.Chmod(s.cfg.TokenDir, 0o755)) }, stepTokens, Warn, "chmod 700", none},
		"token file torn":               {func(s *site) { s.write(s.tokenFile(), s.token[:100]) }, stepTokens, Fail, "backup", person},
		"login not renewed for 8 days":  {func(s *site) { s.renewed(8 * 24 * time.Hour) }, stepTokens, Warn, "start ingest", none},
		"login not renewed for 12 days": {func(s *site) { s.renewed(12 * 24 * time.Hour) }, stepTokens, Fail, "start ingest", person},
		"login run out":                 {func(s *site) { s.renewed(15 * 24 * time.Hour) }, stepTokens, Fail, "cardata login", person},
		"login spent, as after a restored backup": {func(s *site) {
			s.changeToken(map[string]any{"expires": time.Now().Add(-time.Hour), "refresh_token": "spent"})
		}, stepLogin, Fail, "cardata login", person},
		"OAuth service down": {func(s *site) {
			s.changeToken(map[string]any{"expires": time.Now().Add(-time.Hour)})
			s.sim.SetFaults(simulator.Faults{ServerErrors: -1, ReconnectRefusal: -1})
		}, stepLogin, Fail, "try again", passing},

		"no API subscription": {func(s *site) {
			s.changeToken(map[string]any{"scope": "openid cardata:streaming:read"})
		}, stepScopes, Fail, "CarData API", person},
		"no stream subscription": {func(s *site) {
			s.changeToken(map[string]any{"scope": "openid cardata:api:read"})
		}, stepScopes, Fail, "CarData Stream", person},
		"no dynamic_scopes": {func(s *site) {
			s.changeToken(map[string]any{"id_token": "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"x"}`)) + ".x"})
		}, stepStreams, Fail, "CarData Stream", person},

		"quota spent": {func(s *site) { must(s.t, s.quota().Book(s.t.Context(), 49, rest.UseOwner)) }, stepQuota, Warn, "00:00 UTC", none},
		"another tool spends the quota": {
			func(s *site) { must(s.t, s.quota().Exhausted(s.t.Context())) },
			stepQuota, Warn, "another tool", none,
		},

		"SECONDARY car": {func(s *site) {
			s.answer(200, `{"vin":"WBY00000000000002","mappedSince":"2024-05-01T10:00:00.000Z","mappingType":"SECONDARY"}`)
		}, stepVehicles, Fail, "main user", person},
		"no car mapped": {func(s *site) { s.answer(200, `[]`) }, stepVehicles, Fail, "My BMW", person},
		"token without the API's scope": {func(s *site) {
			s.answer(403, `{"exveErrorId":"CU-103","exveErrorRef":"r","exveErrorMsg":"No permission","exveNote":""}`)
		}, stepVehicles, Fail, "portal", person},
		"BMW says the quota is spent": {func(s *site) {
			s.answer(403, `{"exveErrorId":"CU-429","exveErrorRef":"r","exveErrorMsg":"Quota exceeded","exveNote":""}`)
		}, stepVehicles, Warn, "00:00 UTC", none},
		"HTML in place of JSON": {func(s *site) { s.answer(503, `<html>maintenance</html>`) }, stepVehicles, Fail, "", passing},

		"stream taken by another client": {func(s *site) {
			s.cfg.Listen = 5 * time.Second
			stop := make(chan struct{})
			s.t.Cleanup(func() { close(stop) })
			go func() {
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						s.sim.Evict(s.gcid)
					}
				}
			}()
		}, stepStream, Fail, "one stream connection per account", person},
		"stream refuses": {func(s *site) {
			s.cfg.Timeout = 2 * time.Second
			s.sim.RefuseMQTT(3, 1)
		}, stepStream, Fail, "wait a minute", passing},

		"ingest's login lost":        {func(s *site) { s.ingestSays(checks("none of 1 accounts is subscribed: [login_needed]")) }, stepStream, Fail, "cardata login", person},
		"no data selection saved":    {func(s *site) { s.ingestSays(checks("none of 1 accounts is subscribed: [misconfigured]")) }, stepStream, Fail, "configure data stream", person},
		"ingest's journal is full":   {func(s *site) { s.ingestSays(map[string]string{"journal": "full", "stream": "ok"}) }, stepIngest, Fail, "CARDATA_JOURNAL_MAX_MIB", passing},
		"ingest cannot reach Kafka":  {func(s *site) { s.ingestSays(map[string]string{"kafka": "away", "stream": "ok"}) }, stepIngest, Fail, "start Kafka", passing},
		"another ingest since hours": {func(s *site) { s.coverageSays(`{"gap":{"start":"2026-01-01T00:00:00Z","cause":"evicted"},"vins":[]}`) }, stepData, Warn, "one stream connection", none},
		"connected but empty":        {func(s *site) { s.coverageSays(`{"subscribed":true,"since":"2026-01-01T00:00:00Z","vins":[]}`) }, stepData, Warn, "configure data stream", none},
		"no reading of the car":      {func(s *site) { s.lastReading(time.Time{}) }, stepData, Warn, "wake the car", none},
		"silent for weeks":           {func(s *site) { s.lastReading(time.Now().Add(-20 * 24 * time.Hour)) }, stepData, Warn, "wake the car", none},

		"Kafka away":                 {func(s *site) { s.cfg.KafkaBrokers, s.cfg.Timeout = []string{nobody}, 2*time.Second }, stepKafka, Fail, "start Kafka", passing},
		"topics missing":             {func(s *site) { s.cfg.TopicPrefix = "other." }, stepKafka, Warn, "Create on other.*", none},
		"access rules refuse topics": {func(s *site) { refuseTopics(s) }, stepKafka, Fail, "Describe", person},

		"InfluxDB refuses the token": {func(s *site) { s.takeWrites(401, `{"code":"unauthorized","message":"unauthorized access"}`) }, stepInflux, Fail, "CARDATA_INFLUX_TOKEN", person},
		"InfluxDB has no bucket":     {func(s *site) { s.takeWrites(404, `{"code":"not found","message":"bucket \"cardata\" not found"}`) }, stepInflux, Fail, "bucket create", person},
		"InfluxDB away":              {func(s *site) { s.cfg.InfluxURL, s.cfg.Timeout = "http://"+nobody, 2*time.Second }, stepInflux, Fail, "start InfluxDB", passing},
		"InfluxDB has an odd URL":    {func(s *site) { s.cfg.InfluxURL = "influx:8086" }, stepInflux, Fail, "CARDATA_INFLUX_URL", person},

		"disk nearly full": {func(s *site) { s.cfg.freeBytes = func(string) (uint64, error) { return 1 << 28, nil } }, stepDisk, Fail, "CARDATA_DATA_DIR", person},
		"disk filling up":  {func(s *site) { s.cfg.freeBytes = func(string) (uint64, error) { return 2 << 30, nil } }, stepDisk, Warn, "make room", none},

		"permits without their secret": {func(s *site) { s.cfg.PermitURL = "http://" + nobody }, stepTokens, Fail, "CARDATA_PERMIT_SECRET", person},
		"ingest of the cluster away": {func(s *site) {
			s.cfg.PermitURL, s.cfg.PermitSecret = "http://"+nobody, "a secret of good length"
		}, stepTokens, Fail, "CARDATA_PERMIT_URL", person},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			tt.plant(s)
			report := s.run()
			found := false
			for _, f := range report.Findings {
				found = found || f.Step == tt.step && f.Level == tt.level && strings.Contains(f.Remedy, tt.remedy) && f.Text != ""
			}
			if code := exit.Code(report.Err()); !found || code != tt.code {
				var b bytes.Buffer
				p := NewPrinter(&b)
				for _, f := range report.Findings {
					p.Say(f)
				}
				t.Errorf("want %s at %s with %q and exit %d, got exit %d and\n%s", tt.level, tt.step, tt.remedy, tt.code, code, b.String())
			}
		})
	}
}

func TestDoctorLeavesARunningIngestAlone(t *testing.T) {
	s := newSite(t)
	before := s.sim.Stats.Connects.Load()
	s.ingestSays(checks("ok"))
	report := s.run()
	if s.sim.Stats.Connects.Load() != before {
		t.Error("connected to the stream while ingest answers")
	}
	if exit.Code(report.Err()) != exit.Done {
		t.Errorf("Err = %v", report.Err())
	}

	s = newSite(t)
	lock := filepath.Join(s.cfg.DataDir, "journal", "lock")
	must(t, os.Mkdir(filepath.Dir(lock), 0o700))
	journal := flock.New(lock) // of the journal's kind
	if held, err := journal.TryLock(); err != nil || !held {
		t.Fatal(held, err)
	}
	defer journal.Close()
	s.run()
	if s.sim.Stats.Connects.Load() != before {
		t.Error("connected to the stream while the journal is held")
	}
	s.cfg.Connect = true
	s.run()
	if s.sim.Stats.Connects.Load() != before+1 {
		t.Error("--connect did not connect")
	}
}

func TestReadingsOfTheFirstMinuteAreSeen(t *testing.T) {
	s := newSite(t)
	s.lastReading(time.Time{})
	s.marked.Store(new(fmt.Sprintf(`{"results":[{"series":[{"name":"day","tags":{"vin":%q},"columns":["time","last"],"values":[[%d,%d]]}]}]}`,
		carVIN, time.Now().Truncate(24*time.Hour).UnixNano(), time.Now().UnixMilli())))
	for _, f := range s.run().Findings {
		if f.Step == stepData && f.Subject == string(carVIN) && f.Level != OK {
			t.Errorf("%+v", f)
		}
	}
}

func TestNoCallIsSpentOnAHostThatIsAway(t *testing.T) {
	s := newSite(t)
	s.cfg.RESTURL = "http://" + nobody
	s.run()
	if q, err := s.quota().Status(t.Context()); err != nil || q.Spent != 0 {
		t.Errorf("spent %d calls, %v", q.Spent, err)
	}
}

func TestNoCallsSpendsNone(t *testing.T) {
	s := newSite(t)
	s.cfg.NoCalls, s.cfg.Cars = true, true
	report := s.run()
	if s.calls.Load() != 0 {
		t.Errorf("spent %d calls", s.calls.Load())
	}
	for _, f := range report.Findings {
		if f.Step == stepVehicles && (f.Level != Skip || !strings.Contains(f.Remedy, "--no-calls")) {
			t.Errorf("%+v", f)
		}
	}
}

func TestCarsAreLookedAtOnRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		basic, remedy string
		level         Level
	}{
		"fine":           {`{"modelName":"i4","simStatus":"ACTIVE","countryCode":"DE"}`, "", OK},
		"SIM switched":   {`{"simStatus":"INACTIVE","countryCode":"DE"}`, "ConnectedDrive", Fail},
		"another market": {`{"simStatus":"ACTIVE","countryCode":"AU"}`, "EU", Warn},
		"a motorcycle":   {`{"simStatus":"ACTIVE","brand":"BMW Motorrad"}`, "REST", Warn},
		"refused":        {`{"exveErrorId":"CU-104","exveErrorRef":"r","exveErrorMsg":"No access","exveNote":""}`, "", Fail},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.cfg.Cars = true
			mappings := *s.rest.Load()
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/basicData") {
					mappings(w, r)
					return
				}
				if strings.Contains(tt.basic, "CU-") {
					w.WriteHeader(http.StatusForbidden)
				}
				_, _ = w.Write([]byte(tt.basic))
			})
			s.rest.Store(&h)
			var found bool
			for _, f := range s.run().Findings {
				found = found || f.Step == stepVehicles && f.Level == tt.level && strings.Contains(f.Remedy, tt.remedy)
			}
			if !found || s.calls.Load() != 2 {
				t.Errorf("not found, or %d calls instead of 2", s.calls.Load())
			}
		})
	}
}

func TestReportAsJSON(t *testing.T) {
	r := Report{Version: "1", At: time.Unix(0, 0).UTC(), Findings: []Finding{
		{Step: stepDisk, Level: Fail, Text: "full", Remedy: "make room", Person: true}, {Step: stepClock, Level: OK, Text: "good"},
	}}
	var b bytes.Buffer
	must(t, r.WriteJSON(&b))
	var back struct {
		Result   string
		Findings []Finding
	}
	must(t, json.Unmarshal(b.Bytes(), &back))
	if back.Result != "fail" || len(back.Findings) != 2 || back.Findings[0] != r.Findings[0] {
		t.Errorf("got %s", b.String())
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, s.cfg, nil); err == nil {
		t.Error("no error")
	}
}

func TestLookCostsNothing(t *testing.T) {
	s := newSite(t)
	s.coverageSays(`{"gap":{"start":"2026-01-01T00:00:00Z","cause":"crash"},"vins":["` + string(carVIN) + `"]}`)
	connects := s.sim.Stats.Connects.Load()
	o, err := Look(t.Context(), s.cfg)
	must(t, err)
	if len(o.Accounts) != 1 || o.Ingest != "" || len(o.Trouble) != 0 {
		t.Fatalf("got %+v", o)
	}
	a := o.Accounts[0]
	if a.Renewed == nil || a.Gap == nil || a.GapCause != "crash" || len(a.Cars) != 1 || a.Quota == nil || a.Quota.Left != 50 {
		t.Errorf("got %+v", a)
	}
	if strings.Contains(a.Account, string(s.gcid)) {
		t.Error("the whole account id shows")
	}
	if s.calls.Load() != 0 || s.sim.Stats.Connects.Load() != connects {
		t.Error("asked BMW")
	}
}

func checks(streamSays string) map[string]string {
	return map[string]string{"journal": "ok", "kafka": "ok", "stream": streamSays}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tls12 is a listener that knows nothing newer.
func tls12(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// refuseTopics answers as a cluster whose access rules hide the topics.
func refuseTopics(s *site) {
	host, port, err := net.SplitHostPort(s.cluster.ListenAddrs()[0])
	must(s.t, err)
	number, err := net.LookupPort("tcp", port)
	must(s.t, err)
	s.cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		ask := req.(*kmsg.MetadataRequest)
		res := ask.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host, broker.Port = host, int32(number)
		res.Brokers = append(res.Brokers, broker)
		for _, t := range ask.Topics {
			one := kmsg.NewMetadataResponseTopic()
			one.Topic, one.ErrorCode = t.Topic, 29 // TOPIC_AUTHORIZATION_FAILED
			res.Topics = append(res.Topics, one)
		}
		return res, nil, true
	})
}
