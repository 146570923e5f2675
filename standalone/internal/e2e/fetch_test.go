package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// buildBackfill makes cmd/backfill once, for the tests that need it.
var buildBackfill = sync.OnceValue(func() error {
	build := exec.Command("go", "build", "-o", filepath.Join(binaries, "backfill"), "./cmd/backfill")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build backfill: %w\n%s", err, out)
	}
	return nil
})

// startBackfill runs backfill with resume state in a folder of the test's.
func (r *rig) startBackfill(data string, args ...string) *child {
	r.tb.Helper()
	if err := buildBackfill(); err != nil {
		r.tb.Fatal(err)
	}
	return start(r.tb, "backfill", map[string]string{
		"DATA_DIR": filepath.Join(r.dir, data), "TOKEN_DIR": r.tokenDir(), "OAUTH_URL": r.sim.OAuthURL(), "REST_URL": r.sim.RESTURL(),
		"CA_FILE": r.sim.CAFile(), "KAFKA_BROKERS": r.broker.Addr(), "TOPIC_PREFIX": r.prefix, "TOPIC_PARTITIONS": strconv.Itoa(partitions), "HTTP_ADDR": "127.0.0.1:0",
	}, args...)
}

// fetched is what backfill's --json tells of a plan or a run.
type fetched struct {
	Calls    int `json:"calls"`
	Accounts []struct {
		Resumes bool `json:"resumes"`
	} `json:"accounts"`
	Planned     int `json:"calls_planned"`
	Spent       int `json:"calls_spent"`
	Sessions    int `json:"charging_sessions"`
	DeadLetters int `json:"dead_letters"`
	Left        int `json:"left"`
}

// end waits until a backfill has ended with one of the codes, and reads its JSON.
func (c *child) end(codes ...int) fetched {
	c.tb.Helper()
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		c.tb.Fatalf("%s still runs after a minute", c.name)
	}
	got, allowed := c.cmd.ProcessState.ExitCode(), false
	for _, code := range codes {
		allowed = allowed || got == code
	}
	if !allowed {
		c.tb.Fatalf("%s ends with %d, want one of %v", c.name, got, codes)
	}
	var f fetched
	for line := range strings.Lines(c.out.text(c.tb)) {
		if strings.HasPrefix(line, `{"calls`) || strings.HasPrefix(line, `{"from`) {
			if err := json.Unmarshal([]byte(line), &f); err != nil {
				c.tb.Fatal(err)
			}
			return f
		}
	}
	c.tb.Fatalf("%s printed no JSON", c.name)
	return f
}

// newDay gives an account the quota of another day, on both sides.
func (r *rig) newDay(gcid schema.GCID) {
	r.tb.Helper()
	r.sim.ResetQuota(gcid)
	if err := os.Remove(rest.QuotaPath(r.tokenDir(), gcid)); err != nil {
		r.tb.Fatal(err)
	}
}

// sunk waits until the sink has stored all that backfill has brought so far.
func (r *rig) sunk() {
	r.tb.Helper()
	for _, topic := range []string{r.topics.ChargingSessions, r.topics.Vehicles, r.topics.Readings, r.topics.Gaps} {
		r.until(topic+" stored", 30*time.Second, func() bool { return r.broker.Behind(r.group, topic) == 0 })
	}
	if n := r.broker.End(r.topics.DeadLetters); n > 0 {
		r.tb.Errorf("%d dead letters, want none", n)
	}
}

// record is one point with all that was asked of it; what is not there is not
// in the map.
type record map[string]any

// storedSessions reads a car's charging sessions and their blocks.
func (r *rig) storedSessions(vin schema.VIN) map[int64]record {
	r.tb.Helper()
	of := ` WHERE "vin" = ` + influx.QuoteText(string(vin))
	sessions := make(map[int64]record)
	for _, p := range r.points(`SELECT "running", "blocks", "errors", "fetched", "end", "seconds", "start_soc", "end_soc", "charging_seconds",
		"grid_kwh", "mileage_km", "preconditioning", "latitude", "longitude", "source", "time_zone", "municipality", "address", "street",
		"providers", "error_hints" FROM "charging_session"` + of) {
		at := p["time"].(float64)
		delete(p, "time")
		if sessions[int64(at)] != nil {
			r.tb.Errorf("session of %v is there twice", at)
		}
		sessions[int64(at)] = p
	}
	for _, b := range r.points(`SELECT "session", "fetched", "end", "seconds", "average_grid_kw" FROM "charging_block"` + of) {
		s := sessions[int64(b["session"].(float64))]
		if s == nil {
			r.tb.Errorf("block %v of a session that is not there", b)
			continue
		}
		if b["fetched"] != s["fetched"] {
			continue // of a version that a later one replaced
		}
		delete(b, "session")
		delete(b, "fetched")
		list, _ := s["list"].([]record)
		s["list"] = append(list, b)
	}
	return sessions
}

// points runs a query. Numbers are float64, times of points in milliseconds.
func (r *rig) points(query string) []record {
	r.tb.Helper()
	var list []record
	err := r.db.Query(r.tb.Context(), query, func(row influx.Row) error {
		p := record{"time": float64(row.Time() / int64(time.Millisecond))}
		for _, c := range row.Columns() {
			if n, ok := row.Float(c); ok && c != "time" {
				p[c] = n
			} else if b, ok := row.Bool(c); ok {
				p[c] = b
			} else if t, ok := row.Text(c); ok && c != "time" {
				p[c] = t
			}
		}
		list = append(list, p)
		return nil
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	return list
}

// storedForm is how a session of the simulator has to stand in InfluxDB.
func storedForm(s *cars.Session) record {
	ms := func(t time.Time) float64 { return float64(t.UnixMilli()) }
	p := record{
		"running": s.End.IsZero(), "blocks": float64(len(s.Blocks)), "errors": float64(len(s.Errors)), "start_soc": s.StartSOC, "end_soc": s.EndSOC,
		"charging_seconds": float64(s.ChargingSeconds()), "mileage_km": s.MileageKm, "preconditioning": s.Preconditioned,
		"latitude": s.Latitude, "longitude": s.Longitude, "source": "rest", "time_zone": s.TimeZone,
		"municipality": s.City, "street": s.Street, "address": simulator.Address(s),
	}
	if !s.End.IsZero() {
		p["end"], p["seconds"], p["grid_kwh"] = ms(s.End), s.End.Sub(s.Start).Seconds(), s.EnergyGridKWh
	}
	if s.Provider != "" {
		p["providers"] = s.Provider
	}
	var hints []string
	for _, e := range s.Errors {
		hints = append(hints, e.Hint)
	}
	if len(hints) > 0 {
		p["error_hints"] = strings.Join(hints, "; ")
	}
	var list []record
	for _, b := range s.Blocks {
		list = append(list, record{"time": ms(b.Start), "end": ms(b.End), "seconds": b.End.Sub(b.Start).Seconds(), "average_grid_kw": b.PowerKW})
	}
	if list != nil {
		p["list"] = list
	}
	return p
}

// differ names the members in which two points differ; miles that became
// kilometres may do so in the last digits.
func differ(got, want record) string {
	var out []string
	all := maps.Clone(want)
	maps.Copy(all, got)
	for name := range all {
		g, w := got[name], want[name]
		if a, ok := g.([]record); ok {
			b, _ := w.([]record)
			for i := range max(len(a), len(b)) {
				if i >= len(a) || i >= len(b) {
					out = append(out, fmt.Sprintf("%d blocks, want %d", len(a), len(b)))
					break
				}
				if d := differ(a[i], b[i]); d != "" {
					out = append(out, fmt.Sprintf("block %d: %s", i, d))
				}
			}
			continue
		}
		x, ok := g.(float64)
		y, both := w.(float64)
		if ok && both && math.Abs(x-y) < 1e-9*math.Max(1, math.Abs(y)) || !ok && g == w {
			continue
		}
		out = append(out, fmt.Sprintf("%s is %v, want %v", name, g, w))
	}
	return strings.Join(out, ", ")
}
