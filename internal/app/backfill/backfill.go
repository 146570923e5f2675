// Package backfill fetches what the stream does not bring: charging sessions of
// the past, keys that never stream, facts about the cars, and the latest values
// after a gap of the stream. What it fetches goes to Kafka and from there the way
// of everything else.
//
// Each call costs one of 50 a day, so an answer is on disk before anything else
// is done with it, is booked as done only when Kafka has it, and is never asked
// for twice. The package owns what was fetched and when; tokens and quota are the
// accounts' own.
package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Config says how to fetch and where to keep what was fetched until Kafka has it.
type Config struct {
	BaseURL    string            // of the Customer API; "" is BMW's
	HTTPClient *http.Client      // nil is a plain one
	Timeout    time.Duration     // of one call; 0 leaves it to the client
	DataDir    string            // resume state, a folder for each account
	Topics     pipeline.Topics   // where records go
	Catalogue  *schema.Catalogue // nil is the built-in one
	Parallel   int               // accounts at work at once; 0 means 4
	DailyCalls int               // that scheduled work may spend, for plans; 0 means 40: the limit without the reserve
	// Feed brings gaps and readings to Watch; nil means that Watch repairs nothing.
	Feed Feed
	// Stats and RESTStats may be shared by all Backfills of a process; nil is an own one.
	Stats     *Stats
	RESTStats *rest.Stats
	// Progress is told each step, one at a time; nil means nobody watches.
	Progress func(Step)
}

// Feed hands records of the gaps and readings topics to a handler until ctx
// ends, as a consumer of pipeline/kafka does.
type Feed interface {
	Run(ctx context.Context, handle kafka.Handler) error
}

// Stats counts what a Backfill did. All fields only grow.
type Stats struct {
	Calls          atomic.Int64 // booked, with those that failed: cardata_backfill_calls_total
	Answers        atomic.Int64 // durable in Kafka
	Sessions       atomic.Int64 // charging sessions produced
	Readings       atomic.Int64 // readings produced
	Vehicles       atomic.Int64 // vehicle records produced
	DeadLetters    atomic.Int64 // answers, or parts of them, that could not be used
	Skips          atomic.Int64 // things left out, each with its reason in the log
	QuotaWaits     atomic.Int64 // waits for 00:00 UTC
	GapsSeen       atomic.Int64 // gaps read from Kafka
	Repairs        atomic.Int64 // calls made for gaps
	RepairsPending atomic.Int64 // cars put down for a repair
}

// Backfill fetches for a fixed set of accounts. Plan may be called at any time,
// Run and Watch one at a time.
type Backfill struct {
	Stats *Stats

	cfg      Config
	accounts []permit.Account
	log      *slog.Logger
	wanted   []container
	slots    chan struct{} // holds one value for each account at work

	produce  sync.Mutex // guards producer, which takes one call at a time
	producer pipeline.Producer
	telling  sync.Mutex // guards cfg.Progress
}

// New gives a Backfill of these accounts. It opens nothing yet. producer may be
// nil when only plans are made.
func New(cfg Config, accounts []permit.Account, producer pipeline.Producer, log *slog.Logger) *Backfill {
	if cfg.Catalogue == nil {
		cfg.Catalogue = schema.Default()
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = 4
	}
	if cfg.DailyCalls <= 0 {
		cfg.DailyCalls = 40
	}
	if cfg.RESTStats == nil {
		cfg.RESTStats = new(rest.Stats)
	}
	if cfg.Stats == nil {
		cfg.Stats = new(Stats)
	}
	return &Backfill{
		Stats: cfg.Stats, cfg: cfg, accounts: slices.Clone(accounts), producer: producer, log: log,
		wanted: containers(cfg.Catalogue), slots: make(chan struct{}, cfg.Parallel),
	}
}

// Range says what a run is about. The zero Range is everything of the last 45
// days.
type Range struct {
	// From and To bound charging sessions by their start; zero means 45 days before
	// To, and now. Everything else REST serves is a latest value.
	From, To time.Time
	VINs     []schema.VIN // nil is every car of the accounts
	Kinds    []Kind       // nil is every kind
	NoWait   bool         // stop when the quota is gone, and not wait for 00:00 UTC
	Again    bool         // fetch what is here already, too

	containers []string // names; nil is all of ours
	resident   bool     // for Watch: no job to be taken up again
}

// DefaultHistory is how far back sessions are fetched when nothing else is said.
const DefaultHistory = 45 * 24 * time.Hour

func (r Range) complete(now time.Time) Range {
	now = now.UTC().Truncate(time.Second)
	if r.To.IsZero() || r.To.After(now) {
		r.To = now
	}
	if r.From.IsZero() {
		r.From = r.To.Add(-DefaultHistory)
	}
	r.From, r.To = r.From.UTC(), r.To.UTC()
	r.Kinds = ordered(r.Kinds)
	return r
}

func (r Range) validate() error {
	if !r.To.IsZero() && !r.From.Before(r.To) {
		return exit.With(exit.Usage, fmt.Errorf("the range ends %s, before it begins %s", r.To.Format(time.RFC3339), r.From.Format(time.RFC3339)))
	}
	return nil
}

// key names what was asked for, so that a killed run is told from another one.
func (r Range) key() string {
	vins := slices.Sorted(slices.Values(r.VINs))
	from, to := "", ""
	if !r.From.IsZero() {
		from = r.From.UTC().Format(time.RFC3339)
	}
	if !r.To.IsZero() {
		to = r.To.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s/%s %v %v %t", from, to, vins, ordered(r.Kinds), r.Again)
}

// Skip is one thing that was left out, and why.
type Skip struct {
	GCID   schema.GCID `json:"gcid,omitempty"`
	VIN    schema.VIN  `json:"vin,omitempty"`
	Kind   Kind        `json:"kind,omitempty"`
	From   time.Time   `json:"from,omitzero"` // of sessions
	To     time.Time   `json:"to,omitzero"`
	File   string      `json:"file,omitempty"` // of an archive
	Reason string      `json:"reason"`
	Remedy string      `json:"remedy,omitempty"`
	Normal bool        `json:"normal,omitempty"` // nothing a person could mend
}

// Summary is what a run did.
type Summary struct {
	CallsPlanned int    `json:"calls_planned"` // needed for what was asked for, as known at the end
	CallsSpent   int    `json:"calls_spent"`   // booked, with repeats after failures
	Sessions     int    `json:"charging_sessions"`
	Readings     int    `json:"readings"`
	Vehicles     int    `json:"vehicle_records"`
	DeadLetters  int    `json:"dead_letters"`
	Skipped      []Skip `json:"skipped,omitempty"`
	Left         int    `json:"left"` // steps not done, for a later run
}

func (s *Summary) add(o *Summary) {
	s.CallsPlanned += o.CallsPlanned
	s.CallsSpent += o.CallsSpent
	s.Sessions += o.Sessions
	s.Readings += o.Readings
	s.Vehicles += o.Vehicles
	s.DeadLetters += o.DeadLetters
	s.Skipped = append(s.Skipped, o.Skipped...)
	s.Left += o.Left
}

func (s *Summary) lacking() bool {
	return slices.ContainsFunc(s.Skipped, func(k Skip) bool { return !k.Normal })
}

// Run fetches what the range asks for and is not here yet, account by account,
// and waits for 00:00 UTC when a quota is gone. The Summary tells what was done
// whatever the error. A run that was stopped or killed goes on with the next Run
// of the same range.
//
// The error carries an exit code: exit.NeedsPerson when an account has to log
// in, exit.Partly when something was left out or is left for later.
func (b *Backfill) Run(ctx context.Context, r Range) (Summary, error) {
	if err := r.validate(); err != nil {
		return Summary{}, err
	}
	if len(b.accounts) == 0 {
		return Summary{}, exit.With(exit.NeedsPerson, errors.New("no account is logged in; run 'cardata login' first"))
	}
	var mu sync.Mutex // guards sum and faults
	var sum Summary
	var faults []error
	var g errgroup.Group
	for _, a := range b.accounts {
		g.Go(func() error { // ends with the account's work or with ctx
			one, err := b.runAccount(ctx, a, r)
			mu.Lock()
			defer mu.Unlock()
			sum.add(&one)
			if err != nil {
				faults = append(faults, fmt.Errorf("account %s: %w", a.Label, err))
			}
			return nil
		})
	}
	_ = g.Wait()
	if err := b.unknown(r); err != nil {
		faults = append(faults, err)
	}
	return sum, verdict(&sum, faults)
}

// unknown names the cars asked for that no account has.
func (b *Backfill) unknown(r Range) error {
	known := make(map[schema.VIN]bool)
	for _, a := range b.accounts {
		st, err := peekState(b.cfg.DataDir, a.GCID)
		if err != nil || st.Mapped.IsZero() {
			return nil //nolint:nilerr // the account's own error says more
		}
		maps.Insert(known, maps.All(mappedCars(st)))
	}
	for _, vin := range r.VINs {
		if !known[vin] {
			return exit.With(exit.Usage, fmt.Errorf("vehicle %s is mapped to none of the accounts; 'cardata vehicles' lists them", vin))
		}
	}
	return nil
}

func mappedCars(st *state) map[schema.VIN]bool {
	cars := make(map[schema.VIN]bool, len(st.Cars))
	for _, vin := range st.vins() {
		cars[vin] = true
	}
	return cars
}

// verdict gives the error of a run as a whole.
func verdict(sum *Summary, faults []error) error {
	err := errors.Join(faults...)
	if err == nil {
		if sum.lacking() {
			return exit.With(exit.Partly, errors.New("partly done: see what was skipped"))
		}
		return nil
	}
	codes := make(map[int]bool)
	for _, fault := range faults {
		codes[exit.Code(fault)] = true
	}
	for _, code := range []int{exit.NeedsPerson, exit.Usage, exit.Partly} {
		if codes[code] {
			return exit.With(code, err)
		}
	}
	if sum.Sessions+sum.Readings+sum.Vehicles > 0 {
		return exit.With(exit.Partly, err)
	}
	return err
}
