// Package doctor looks at an installation step by step, in the order in which a
// first set-up fails: clock, network, tokens, permissions, quota, cars, stream,
// data, Kafka, InfluxDB, disk. It says of each what it found and what a person
// should do. It changes nothing, except that tokens near their end are refreshed
// as by any other command.
package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/stream"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Config says what to look at. What is empty is left out and said to be.
type Config struct {
	TokenDir string
	DataDir  string // of ingest
	OauthURL string // "" is BMW's
	RESTURL  string // "" is BMW's
	MQTTAddr string // "" is BMW's
	CAFile   string

	PermitURL    string // of ingest in a cluster: tokens are its business then
	PermitSecret pipeline.Secret

	IngestURL string // of ingest's /readyz, such as http://127.0.0.1:8080

	KafkaBrokers  []string
	KafkaSecurity kafka.Security
	TopicPrefix   string

	InfluxURL    string
	InfluxToken  pipeline.Secret
	InfluxOrg    string
	InfluxBucket string

	InfluxUser     string
	InfluxPassword pipeline.Secret
	InfluxFiles    tlsfiles.Files

	NoCalls bool          // spend no REST call
	Cars    bool          // spend one more call per car on SIM, market and equipment
	Connect bool          // connect to the stream even though ingest runs, which evicts it for a moment
	Listen  time.Duration // how long a connection is held to see whether it stays
	Timeout time.Duration // of each step; 0 is 20 s

	Log *slog.Logger // nil is silent

	freeBytes func(dir string) (uint64, error) // a disk for tests; nil is the real one
}

// Level is how bad a finding is.
type Level string

// The levels of a Finding.
const (
	OK   Level = "ok"
	Warn Level = "warn" // works, or will by itself, but a person should know
	Fail Level = "fail" // does not work
	Skip Level = "skip" // not looked at
)

// Finding is what one look showed.
type Finding struct {
	Step    string `json:"step"`
	Subject string `json:"subject,omitempty"` // account, host, car or topic
	Level   Level  `json:"level"`
	Text    string `json:"text"`
	Remedy  string `json:"remedy,omitempty"`
	Person  bool   `json:"person,omitempty"` // a Fail that passes only when a person acts
}

// The steps, in their order.
const (
	stepClock    = "clock"
	stepNetwork  = "network"
	stepTokens   = "tokens"
	stepLogin    = "login"
	stepScopes   = "scopes"
	stepStreams  = "dynamic_scopes"
	stepQuota    = "quota"
	stepVehicles = "vehicles"
	stepIngest   = "ingest"
	stepStream   = "stream"
	stepData     = "data"
	stepKafka    = "kafka"
	stepInflux   = "influxdb"
	stepDisk     = "disk"
)

// Report is all that was found, in order.
type Report struct {
	Version  string    `json:"version"`
	At       time.Time `json:"at"`
	Findings []Finding `json:"findings"`
}

// Worst gives the worst level: fail, warn or ok.
func (r Report) Worst() Level {
	worst := OK
	for _, f := range r.Findings {
		if f.Level == Fail {
			return Fail
		}
		if f.Level == Warn {
			worst = Warn
		}
	}
	return worst
}

// Err is nil when nothing failed; else it carries the exit code: 3 when a person
// has to act, 1 when the trouble may pass by itself.
func (r Report) Err() error {
	failed, person := 0, 0
	for _, f := range r.Findings {
		if f.Level == Fail {
			failed++
			if f.Person {
				person++
			}
		}
	}
	switch {
	case person > 0:
		return exit.With(exit.NeedsPerson, fmt.Errorf("%d of %d faults need a person: see the remedies", person, failed))
	case failed > 0:
		return exit.With(exit.Failed, fmt.Errorf("faults found: %d, each with its remedy above", failed))
	}
	return nil
}

// exam is one run and what its steps have learnt for the later ones.
type exam struct {
	cfg       Config
	log       *slog.Logger
	transport *http.Transport
	findings  []Finding
	say       func(Finding)

	accounts permit.Accounts
	patients []patient
	reached  bool // the stream's host, as far as TLS
	answered bool // the REST API's host
	ingest   ingestState
	cars     []schema.VIN // PRIMARY, as far as asked
}

// patient is an account under examination.
type patient struct {
	permit.Account

	source *auth.Source // nil when the tokens are ingest's in a cluster
	login  bool         // an access token can be had
	stream bool         // the tokens open the stream
}

// Run goes through all steps. say, which may be nil, is told each finding as it
// comes. The error is a Config that cannot be used, or the end of ctx.
func Run(ctx context.Context, cfg Config, say func(Finding)) (Report, error) {
	e, err := prepare(cfg, say)
	if err != nil {
		return Report{}, exit.With(exit.Usage, err)
	}
	defer e.close()
	for _, step := range []func(context.Context){
		e.network, e.tokens, e.logins, e.scopes, e.quotas, e.vehicles, e.lookForIngest, e.streams, e.data, e.kafka, e.influx, e.disk,
	} {
		step(ctx)
		if ctx.Err() != nil {
			return Report{}, ctx.Err()
		}
	}
	return Report{Version: ops.Version(), At: time.Now().UTC().Truncate(time.Second), Findings: e.findings}, nil
}

func prepare(cfg Config, say func(Finding)) (*exam, error) {
	if cfg.OauthURL == "" {
		cfg.OauthURL = auth.DefaultBaseURL
	}
	if cfg.RESTURL == "" {
		cfg.RESTURL = rest.DefaultBaseURL
	}
	if cfg.MQTTAddr == "" {
		cfg.MQTTAddr = stream.DefaultAddr
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.Listen <= 0 {
		cfg.Listen = 3 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.freeBytes == nil {
		cfg.freeBytes = freeBytes
	}
	if say == nil {
		say = func(Finding) {}
	}
	transport, err := permit.Transport(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	return &exam{cfg: cfg, log: cfg.Log, transport: transport, say: say}, nil
}

func (e *exam) close() {
	e.transport.CloseIdleConnections()
	if e.accounts != nil {
		e.accounts.Close()
	}
}

func (e *exam) add(f Finding) {
	e.findings = append(e.findings, f)
	e.say(f)
}

func (e *exam) ok(step, subject, format string, args ...any) {
	e.add(Finding{Step: step, Subject: subject, Level: OK, Text: fmt.Sprintf(format, args...)})
}

func (e *exam) skip(step, subject, text, remedy string) {
	e.add(Finding{Step: step, Subject: subject, Level: Skip, Text: text, Remedy: remedy})
}

func (e *exam) warn(step, subject, text, remedy string) {
	e.add(Finding{Step: step, Subject: subject, Level: Warn, Text: text, Remedy: remedy})
}

// fail is trouble that may pass by itself.
func (e *exam) fail(step, subject, text, remedy string) {
	e.add(Finding{Step: step, Subject: subject, Level: Fail, Text: text, Remedy: remedy})
}

// act is trouble that only a person ends.
func (e *exam) act(step, subject, text, remedy string) {
	e.add(Finding{Step: step, Subject: subject, Level: Fail, Text: text, Remedy: remedy, Person: true})
}

// bounded gives a step its time.
func (e *exam) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, e.cfg.Timeout)
}
