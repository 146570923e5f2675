package backfill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	testGCID = schema.GCID("00000000-0000-4000-8000-000000000001")
	car1     = schema.VIN("WBY00000000000001")
	car2     = schema.VIN("WBY00000000000002")
	guest    = schema.VIN("WBY00000000000003")
	mileage  = "vehicle.vehicle.travelledDistance"
)

// bmw is the Customer API in memory, so that time is the test's own.
type bmw struct {
	mu         sync.Mutex
	mappings   map[schema.VIN]string
	sessions   map[schema.VIN][]time.Time // starts
	running    map[schema.VIN]time.Time   // start of the one without an end
	containers []map[string]any
	nextID     int
	calls      []string // method and path, with the query of a history
	// fault may answer in place of the service.
	fault func(r *http.Request) *http.Response
	// tokens is what a page token is worth until it expires.
	tokenLife time.Duration
	sameToken bool // every page names the same token
}

func newBMW() *bmw {
	return &bmw{
		mappings:  map[schema.VIN]string{car1: "PRIMARY"},
		sessions:  make(map[schema.VIN][]time.Time),
		running:   make(map[schema.VIN]time.Time),
		tokenLife: 10 * time.Minute,
	}
}

// charged gives a car one session each so many hours, back from now.
func (s *bmw) charged(vin schema.VIN, n int, apart time.Duration) {
	start := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	for range n {
		s.sessions[vin] = append(s.sessions[vin], start)
		start = start.Add(-apart)
	}
}

func (s *bmw) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	call := r.Method + " " + r.URL.Path
	s.calls = append(s.calls, call)
	if s.fault != nil {
		if res := s.fault(r); res != nil {
			return res, nil
		}
	}
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/customers/"), "/")
	switch {
	case path[0] == "containers":
		return s.container(r, path), nil
	case path[1] == "mappings":
		return s.mapping(), nil
	}
	vin := schema.VIN(path[1])
	if s.mappings[vin] != "PRIMARY" {
		return refuse(http.StatusForbidden, "CU-104", "not mapped"), nil
	}
	switch path[2] {
	case "chargingHistory":
		return s.history(vin, r), nil
	case "telematicData":
		return s.telematics(r), nil
	case "basicData":
		return answer(http.StatusOK, `{"driveTrain":"BEV","modelName":"i4 eDrive40","numberOfDoors":5}`), nil
	case "smartMaintenanceTyreDiagnosis":
		return answer(http.StatusOK, `{"passengerCar":{"mountedTyres":{"label":"Mounted"}},"errors":[]}`), nil
	case "locationBasedChargingSettings":
		return refuse(http.StatusNotFound, "CU-127", "no settings"), nil
	case "image":
		res := answer(http.StatusOK, "\x89PNG\r\n\x1a\n picture")
		res.Header.Set("Content-Type", "image/png")
		return res, nil
	}
	return refuse(http.StatusBadRequest, "CU-400", "no such path"), nil
}

func (s *bmw) mapping() *http.Response {
	var list []map[string]any
	for _, vin := range []schema.VIN{car1, car2, guest} {
		if t := s.mappings[vin]; t != "" {
			list = append(list, map[string]any{"vin": vin, "mappingType": t, "mappedSince": "2025-01-01T00:00:00.000Z"})
		}
	}
	return answerJSON(http.StatusOK, list)
}

func (s *bmw) container(r *http.Request, path []string) *http.Response {
	switch r.Method {
	case http.MethodPost:
		var c map[string]any
		_ = json.NewDecoder(r.Body).Decode(&c)
		s.nextID++
		c["containerId"], c["state"] = fmt.Sprintf("CONTAINER%04d", s.nextID), "ACTIVE"
		s.containers = append(s.containers, c)
		return answerJSON(http.StatusCreated, c)
	case http.MethodDelete:
		s.containers = slices.DeleteFunc(s.containers, func(c map[string]any) bool { return c["containerId"] == path[1] })
		return answer(http.StatusNoContent, "")
	}
	return answerJSON(http.StatusOK, map[string]any{"containers": s.containers})
}

func (s *bmw) telematics(r *http.Request) *http.Response {
	id := r.URL.Query().Get("containerId")
	if !slices.ContainsFunc(s.containers, func(c map[string]any) bool { return c["containerId"] == id }) {
		return refuse(http.StatusForbidden, "CU-105", "container unknown")
	}
	at := time.Now().UTC().Truncate(time.Hour).Format("2006-01-02T15:04:05.000Z")
	return answer(http.StatusOK, `{"telematicData":{"`+mileage+`":{"timestamp":"`+at+`","unit":"km","value":"51234"},
		"vehicle.never.reported":{"timestamp":null,"unit":null,"value":null}}}`)
}

// history pages as the service does: ten each, newest first, a token that is
// bound to its query.
func (s *bmw) history(vin schema.VIN, r *http.Request) *http.Response {
	q := r.URL.Query()
	from, _ := time.Parse(time.RFC3339Nano, q.Get("from"))
	to, _ := time.Parse(time.RFC3339Nano, q.Get("to"))
	s.calls[len(s.calls)-1] += fmt.Sprintf(" %s..%s %s", from.Format(time.DateOnly), to.Format(time.DateOnly), q.Get("nextToken"))
	if to.Sub(from) > 45*24*time.Hour {
		return refuse(http.StatusBadRequest, "CU-401", "range")
	}
	offset := 0
	if token := q.Get("nextToken"); token != "" {
		var asked int64
		if _, err := fmt.Sscanf(token, "t%d-%d", &offset, &asked); err != nil || time.Since(time.Unix(asked, 0)) > s.tokenLife {
			return refuse(http.StatusBadRequest, "CU-125", "page token expired")
		}
	}
	starts := slices.Clone(s.sessions[vin])
	starts = slices.DeleteFunc(starts, func(t time.Time) bool { return t.Before(from) || !t.Before(to) })
	slices.SortFunc(starts, func(a, b time.Time) int { return b.Compare(a) })
	page := starts[min(offset, len(starts)):min(offset+10, len(starts))]
	list := []map[string]any{}
	for _, t := range page {
		one := map[string]any{"startTime": t.Unix(), "displayedStartSoc": 40, "mileage": 1000, "mileageUnits": "KM"}
		if s.running[vin] != t {
			one["endTime"], one["displayedSoc"], one["energyConsumedFromPowerGridKwh"] = t.Add(30*time.Minute).Unix(), 80, 20.5
		}
		list = append(list, one)
	}
	body := map[string]any{"data": list}
	if offset+10 < len(starts) {
		body["next_token"] = "t" + strconv.Itoa(offset+10) + "-" + strconv.FormatInt(time.Now().Unix(), 10)
		if s.sameToken {
			body["next_token"] = "t10-" + strconv.FormatInt(time.Now().Unix(), 10)
		}
	}
	return answerJSON(http.StatusOK, body)
}

// made gives the calls so far.
func (s *bmw) made() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *bmw) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

func (s *bmw) spent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

func answerJSON(status int, v any) *http.Response {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return answer(status, string(body))
}

func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func refuse(status int, code, message string) *http.Response {
	return answerJSON(status, map[string]string{"exveErrorId": code, "exveErrorRef": "ref", "exveErrorMsg": message})
}

// topic is Kafka in memory.
type topic struct {
	mu      sync.Mutex
	records []pipeline.Record
	before  func(n int) error // called before the n-th batch is taken
	after   func(n int)
	batches int
}

func (k *topic) Produce(ctx context.Context, records []pipeline.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.batches
	k.batches++
	if k.before != nil {
		if err := k.before(n); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, r := range records {
		r.Value = bytes.Clone(r.Value)
		k.records = append(k.records, r)
	}
	if k.after != nil {
		k.after(n)
	}
	return nil
}

// of gives the values of a topic by identity; the last one counts.
func (k *topic) of(name string) map[string][]byte {
	values := make(map[string][]byte)
	d := schema.NewDecoder()
	for _, r := range k.records {
		if r.Topic != name {
			continue
		}
		id := string(r.Key)
		switch name {
		case names.ChargingSessions:
			var s schema.ChargingSession
			if err := d.Session(&s, r.Value); err != nil {
				panic(err)
			}
			id += " " + s.Start.Format(time.RFC3339)
		case names.Readings:
			var v schema.Reading
			if err := d.Reading(&v, r.Value); err != nil {
				panic(err)
			}
			id += " " + string(v.Descriptor) + " " + v.Time.Format(time.RFC3339)
		}
		values[id] = r.Value
	}
	return values
}

var names = pipeline.TopicsFor("cardata.")

type tokens struct{}

func (t *tokens) AccessToken(context.Context, time.Duration) (string, time.Time, error) {
	return "access", time.Now().Add(time.Hour), nil
}

func (t *tokens) RenewAccess(context.Context, string) error { return loginError{} }

type loginError struct{}

func (loginError) Error() string     { return "login needed" }
func (loginError) LoginNeeded() bool { return true }

// world is one account, the service, Kafka and a disk.
type world struct {
	t     *testing.T
	bmw   *bmw
	kafka *topic
	dir   string
	quota rest.QuotaConfig
	steps []Step
	feed  Feed
}

// newWorld begins in 2001: a bubble's clock starts where readings are too old.
func newWorld(t *testing.T) *world {
	t.Helper()
	<-time.After(400 * 24 * time.Hour)
	return &world{t: t, bmw: newBMW(), kafka: new(topic), dir: t.TempDir(), quota: rest.QuotaConfig{Limit: 10_000, Reserve: 10}}
}

// backfill is the program as a fresh process would have it.
func (w *world) backfill() *Backfill {
	account := permit.Account{
		GCID: testGCID, Tokens: new(tokens), Label: "test",
		Budget: rest.OpenQuota(filepath.Join(w.dir, "quota.json"), w.quota),
	}
	return New(Config{
		BaseURL: "https://bmw.test", HTTPClient: &http.Client{Transport: w.bmw}, DataDir: w.dir, Topics: names, Feed: w.feed,
		Progress: func(s Step) { w.steps = append(w.steps, s) },
	}, []permit.Account{account}, w.kafka, slog.New(slog.DiscardHandler))
}

func (w *world) run(r Range) (Summary, error) {
	w.t.Helper()
	return w.backfill().Run(w.t.Context(), r)
}

func (w *world) mustRun(r Range) Summary {
	w.t.Helper()
	sum, err := w.run(r)
	if err != nil {
		w.t.Fatalf("run: %v (%+v)", err, sum)
	}
	return sum
}

// copyTo gives a copy of the disk as a kill at this moment would leave it.
func (w *world) copyTo(dir string) {
	w.t.Helper()
	if err := os.CopyFS(dir, os.DirFS(w.dir)); err != nil {
		w.t.Fatal(err)
	}
}
