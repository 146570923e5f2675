package influx_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
)

// fakeInflux answers writes as InfluxDB 1.8 or 2.x does, as far as was
// observed on the real ones, and keeps the points.
type fakeInflux struct {
	version   int // 1 or 2
	token     string
	bucket    string
	maxBody   int
	oldest    time.Time         // of the retention
	maxSeries int               // 0: no limit
	types     map[string]string // field types fixed beforehand, "measurement field" to kind

	mu       sync.Mutex // guards the fields below
	points   map[string]point
	series   map[string]bool
	bodies   []string // of every write, in order
	lookups  []string // of positions, in order
	answer   http.HandlerFunc
	requests int
	queries  []string // that read points, in order
	chunk    int      // rows of one document of an answer; 0 means 10,000
	jsonOnly bool     // as a server that packs no answers
	listless bool     // as 2.x with a bucket named database/policy and no mapping
}

type point struct {
	measurement string
	tags        map[string]string
	fields      map[string]any
	time        int64
}

func newFake(version int) *fakeInflux {
	return &fakeInflux{
		version: version, token: "test-token", bucket: "cardata",
		points: map[string]point{}, series: map[string]bool{}, types: map[string]string{},
	}
}

func (f *fakeInflux) serve(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return srv
}

// setAnswer makes every request be answered by h; nil ends that.
func (f *fakeInflux) setAnswer(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = h
}

func (f *fakeInflux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	answer := f.answer
	f.requests++
	f.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("X-Influxdb-Version", map[int]string{1: "1.8.10", 2: "v2.7.12"}[f.version])
	if r.URL.Path == "/ping" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if r.Header.Get("Authorization") != "Token "+f.token {
		f.fail(w, http.StatusUnauthorized, "unauthorized", "unauthorized access")
		return
	}
	switch r.URL.Path {
	case "/api/v2/write":
		f.write(w, r)
	case "/query":
		f.query(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeInflux) fail(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	if f.version == 1 {
		w.Header().Set("X-Influxdb-Error", text[:min(len(text), 1024)])
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":%q}`, text)
		return
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"code":%q,"message":%q}`, code, text)
}

// query knows the two statements of EnsureDatabase, the look-up of positions, and
// those that read takes.
func (f *fakeInflux) query(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch q := r.FormValue("q"); {
	case q == "SHOW DATABASES":
		values := ""
		if f.bucket != "" {
			values = `,"values":[["_internal"],["` + f.bucket + `"]]`
		}
		fmt.Fprintf(w, `{"results":[{"statement_id":0,"series":[{"name":"databases","columns":["name"]%s}]}]}`, values)
	case strings.HasPrefix(q, "CREATE DATABASE "):
		f.bucket, _ = strconv.Unquote(strings.TrimPrefix(q, "CREATE DATABASE "))
		io.WriteString(w, `{"results":[{"statement_id":0}]}`)
	case selection.MatchString(q):
		f.lookups = append(f.lookups, q)
		io.WriteString(w, f.selectNumbers(q))
	case f.read(w, r):
	case f.listless && strings.HasPrefix(q, "SHOW TAG VALUES"):
		fmt.Fprintf(w, `{"results":[{"statement_id":0,"error":"default retention policy not set for: x"}]}`)
	default:
		fmt.Fprintf(w, `{"results":[{"statement_id":0,"error":"unknown statement"}]}`)
	}
}

func (f *fakeInflux) write(w http.ResponseWriter, r *http.Request) {
	bucket, _, _ := strings.Cut(r.URL.Query().Get("bucket"), "/")
	if f.version == 2 {
		bucket = r.URL.Query().Get("bucket")
	}
	f.mu.Lock()
	known := f.bucket
	f.mu.Unlock()
	if bucket != known {
		f.fail(w, http.StatusNotFound, "not found", fmt.Sprintf("bucket %q not found", bucket))
		return
	}
	body, err := readBody(r)
	if err != nil {
		f.fail(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	if f.maxBody > 0 && len(body) > f.maxBody {
		f.fail(w, http.StatusRequestEntityTooLarge, "request too large", "Request Entity Too Large")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bodies = append(f.bodies, body)
	f.store(w, body)
}

func readBody(r *http.Request) (string, error) {
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return "", err
		}
		in = z
	}
	b, err := io.ReadAll(in)
	return string(b), err
}

func (f *fakeInflux) store(w http.ResponseWriter, body string) {
	good, malformed := decodeLines(body)
	if malformed != "" && f.version == 2 {
		f.fail(w, http.StatusBadRequest, "invalid", malformed) // nothing is stored
		return
	}
	dropped, reason := 0, ""
	for _, p := range good {
		if why := f.refuses(p); why != "" {
			dropped, reason = dropped+1, why
			continue
		}
		f.keep(p)
	}
	switch text := fmt.Sprintf("partial write: %s dropped=%d", reason, dropped); {
	case dropped > 0 && f.version == 1:
		f.fail(w, http.StatusBadRequest, "", text)
	case dropped > 0:
		f.fail(w, http.StatusUnprocessableEntity, "unprocessable entity", "failure writing points to database: "+text)
	case malformed != "":
		f.fail(w, http.StatusBadRequest, "", "partial write: "+malformed+" dropped=0")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (f *fakeInflux) refuses(p point) string {
	if time.Unix(0, p.time).Before(f.oldest) {
		return "points beyond retention policy"
	}
	for name, v := range p.fields {
		if want, fixed := f.types[p.measurement+" "+name]; fixed && want != fmt.Sprintf("%T", v) {
			return fmt.Sprintf("field type conflict: input field %q on measurement %q is type %T, already exists as type %s", name, p.measurement, v, want)
		}
	}
	if id := p.seriesID(); f.maxSeries > 0 && !f.series[id] && len(f.series) >= f.maxSeries {
		return fmt.Sprintf("max-series-per-database limit exceeded: (%d)", f.maxSeries)
	}
	return ""
}

func (p point) seriesID() string { return fmt.Sprint(p.measurement, p.tags) }

func (f *fakeInflux) keep(p point) {
	f.series[p.seriesID()] = true
	id := fmt.Sprint(p.seriesID(), p.time)
	if old, ok := f.points[id]; ok {
		maps.Copy(old.fields, p.fields)
		return
	}
	f.points[id] = p
}

// all gives the points of one measurement.
func (f *fakeInflux) all(measurement string) (found []point) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.points {
		if p.measurement == measurement {
			found = append(found, p)
		}
	}
	return found
}

// decodeLines gives the good lines of a body and the text about the bad ones.
// A line with the word MALFORMED counts as one that the server cannot read.
func decodeLines(body string) (good []point, malformed string) {
	d := lineprotocol.NewDecoderWithBytes([]byte(body))
	for d.Next() {
		p, err := decodeLine(d)
		if err == nil && strings.Contains(p.tags["descriptor"], "MALFORMED") {
			err = errors.New("invalid field format")
		}
		if err != nil {
			malformed = fmt.Sprintf("unable to parse '%s,descriptor=%s number=': %v", p.measurement, p.tags["descriptor"], err)
			continue
		}
		good = append(good, p)
	}
	return good, malformed
}

func decodeLine(d *lineprotocol.Decoder) (point, error) {
	p := point{tags: map[string]string{}, fields: map[string]any{}}
	m, err := d.Measurement()
	if err != nil {
		return p, err
	}
	p.measurement = string(m)
	for {
		key, value, err := d.NextTag()
		if err != nil {
			return p, err
		}
		if key == nil {
			break
		}
		p.tags[string(key)] = string(value)
	}
	for {
		key, value, err := d.NextField()
		if err != nil {
			return p, err
		}
		if key == nil {
			break
		}
		p.fields[string(key)] = value.Interface()
	}
	t, err := d.Time(lineprotocol.Nanosecond, time.Time{})
	p.time = t.UnixNano()
	return p, err
}
