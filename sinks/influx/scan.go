package influx

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// MaxBlockReadings is the most readings of one block that ScanReadings gives.
const MaxBlockReadings = 10_000

// ReadingsQuery says which readings to scan.
type ReadingsQuery struct {
	VINs        []schema.VIN        // empty means every vehicle
	Descriptors []schema.Descriptor // empty means every descriptor
	From, To    time.Time           // measured in [From, To); zero leaves that side open
}

// ScanReadings gives all readings that q asks for in order of vin, descriptor
// and time, as blocks of at most MaxBlockReadings; a series longer than that, or
// with very long texts, comes in several blocks one after the other. A block is
// valid until block returns. Memory does not grow with the answer.
//
// Where one key holds several fields, the value is number or bool, then text,
// then absent; of number and bool, number.
//
// What was given is complete only when ScanReadings returns nil. An error of
// block ends the scan and comes back as it is; other errors are *ReadError, and
// a scan started again begins from the start.
//
// One scan keeps one request going, and the server works on it with one core:
// scan disjoint sets of vehicles at the same time to use more.
func (c *Client) ScanReadings(ctx context.Context, q ReadingsQuery, block func(*schema.ReadingBlock) error) error {
	const op = "influx scan readings"
	vins, err := c.scannedVINs(ctx, q)
	if err != nil {
		return readError(op, err)
	}
	s := newScanner(block)
	for len(vins) > 0 {
		n := min(len(vins), c.vehiclesAtOnce())
		if err := c.scanVehicles(ctx, s, vins[:n], q); err != nil {
			return readError(op, err)
		}
		vins = vins[n:]
	}
	return nil
}

func (c *Client) scannedVINs(ctx context.Context, q ReadingsQuery) ([]schema.VIN, error) {
	if len(q.VINs) > 0 {
		return sortedSet(q.VINs), nil
	}
	var vins []schema.VIN
	err := c.Query(ctx, "SHOW TAG VALUES FROM reading WITH KEY = vin"+where(spanOf(q.From, q.To)), func(r Row) error {
		vin, _ := r.Text("value")
		vins = append(vins, schema.VIN(vin))
		return nil
	})
	if err != nil && noDefaultPolicy(err) {
		vins, err = c.markedVINs(ctx)
	}
	return sortedSet(vins), err
}

// markedVINs gives the vehicles that readings were ever stored of, by their marks.
func (c *Client) markedVINs(ctx context.Context) (vins []schema.VIN, err error) {
	q := `SELECT touched FROM day WHERE "table" = ` + QuoteText(TableReadings) + ` GROUP BY vin LIMIT 1`
	err = c.Query(ctx, q, func(r Row) error {
		vins = append(vins, schema.VIN(r.Tag("vin")))
		return nil
	})
	return vins, err
}

func sortedSet[T cmp.Ordered](all []T) []T {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}

// A statement of a scan reads one vehicle, all its series or one.
type scanStatement struct {
	vin        schema.VIN
	descriptor schema.Descriptor // when series is set
	series     bool
}

// Measured on 1.8: a statement for each series costs the server 0.5 ms and
// 2.8 µs a row; one for the whole vehicle, which merges its series, costs
// 4.5 µs a row. So the first pays from here on.
const denseSeries = 150 // readings a series

const (
	maxStatements   = 600 // in one request, when vehicles have about 60 series
	vehiclesGrouped = 64  // in one request, with one statement each
	vehiclesDense   = maxStatements / 60
)

// dense says whether the series met last were long.
func (c *Client) dense() bool { return c.perSeries.Load() >= denseSeries && !c.listless.Load() }

func (c *Client) vehiclesAtOnce() int {
	switch {
	case c.perSeries.Load() == 0: // nothing is known yet: learn from one
		return 1
	case c.dense():
		return vehiclesDense
	}
	return vehiclesGrouped
}

func (c *Client) scanVehicles(ctx context.Context, s *scanner, vins []schema.VIN, q ReadingsQuery) error {
	s.readings, s.series = 0, 0
	todo, err := c.scanStatements(ctx, vins, q)
	if err != nil {
		return err
	}
	for len(todo) > 0 {
		n := min(len(todo), maxStatements)
		if err := c.scan(ctx, s, todo[:n], spanOf(q.From, q.To)); err != nil {
			return err
		}
		todo = todo[n:]
	}
	if err := s.flush(); err != nil {
		return err
	}
	if s.series > 0 && len(q.Descriptors) == 0 {
		c.perSeries.Store(max(1, s.readings/s.series))
	}
	return nil
}

// scanStatements gives what reads these vehicles, in order of vin and
// descriptor. A series born after the look comes with the next scan: its day
// is marked after its points.
func (c *Client) scanStatements(ctx context.Context, vins []schema.VIN, q ReadingsQuery) ([]scanStatement, error) {
	var todo []scanStatement
	switch descriptors := sortedSet(q.Descriptors); {
	case len(descriptors) > 0:
		for _, vin := range vins {
			for _, d := range descriptors {
				todo = append(todo, scanStatement{vin, d, true})
			}
		}
	case c.dense():
		todo, err := c.seriesOf(ctx, vins, spanOf(q.From, q.To))
		if err == nil || !noDefaultPolicy(err) {
			return todo, err
		}
		c.listless.Store(true)
		fallthrough
	default:
		for _, vin := range vins {
			todo = append(todo, scanStatement{vin: vin})
		}
	}
	return todo, nil
}

// noDefaultPolicy knows a bucket of 2.x that is named database/policy and has no
// mapping of its own: it can be queried, but the server lists nothing of it.
func noDefaultPolicy(err error) bool {
	told, ok := errors.AsType[*QueryError](err)
	return ok && strings.Contains(told.Text, "default retention policy not set")
}

func (c *Client) seriesOf(ctx context.Context, vins []schema.VIN, span string) ([]scanStatement, error) {
	var show strings.Builder
	for _, vin := range vins {
		show.WriteString("SHOW TAG VALUES FROM reading WITH KEY = descriptor" + where("vin = "+QuoteText(string(vin)), span) + ";")
	}
	var todo []scanStatement
	err := c.Query(ctx, show.String(), func(r Row) error {
		d, ok := r.Text("value")
		if !ok || r.r.statement >= len(vins) {
			return errAnswerForm
		}
		todo = append(todo, scanStatement{vins[r.r.statement], schema.Descriptor(d), true})
		return nil
	})
	slices.SortFunc(todo, func(a, b scanStatement) int {
		return cmp.Or(cmp.Compare(a.vin, b.vin), cmp.Compare(a.descriptor, b.descriptor))
	})
	return todo, err
}

// scan asks for todo in one request and feeds the answer to s.
func (c *Client) scan(ctx context.Context, s *scanner, todo []scanStatement, span string) error {
	resp, err := c.ask(ctx, scanText(todo, span), packType)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	s.start(todo)
	if err := s.answer(resp); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

func scanText(todo []scanStatement, span string) string {
	var q strings.Builder
	for _, st := range todo {
		q.WriteString("SELECT number, bool, text, absent FROM reading")
		vin := "vin = " + QuoteText(string(st.vin))
		if st.series {
			q.WriteString(where(vin, "descriptor = "+QuoteText(string(st.descriptor)), span))
		} else {
			q.WriteString(where(vin, span) + " GROUP BY descriptor")
		}
		q.WriteByte(';')
	}
	return q.String()
}

const packType = "application/x-msgpack"

// answer reads the form that the server chose: JSON where it has no other.
func (s *scanner) answer(resp *http.Response) error {
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == packType {
		return s.readPacked(resp.Body)
	}
	return s.readJSON(resp.Body)
}

// spanOf gives the condition on time; empty when both sides are open.
func spanOf(from, to time.Time) string {
	var conditions []string
	if !from.IsZero() {
		conditions = append(conditions, "time >= "+strconv.FormatInt(storedNanos(from), 10))
	}
	if !to.IsZero() {
		conditions = append(conditions, "time < "+strconv.FormatInt(storedNanos(to), 10))
	}
	return strings.Join(conditions, " AND ")
}

// The times that InfluxDB can store, in nanoseconds since 1970.
const firstNano, lastNano = -9223372036854775806, 9223372036854775806

// storedNanos gives t in nanoseconds since 1970, cut to what InfluxDB can store.
func storedNanos(t time.Time) int64 {
	if t.Before(time.Unix(0, firstNano)) {
		return firstNano
	}
	if t.After(time.Unix(0, lastNano)) {
		return lastNano
	}
	return t.UnixNano()
}

// where joins the conditions that are not empty.
func where(conditions ...string) string {
	conditions = slices.DeleteFunc(conditions, func(s string) bool { return s == "" })
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

// ask sends InfluxQL and gives the answer, whose status is 200. The caller
// closes its body.
func (c *Client) ask(ctx context.Context, q, accept string) (*http.Response, error) {
	req, err := c.queryRequest(ctx, q, accept)
	if err != nil {
		return nil, err
	}
	resp, err := c.listen(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	told := &QueryError{resp.StatusCode, refusalText(resp)}
	if after := retryAfter(resp.Header.Get("Retry-After"), time.Now()); after > 0 {
		return nil, &ReadError{Class: told.class(), After: after, Err: told}
	}
	return nil, told
}

// refusalText gives the server's words; 1.8 packs them when rows were to be packed.
func refusalText(resp *http.Response) string {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // torn, it leaves the status and the header
	err := newScanner(nil).readPacked(bytes.NewReader(body))
	if told, ok := errors.AsType[*QueryError](err); ok {
		return strings.ToValidUTF8(cut(told.Text, 1024), "")
	}
	plain := *resp
	plain.Body = io.NopCloser(bytes.NewReader(body))
	return answerText(&plain)
}
