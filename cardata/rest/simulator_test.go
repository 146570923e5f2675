package rest_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// site is a simulated BMW with one account, and a client as a program would put
// it together: tokens from auth, the quota in its file.
type site struct {
	*rest.Client
	bmw   *simulator.Simulator
	quota *rest.Quota
	gcid  schema.GCID
	cars  []schema.VIN
}

func newSite(t *testing.T, limit int, faults simulator.Faults) *site {
	t.Helper()
	bmw, err := simulator.Start(t.Context(), simulator.Config{
		Seed: 7, Accounts: 1, Cars: 3, AutoApprove: true, PollInterval: time.Second, Quota: limit, Faults: faults,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bmw.Close)
	pem, err := os.ReadFile(bmw.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	t.Cleanup(trusting.CloseIdleConnections)
	login, err := auth.New(auth.Config{BaseURL: bmw.OAuthURL(), ClientID: bmw.ClientID(), HTTPClient: trusting})
	if err != nil {
		t.Fatal(err)
	}
	set, err := login.Login(t.Context(), func(auth.Prompt) {})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store := auth.OpenStore(auth.StorePath(dir, set.GCID))
	if err := store.Save(set); err != nil {
		t.Fatal(err)
	}
	source, err := auth.NewSource(login, store, auth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	quota := rest.OpenQuota(rest.QuotaPath(filepath.Dir(store.Path()), set.GCID), rest.QuotaConfig{Limit: max(limit, 50), Reserve: -1})
	c, err := rest.New(rest.Config{BaseURL: bmw.RESTURL(), HTTPClient: trusting}, source, quota)
	if err != nil {
		t.Fatal(err)
	}
	return &site{Client: c, bmw: bmw, quota: quota, gcid: set.GCID, cars: bmw.Accounts()[0].VINs}
}

func (s *site) wantSameCount(t *testing.T) {
	t.Helper()
	status, err := s.quota.Status(t.Context())
	if err != nil || status.Spent != s.bmw.QuotaSpent(s.gcid) {
		t.Errorf("%d calls counted, the service counted %d: %v", status.Spent, s.bmw.QuotaSpent(s.gcid), err)
	}
}

func kindOf(err error) any {
	if e, ok := errors.AsType[*rest.Error](err); ok {
		return e.Kind
	}
	return err
}

// electric gives the first car that charged, with its sessions as they were.
func (s *site) electric(t *testing.T, from, to time.Time) (schema.VIN, []cars.Session) {
	t.Helper()
	for _, vin := range s.cars {
		if truth := s.bmw.Sessions(vin, from, to); len(truth) > 10 {
			return vin, truth
		}
	}
	t.Fatal("no car charged more than ten times")
	return "", nil
}

func TestEveryEndpointOfTheSimulator(t *testing.T) {
	for name, faults := range map[string]simulator.Faults{
		"as the real service answers": {}, "as its document says": {RESTStrict: true},
		"with other forms": {SessionTimesISO: true, SessionCosts: true, ContainerCreated200: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 0, faults)
			now := time.Now().UTC()
			from, to := now.AddDate(0, 0, -30), now.AddDate(0, 0, -1)
			mapped, err := s.Mappings(t.Context())
			if err != nil || len(mapped) == 0 || !mapped[0].Primary() || mapped[0].VIN != s.cars[0] {
				t.Fatalf("mappings = %v, %v", mapped, err)
			}
			vin, truth := s.electric(t, from, to)
			var sessions []rest.ChargingSession
			for page, err := range s.ChargingPages(t.Context(), vin, from, to, "") {
				if err != nil || len(page.Problems)+len(page.Rejected) != 0 {
					t.Fatalf("%v, problems %v", err, page.Problems)
				}
				sessions = append(sessions, page.Sessions...)
			}
			compareSessions(t, sessions, truth)
			data, err := s.BasicData(t.Context(), vin)
			if err != nil || data.DriveTrain == "" || data.ModelName == "" || len(data.Problems) != 0 {
				t.Errorf("basic data = %+v, %v", data, err)
			}
			tyres, err := s.TyreDiagnosis(t.Context(), vin)
			if err != nil || tyres.Mounted == nil || !tyres.Mounted.RearLeft.Registered || len(tyres.Problems) != 0 {
				t.Errorf("tyres = %+v, %v", tyres, err)
			}
			settings, err := s.LocationSettings(t.Context(), vin, "")
			if err != nil || len(settings.Settings) == 0 || len(settings.Problems) != 0 {
				t.Errorf("settings = %+v, %v", settings, err)
			}
			image, err := s.Image(t.Context(), vin)
			if err != nil || image.ContentType != "image/png" {
				t.Errorf("image = %s, %v", image.ContentType, err)
			}
			containers(t, s, vin)
			s.wantSameCount(t)
		})
	}
}

func containers(t *testing.T, s *site, vin schema.VIN) {
	t.Helper()
	keys := []schema.Descriptor{"vehicle.vehicle.travelledDistance", "vehicle.drivetrain.batteryManagement.header"}
	k, err := s.CreateContainer(t.Context(), "latest", "telemetry", keys)
	if err != nil || !k.Active() || !slices.Equal(k.Descriptors, keys) {
		t.Fatalf("created = %+v, %v", k, err)
	}
	body, err := s.Telematic(t.Context(), vin, k.ID)
	res := new(schema.Result)
	schema.NewNormalizer(schema.Default()).Telematic(res, schema.Input{GCID: s.gcid, VIN: vin, Payload: body})
	if err != nil || len(res.Faults) != 0 || len(res.Readings)+len(res.Skipped) != len(keys) {
		t.Errorf("telematic data = %s: %+v, %v", body, res, err)
	}
	if got, err := s.Container(t.Context(), k.ID); err != nil || !slices.Equal(got.Descriptors, keys) {
		t.Errorf("container = %+v, %v", got, err)
	}
	list, err := s.Containers(t.Context())
	if err != nil || !slices.ContainsFunc(list, func(c rest.Container) bool { return c.ID == k.ID && c.Active() }) {
		t.Errorf("containers = %+v, %v", list, err)
	}
	for range 2 { // the second finds it gone
		if err := s.DeleteContainer(t.Context(), k.ID); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := s.Telematic(t.Context(), vin, k.ID); kindOf(err) != rest.KindContainerGone {
		t.Errorf("telematic data of a deleted container: %v", err)
	}
	if _, err := s.CreateContainer(t.Context(), "x", "y", []schema.Descriptor{"vehicle.no.such.key"}); kindOf(err) != rest.KindUnknownKey {
		t.Errorf("unknown key: %v", err)
	}
}

func compareSessions(t *testing.T, got []rest.ChargingSession, want []cars.Session) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d sessions, want %d", len(got), len(want))
	}
	got = slices.Clone(got)
	slices.SortFunc(got, func(a, b rest.ChargingSession) int { return a.Start.Compare(b.Start) })
	for i, g := range got {
		w := want[i]
		same := g.Start.Equal(w.Start.Truncate(time.Second)) && g.End.Equal(w.End.Truncate(time.Second)) &&
			near(g.GridKWh, w.EnergyGridKWh, 1e-3) && near(g.StartSOC, w.StartSOC, 1) && near(g.EndSOC, w.EndSOC, 1) &&
			near(g.MileageKm(), w.MileageKm, 2) && len(g.Blocks) == len(w.Blocks) && g.TimeZone == w.TimeZone &&
			near(g.Place.Latitude, w.Latitude, 1e-3) && *g.Preconditioning == w.Preconditioned && len(g.Errors) == len(w.Errors)
		if !same || len(g.Problems) != 0 {
			t.Errorf("session %d = %+v\nwant %+v", i, g, w)
		}
	}
}

func near(got *float64, want, slack float64) bool {
	return got != nil && math.Abs(*got-want) <= slack
}

func TestFaultsOfTheSimulator(t *testing.T) {
	now := time.Now().UTC()
	from, to := now.AddDate(0, 0, -30), now.AddDate(0, 0, -1)
	tests := map[string]struct {
		faults func(vin schema.VIN) simulator.Faults
		want   any
		pages  int // given before the error
	}{
		"a web page":           {func(schema.VIN) simulator.Faults { return simulator.Faults{RESTHTML: 9} }, rest.KindTransient, 0},
		"a web page under 200": {func(schema.VIN) simulator.Faults { return simulator.Faults{RESTHTML: 9, RESTHTMLStatus: 200} }, rest.KindTransient, 0},
		"a fault body":         {func(schema.VIN) simulator.Faults { return simulator.Faults{RESTFaultBody: 9} }, rest.KindTransient, 0},
		"CU-500":               {func(schema.VIN) simulator.Faults { return simulator.Faults{RESTServerErrors: 9} }, rest.KindServer, 0},
		"CU-503": {func(schema.VIN) simulator.Faults {
			return simulator.Faults{RESTUnavailable: 9, RetryAfter: time.Minute}
		}, rest.KindTransient, 0},
		"no answer":              {func(schema.VIN) simulator.Faults { return simulator.Faults{RESTDropped: 9} }, rest.KindTransient, 0},
		"JSON cut in half":       {func(schema.VIN) simulator.Faults { return simulator.Faults{RESTCut: 9} }, rest.KindTransient, 0},
		"a body cut in half":     {func(schema.VIN) simulator.Faults { return simulator.Faults{RESTTruncated: 9} }, rest.KindTransient, 0},
		"100 MB":                 {func(schema.VIN) simulator.Faults { return simulator.Faults{RESTHugeBytes: 100 << 20} }, rest.KindProtocol, 0},
		"another type on top":    {func(schema.VIN) simulator.Faults { return simulator.Faults{RESTWrongType: "."} }, rest.KindProtocol, 0},
		"a SECONDARY car":        {func(v schema.VIN) simulator.Faults { return simulator.Faults{Secondary: []schema.VIN{v}} }, rest.KindVehicle, 0},
		"a page that fails":      {func(schema.VIN) simulator.Faults { return simulator.Faults{PageAlways500: 2} }, rest.KindServer, 1},
		"a token that repeats":   {func(schema.VIN) simulator.Faults { return simulator.Faults{PageTokenRepeats: true, PageSize: 3} }, rest.KindProtocol, 2},
		"a token that expired":   {func(schema.VIN) simulator.Faults { return simulator.Faults{PageTokenLife: time.Nanosecond} }, rest.KindPageExpired, 1},
		"another type in fields": {func(schema.VIN) simulator.Faults { return simulator.Faults{RESTWrongType: "mileage"} }, nil, 2},
	}
	s := newSite(t, 1000, simulator.Faults{})
	vin, _ := s.electric(t, from, to)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s.bmw.SetFaults(tc.faults(vin))
			pages := 0
			var last error
			for page, err := range s.ChargingPages(t.Context(), vin, from, to, "") {
				if len(page.Sessions) > 0 {
					pages++
				}
				if last = err; err != nil {
					break
				}
			}
			if kindOf(last) != tc.want || tc.want != nil && pages != tc.pages || pages < tc.pages {
				t.Errorf("%d pages, then %v; want %d, then %v", pages, last, tc.pages, tc.want)
			}
			if e, ok := errors.AsType[*rest.Error](last); ok && e.Remedy == "" {
				t.Errorf("%v has no remedy", last)
			}
		})
	}
	t.Run("nothing went uncounted", s.wantSameCount)
}

func TestARefusedTokenIsRenewedAtTheSimulator(t *testing.T) {
	for name, faults := range map[string]simulator.Faults{
		"by BMW": {RESTTokenRefused: 1}, "by the gateway": {RESTTokenRefused: 1, RESTGateway127: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 0, simulator.Faults{})
			if _, err := s.Mappings(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.bmw.SetFaults(faults)
			if list, err := s.Mappings(t.Context()); err != nil || len(list) == 0 {
				t.Errorf("mappings = %v, %v", list, err)
			}
			if n := s.Stats().RESTRenewals.Load(); n != 1 {
				t.Errorf("%d renewals, want 1", n)
			}
		})
	}
}

func TestAnotherToolSpendsTheQuota(t *testing.T) {
	s := newSite(t, 0, simulator.Faults{})
	if _, err := s.Mappings(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.bmw.Spend(s.gcid, 49)
	_, err := s.Mappings(t.Context())
	if kindOf(err) != rest.KindQuota {
		t.Fatalf("mappings: %v", err)
	}
	calls := s.Stats().RESTCalls.Load()
	_, err = s.WithUse(rest.UseOwner).Mappings(t.Context())
	if q, ok := errors.AsType[*rest.QuotaError](err); !ok || !q.Latched || s.Stats().RESTCalls.Load() != calls {
		t.Errorf("after CU-429: %v, %d calls", err, s.Stats().RESTCalls.Load()-calls)
	}
	if status, err := s.quota.Status(t.Context()); err != nil || status.Foreign != 48 {
		t.Errorf("status = %+v, %v", status, err)
	}
}
