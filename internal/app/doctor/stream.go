package doctor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/stream"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// coverageAge is how old ingest's snapshot of each minute may be while it runs.
const coverageAge = 150 * time.Second

const (
	remedyRival = "stop the other CarData client of this account (home automation, a charge controller, a second ingest): " +
		"BMW allows one stream connection per account; let others read from this pipeline's topics"
	remedyJournalFull = "bring Kafka back, or raise CARDATA_JOURNAL_MAX_MIB: messages are refused until it drains"
	remedyKafka       = "start Kafka, or correct CARDATA_KAFKA_BROKERS; ingest keeps all in its journal meanwhile"
)

// ingestState is what is known of a running ingest.
type ingestState struct {
	found  string // how it was found; "" when none runs
	checks map[string]string
}

// lookForIngest finds out whether ingest holds the stream: a second connection
// would evict it.
func (e *exam) lookForIngest(ctx context.Context) {
	checks, failure := e.ready(ctx)
	e.ingest.checks = checks
	switch _, streams := checks["stream"]; {
	case streams:
		e.ingest.found = "it answers at " + e.cfg.IngestURL
	case e.cfg.PermitURL != "" && len(e.patients) > 0:
		e.ingest.found = "it gives permits"
	default:
		e.ingest.found = e.lookIntoDataDir()
	}
	if e.ingest.found == "" {
		e.warn(stepIngest, "", "no ingest found: "+failure, "start ingest; without it nothing is recorded")
		return
	}
	e.ok(stepIngest, "", "runs: %s", e.ingest.found)
	e.ingestTrouble()
}

func (e *exam) ingestTrouble() {
	for _, name := range []string{"journal", "kafka"} {
		text, known := e.ingest.checks[name]
		if !known || text == "ok" {
			continue
		}
		remedy := remedyKafka
		if name == "journal" {
			remedy = remedyJournalFull
		}
		e.fail(stepIngest, name, text, remedy)
	}
}

// ready asks ingest's /readyz, which answers 503 with the same body when
// something is wrong.
func (e *exam) ready(ctx context.Context) (checks map[string]string, failure string) {
	if e.cfg.IngestURL == "" {
		return nil, "no address to ask"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(e.cfg.IngestURL, "/")+"/readyz", http.NoBody)
	if err != nil {
		return nil, err.Error()
	}
	res, err := (&http.Client{Transport: e.transport}).Do(req)
	if err != nil {
		return nil, "nothing answers at " + e.cfg.IngestURL
	}
	defer func() { _ = res.Body.Close() }()
	var body struct {
		Checks map[string]string `json:"checks"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&body); err != nil {
		return nil, "what answers at " + e.cfg.IngestURL + " is no ingest"
	}
	return body.Checks, "what answers at " + e.cfg.IngestURL + " is no ingest"
}

// lookIntoDataDir asks the journal's lock, and where that cannot be read the age
// of the coverage snapshot, which ingest saves each minute.
func (e *exam) lookIntoDataDir() (found string) {
	if e.cfg.DataDir == "" {
		return ""
	}
	file := filepath.Join(e.cfg.DataDir, "journal", "lock")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	lock := flock.New(file)
	free, err := lock.TryRLock() // held for an instant
	if free {
		_ = lock.Unlock()
	}
	switch {
	case err == nil && !free:
		return "it holds the journal in " + e.cfg.DataDir
	case err == nil:
		return ""
	}
	fi, err := os.Stat(e.coverageFile())
	c, unread := e.coverage()
	if err != nil || time.Since(fi.ModTime()).Abs() > coverageAge || unread == nil && !anySubscribed(c) {
		return ""
	}
	return "it saved its coverage in " + e.cfg.DataDir + " within the last minutes"
}

func anySubscribed(c pipeline.Coverage) bool {
	return slices.ContainsFunc(c.Accounts(), func(g schema.GCID) bool {
		s, _ := c.State(g)
		return s.Subscribed
	})
}

// streams connects each account, or says why not.
func (e *exam) streams(ctx context.Context) {
	if e.ingest.found != "" && !e.cfg.Connect {
		e.ingestStream()
		return
	}
	for i := range e.patients {
		p := &e.patients[i]
		switch {
		case p.source == nil:
			e.skip(stepStream, p.Label, "not connected: ingest holds the tokens", "")
		case !p.login:
			e.skip(stepStream, p.Label, "not connected: no token", "")
		case !p.stream:
			e.skip(stepStream, p.Label, "not connected: the tokens do not open the stream", "")
		case !e.reached:
			e.skip(stepStream, p.Label, "not connected: the host cannot be reached", "")
		default:
			e.connect(ctx, p)
		}
	}
}

func (e *exam) ingestStream() {
	switch text, known := e.ingest.checks["stream"]; {
	case !known:
		e.skip(stepStream, "", "not connected: ingest runs, and a second connection would evict it",
			"name ingest's health address by --ingest-url to learn how its connection stands, or --connect to take the stream for a moment")
	case text == "ok":
		e.ok(stepStream, "", "ingest is subscribed (not connected a second time, which would evict it; --connect does)")
	case strings.Contains(text, string(stream.StateLoginNeeded)):
		e.act(stepStream, "", text, remedyLogin)
	case strings.Contains(text, string(stream.StateMisconfigured)):
		e.act(stepStream, "", text, "look at ingest's log for the remedy; most often: save the data selection in the portal (\"configure data stream\")")
	default:
		e.fail(stepStream, "", text, "look at ingest's log for the reason; it tries again by itself")
	}
}

// ear hears one connection.
type ear struct {
	messages atomic.Int64
	once     sync.Once
	started  chan struct{} // closed with the subscription
	lost     chan schema.GapCause
}

// Message counts.
func (h *ear) Message(schema.GCID, string, []byte, time.Time) { h.messages.Add(1) }

// Subscribed ends the wait for it.
func (h *ear) Subscribed(schema.GCID, time.Time) { h.once.Do(func() { close(h.started) }) }

// Lost notes the cause.
func (h *ear) Lost(_ schema.GCID, _, _ time.Time, cause schema.GapCause) {
	select {
	case h.lost <- cause:
	default:
	}
}

func (e *exam) connect(ctx context.Context, p *patient) {
	ear := &ear{started: make(chan struct{}), lost: make(chan schema.GapCause, 1)}
	roots, err := permit.Roots(e.cfg.CAFile)
	if err != nil {
		e.act(stepStream, p.Label, err.Error(), "correct CARDATA_CA_FILE")
		return
	}
	connection, err := stream.New(p.GCID, p.source, ear, stream.NewPacer(6, time.Minute), stream.Config{
		Addr: e.cfg.MQTTAddr, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, Log: e.log,
	})
	if err != nil {
		e.act(stepStream, p.Label, err.Error(), "correct CARDATA_MQTT_ADDR")
		return
	}
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { _ = connection.Run(ctx) }) // ends with stop; its only error is a second Run
	status, subscribed := e.await(ctx, connection, ear)
	if subscribed {
		e.hold(ctx, p, ear)
	}
	stop()
	group.Wait()
	if subscribed {
		return
	}
	switch {
	case status.State == stream.StateLoginNeeded, status.State == stream.StateMisconfigured:
		e.act(stepStream, p.Label, status.Err, status.Remedy)
	case status.Err == "":
		e.fail(stepStream, p.Label, "no subscription within "+e.cfg.Timeout.String(), remedyFirewall)
	case status.Remedy == "":
		e.fail(stepStream, p.Label, status.Err, "wait a minute and try again: the service refuses connections in bursts, and soon after another one; "+
			"if it stays, "+remedyRival)
	default:
		e.fail(stepStream, p.Label, status.Err, status.Remedy)
	}
}

// await waits for the subscription, or a state that waiting does not change. A
// refusal may be the service's mood, so it has a second try within the step's time.
func (e *exam) await(ctx context.Context, c *stream.Connection, ear *ear) (stream.Status, bool) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last stream.Status
	for {
		select {
		case <-ear.started:
			return last, true
		case <-ctx.Done():
			return last, false
		case <-tick.C:
		}
		s := c.Status()
		if s.Err != "" {
			last = s
		}
		if s.State == stream.StateLoginNeeded || s.State == stream.StateMisconfigured {
			return s, false
		}
	}
}

func (e *exam) hold(ctx context.Context, p *patient, ear *ear) {
	t := time.NewTimer(e.cfg.Listen)
	defer t.Stop()
	select {
	case cause := <-ear.lost:
		e.act(stepStream, p.Label, fmt.Sprintf("subscribed, but the connection was taken away at once (%s)", cause), remedyRival)
	case <-ctx.Done():
	case <-t.C:
		e.ok(stepStream, p.Label, "connected and subscribed; %d messages in %s", ear.messages.Load(), e.cfg.Listen)
	}
}
