package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	carVIN = schema.VIN("WBY00000000000001")
	nobody = "127.0.0.1:1" // where nobody listens
)

// world is what all tests of the package share: making keys and logging in is slow.
type world struct {
	sim   *simulator.Simulator
	gcid  schema.GCID
	token []byte // the account's file
}

// theWorld starts the simulator and logs in once.
var theWorld = sync.OnceValues(func() (*world, error) {
	sim, err := simulator.Start(context.Background(), simulator.Config{
		Seed: 1, Accounts: 1, Cars: 1, AutoApprove: true, PollInterval: time.Second, ConnectsPerMinute: -1,
		Faults: simulator.Faults{ReconnectRefusal: -1},
	})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "doctor-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cfg := login.Config{ClientID: sim.ClientID(), BaseURL: sim.OAuthURL(), TokenDir: filepath.Join(dir, "tokens"), CAFile: sim.CAFile()}
	if err := login.Run(context.Background(), cfg, io.Discard); err != nil {
		return nil, err
	}
	stores, err := auth.Stores(cfg.TokenDir)
	if err != nil || len(stores) != 1 {
		return nil, fmt.Errorf("%d accounts, %w", len(stores), err)
	}
	set, err := stores[0].Load()
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(stores[0].Path())
	return &world{sim: sim, gcid: set.GCID, token: token}, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if w, err := theWorld(); err == nil {
		w.sim.Close()
	}
	os.Exit(code) //nolint:forbidigo // TestMain's way out
}

// site is a healthy installation, in which a test plants a fault.
type site struct {
	*world

	t       *testing.T
	cfg     Config
	cluster *kfake.Cluster
	rest    atomic.Pointer[http.HandlerFunc] // of the REST API
	influx  atomic.Pointer[http.HandlerFunc] // of InfluxDB's writes
	seen    atomic.Pointer[string]           // last reading of the car, as InfluxQL's answer
	marked  atomic.Pointer[string]           // its day's mark, likewise
	calls   atomic.Int64                     // of the REST API
}

func newSite(t *testing.T) *site {
	t.Helper()
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{world: w, t: t}
	w.sim.SetFaults(simulator.Faults{ReconnectRefusal: -1})
	t.Cleanup(func() { w.sim.SetFaults(simulator.Faults{ReconnectRefusal: -1}) })

	s.cfg = Config{
		TokenDir: filepath.Join(t.TempDir(), "tokens"), DataDir: t.TempDir(), OauthURL: w.sim.OAuthURL(), MQTTAddr: w.sim.MQTTAddr(),
		CAFile: w.sim.CAFile(), IngestURL: "http://" + nobody, TopicPrefix: "cardata.", InfluxBucket: "cardata",
		Listen: 100 * time.Millisecond, Timeout: 5 * time.Second,
		freeBytes: func(string) (uint64, error) { return 100 << 30, nil },
	}
	if err := os.Mkdir(s.cfg.TokenDir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.write(s.tokenFile(), w.token)

	s.answer(http.StatusOK, `[{"vin":"`+string(carVIN)+`","mappedSince":"2024-05-01T10:00:00.000Z","mappingType":"PRIMARY"}]`)
	s.cfg.RESTURL = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			s.calls.Add(1)
		}
		(*s.rest.Load())(w, r)
	})
	s.takeWrites(http.StatusNoContent, "")
	s.lastReading(time.Now().Add(-time.Hour))
	s.marked.Store(new(`{"results":[{"statement_id":0}]}`))
	s.cfg.InfluxURL = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/query") {
			text := s.seen.Load()
			if strings.Contains(r.FormValue("q"), `"day"`) {
				text = s.marked.Load()
			}
			_, _ = io.WriteString(w, *text)
			return
		}
		(*s.influx.Load())(w, r)
	})
	s.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topicNames(pipeline.TopicsFor("cardata."))...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.cluster.Close)
	s.cfg.KafkaBrokers = s.cluster.ListenAddrs()
	return s
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func (s *site) tokenFile() string { return auth.StorePath(s.cfg.TokenDir, s.gcid) }

func (s *site) write(file string, b []byte) {
	s.t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// changeToken edits fields of the account's file.
func (s *site) changeToken(fields map[string]any) {
	s.t.Helper()
	var all map[string]any
	if err := json.Unmarshal(s.token, &all); err != nil {
		s.t.Fatal(err)
	}
	maps.Copy(all, fields)
	b, err := json.Marshal(all)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(s.tokenFile(), b)
}

// renewed makes the login as old as given; the access token still lives.
func (s *site) renewed(ago time.Duration) {
	s.changeToken(map[string]any{"refresh_expires": time.Now().Add(14*24*time.Hour - ago)})
}

func (s *site) answer(status int, body string) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	s.rest.Store(&h)
}

func (s *site) takeWrites(status int, body string) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	s.influx.Store(&h)
}

// lastReading is of the car's freshness; the zero time is none.
func (s *site) lastReading(at time.Time) {
	body := `{"results":[{"statement_id":0}]}`
	if !at.IsZero() {
		body = fmt.Sprintf(`{"results":[{"series":[{"name":"freshness","tags":{"vin":%q},"columns":["time","last"],"values":[[%d,7]]}]}]}`,
			carVIN, at.UnixNano())
	}
	s.seen.Store(&body)
}

// ingestSays puts an ingest with these checks in place.
func (s *site) ingestSays(checks map[string]string) {
	s.cfg.IngestURL = serve(s.t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": false, "checks": checks})
	})
}

// coverageSays writes ingest's snapshot of the account.
func (s *site) coverageSays(state string) {
	s.t.Helper()
	s.write(filepath.Join(s.cfg.DataDir, "coverage.json"), fmt.Appendf(nil, `{"number":7,"accounts":{%q:%s}}`, s.gcid, state))
}

func (s *site) quota() *rest.Quota {
	return rest.OpenQuota(rest.QuotaPath(s.cfg.TokenDir, s.gcid), rest.QuotaConfig{})
}

func (s *site) run() Report {
	s.t.Helper()
	report, err := Run(s.t.Context(), s.cfg, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}
