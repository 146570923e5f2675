package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/backfill"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// TestMain also serves as the backfill process that tests kill.
func TestMain(m *testing.M) {
	if os.Getenv("CARDATA_TEST_CHILD") == "" {
		os.Exit(m.Run()) //nolint:forbidigo // TestMain's way out
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	os.Exit(exit.Code(Main(ctx, os.Args[1:], os.Stdout, os.Stderr))) //nolint:forbidigo,gocritic // the child's way out
}

// rig is the simulated service with one account that is logged in, and a broker.
type rig struct {
	t        *testing.T
	sim      *simulator.Simulator
	gcid     schema.GCID
	tokenDir string
	env      []string
	names    pipeline.Topics
	brokers  []string
}

func newRig(t *testing.T, cars int) *rig {
	t.Helper()
	sim, err := simulator.Start(t.Context(), simulator.Config{Seed: 7, Accounts: 1, Cars: cars, AutoApprove: true, PollInterval: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	r := &rig{
		t: t, sim: sim, gcid: sim.Accounts()[0].GCID, tokenDir: t.TempDir(),
		names: pipeline.TopicsFor("cardata."), brokers: cluster.ListenAddrs(),
	}
	if err := login.Run(t.Context(), login.Config{
		ClientID: sim.ClientID(), BaseURL: sim.OAuthURL(), TokenDir: r.tokenDir, CAFile: sim.CAFile(),
		Log: slog.New(slog.DiscardHandler),
	}, io.Discard); err != nil {
		t.Fatal(err)
	}
	r.env = []string{
		"CARDATA_TEST_CHILD=1",
		"CARDATA_TOKEN_DIR=" + r.tokenDir, "CARDATA_OAUTH_URL=" + sim.OAuthURL(), "CARDATA_REST_URL=" + sim.RESTURL(),
		"CARDATA_CA_FILE=" + sim.CAFile(), "CARDATA_KAFKA_BROKERS=" + strings.Join(r.brokers, ","),
		"CARDATA_TOPIC_PARTITIONS=2",
	}
	return r
}

// start runs backfill in a process of its own.
func (r *rig) start(dataDir string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	r.t.Helper()
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	out := new(bytes.Buffer)
	cmd := exec.CommandContext(r.t.Context(), self, args...)
	cmd.Env = append(append(os.Environ(), r.env...), "CARDATA_DATA_DIR="+dataDir)
	cmd.Stdout = out
	cmd.Stderr = r.t.Output()
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	return cmd, out
}

// command runs backfill to its end and reads its JSON.
func (r *rig) command(dataDir string, code int, into any, args ...string) {
	r.t.Helper()
	cmd, out := r.start(dataDir, args...)
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != code {
		r.t.Fatalf("%v: exit code %d, want %d", args, got, code)
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		r.t.Fatalf("%v: %v in %q", args, err, out)
	}
}

func (r *rig) calls() int {
	n := 0
	for _, calls := range r.sim.RESTCalls(r.gcid) {
		n += calls
	}
	return n
}

// stored reads topics from their beginning to their end.
func (r *rig) stored(topic string) []pipeline.Record {
	r.t.Helper()
	client, err := kafka.New(kafka.Config{Brokers: r.brokers, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	c := client.NewConsumer(kafka.ConsumerConfig{Group: fmt.Sprint("test-", time.Now().UnixNano()), Topics: []string{topic}, MinBytes: 1})
	ctx, stop := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer stop()
	var mu sync.Mutex
	var records []pipeline.Record
	go func() {
		defer stop()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for quiet := 0; quiet < 10 && ctx.Err() == nil; quiet++ {
			<-tick.C
			st := c.Status()
			for _, p := range st.Partitions {
				if p.End < 0 || p.Next < 0 || p.Lag() > 0 {
					quiet = 0
				}
			}
			if len(st.Partitions) == 0 {
				quiet = 0
			}
		}
	}()
	err = c.Run(ctx, func(_ context.Context, _ string, _ int, batch []pipeline.Record) error {
		mu.Lock()
		defer mu.Unlock()
		for _, b := range batch {
			b.Key, b.Value = bytes.Clone(b.Key), bytes.Clone(b.Value)
			records = append(records, b)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return records
}

// sessions gives those in Kafka by car and start; the last record counts.
func (r *rig) sessions() map[schema.VIN]map[time.Time]schema.ChargingSession {
	r.t.Helper()
	all := make(map[schema.VIN]map[time.Time]schema.ChargingSession)
	d := schema.NewDecoder()
	for _, record := range r.stored(r.names.ChargingSessions) {
		var s schema.ChargingSession
		if err := d.Session(&s, record.Value); err != nil {
			r.t.Fatal(err)
		}
		if all[s.VIN] == nil {
			all[s.VIN] = make(map[time.Time]schema.ChargingSession)
		}
		all[s.VIN][s.Start.UTC()] = s
	}
	return all
}

// expected is what a session of the simulator has to be in Kafka.
func expected(gcid schema.GCID, vin schema.VIN, s *cars.Session) schema.ChargingSession {
	f := func(v float64) *float64 { return &v }
	seconds := float64(s.ChargingSeconds())
	w := schema.ChargingSession{
		GCID: gcid, VIN: vin, Start: s.Start, End: s.End, TimeZone: s.TimeZone, StartSOC: f(s.StartSOC), EndSOC: f(s.EndSOC),
		ChargingSeconds: &seconds, MileageKm: f(s.MileageKm), Preconditioning: &s.Preconditioned, Source: schema.SourceREST,
		Place: &schema.ChargingPlace{
			Municipality: s.City, Address: simulator.Address(s), Street: s.Street, Latitude: f(s.Latitude), Longitude: f(s.Longitude),
		},
	}
	if !s.End.IsZero() {
		w.GridKWh = f(s.EnergyGridKWh)
	}
	if s.Provider != "" {
		w.Public = []schema.ChargingPoint{{Provider: s.Provider, Street: s.Street, PostalCode: s.PostalCode, City: s.City}}
	}
	for _, e := range s.Errors {
		w.Errors = append(w.Errors, schema.ChargingError{Time: e.Time, Hint: e.Hint})
	}
	for _, b := range s.Blocks {
		w.Blocks = append(w.Blocks, schema.ChargingBlock{Start: b.Start, End: b.End, AverageGridKW: b.PowerKW})
	}
	return w
}

// check holds the sessions in Kafka to the simulator's, field by field. What
// changes while a session runs is left out of running ones.
func (r *rig) check(from, to time.Time) {
	r.t.Helper()
	stored := r.sessions()
	total := 0
	for _, vin := range r.sim.Accounts()[0].VINs {
		truth := r.sim.Sessions(vin, from, to)
		total += len(truth)
		if len(stored[vin]) != len(truth) {
			r.t.Errorf("%s: %d sessions in Kafka, %d at the service", vin, len(stored[vin]), len(truth))
		}
		for i := range truth {
			got := stored[vin][truth[i].Start.UTC()]
			want := expected(r.gcid, vin, &truth[i])
			want.Fetched = got.Fetched
			if truth[i].End.IsZero() || got.End.IsZero() {
				want.EndSOC, want.ChargingSeconds, want.Blocks, want.End, want.GridKWh = got.EndSOC, got.ChargingSeconds, got.Blocks, got.End, got.GridKWh
			}
			a, b := string(schema.AppendSession(nil, &got)), string(schema.AppendSession(nil, &want))
			if a != b {
				r.t.Errorf("session\n%s\nwant\n%s", a, b)
			}
		}
	}
	if total == 0 {
		r.t.Error("the simulator had no session")
	}
}

// TestRunAgainstTheSimulator plans, runs and repeats; calls spent are calls
// planned, and sessions are the service's.
func TestRunAgainstTheSimulator(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	dir := t.TempDir()
	from := time.Now().UTC().Add(-20 * 24 * time.Hour).Truncate(24 * time.Hour)
	args := []string{"--json", "--from", from.Format(time.DateOnly)}

	var plan backfill.Plan
	r.command(dir, exit.Done, &plan, append([]string{"plan"}, args...)...)
	if r.calls() != 0 || plan.Calls == 0 || plan.Days != 1 {
		t.Errorf("plan %+v after %d calls", plan, r.calls())
	}
	var sum backfill.Summary
	r.command(dir, exit.Done, &sum, append([]string{"run", "--no-wait"}, args...)...)
	if sum.CallsSpent != sum.CallsPlanned || sum.CallsSpent != r.calls() || r.calls() != r.sim.QuotaSpent(r.gcid) {
		t.Errorf("calls: planned %d, spent %d, at the service %d, on its quota %d", sum.CallsPlanned, sum.CallsSpent, r.calls(), r.sim.QuotaSpent(r.gcid))
	}
	if len(sum.Skipped) != 0 || sum.DeadLetters != 0 || sum.Readings == 0 {
		t.Errorf("summary %+v", sum)
	}
	r.check(from, time.Now())
	r.command(dir, exit.Done, &sum, append([]string{"run", "--no-wait"}, args...)...)
	if sum.CallsSpent != 0 {
		t.Errorf("a repeated run spent %d calls", sum.CallsSpent)
	}
	r.readings()
}

// readings holds those of the last answer to the simulator's latest values.
func (r *rig) readings() {
	r.t.Helper()
	records := r.stored(r.names.Readings)
	if len(records) == 0 {
		r.t.Error("no readings")
	}
	d := schema.NewDecoder()
	known := make(map[schema.VIN]bool)
	for _, record := range records {
		var v schema.Reading
		if err := d.Reading(&v, record.Value); err != nil {
			r.t.Fatal(err)
		}
		if v.Source != schema.SourceREST || v.GCID != r.gcid || string(record.Key) != string(v.VIN) || !record.Time.Equal(v.Received.Truncate(time.Millisecond)) {
			r.t.Errorf("reading %+v", v)
		}
		known[v.VIN] = true
	}
	if len(known) != len(r.sim.Accounts()[0].VINs) {
		r.t.Errorf("readings of %d cars", len(known))
	}
}

// TestKilledProcesses kills runs again and again until one ends by itself. A
// kill between a call and its answer on disk repeats that call; none else is.
func TestKilledProcesses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.sim.SetFaults(simulator.Faults{RESTDelay: 40 * time.Millisecond})
	dir := t.TempDir()
	from := time.Now().UTC().Add(-20 * 24 * time.Hour).Truncate(24 * time.Hour)
	args := []string{"run", "--no-wait", "--json", "--from", from.Format(time.DateOnly)}
	kills := 0
	for ; kills < 8; kills++ {
		cmd, _ := r.start(dir, args...)
		before := r.calls()
		for r.calls() < before+2 { // two answers, and then at any point
			select {
			case <-time.After(5 * time.Millisecond):
			case <-t.Context().Done():
				t.Fatal("no call was made")
			}
			if cmd.ProcessState != nil {
				break
			}
		}
		<-time.After(time.Duration(kills*7%40) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	var sum backfill.Summary
	r.command(dir, exit.Done, &sum, args...)
	r.check(from, time.Now())

	whole := newRig(t, 2)
	var undisturbed backfill.Summary
	whole.command(t.TempDir(), exit.Done, &undisturbed, args...)
	if r.calls() > undisturbed.CallsSpent+kills || r.calls() < undisturbed.CallsSpent {
		t.Errorf("%d calls with %d kills, %d without any", r.calls(), kills, undisturbed.CallsSpent)
	}
	t.Logf("%d calls with %d kills, %d without any", r.calls(), kills, undisturbed.CallsSpent)
}

// TestTwoProcesses share one account's quota and login: they never spend more
// than the day has, and the login outlives them.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.sim.SetFaults(simulator.Faults{TokenLife: 3 * time.Second, RESTTokenRefused: 2})
	args := []string{"run", "--no-wait", "--json", "--from", time.Now().UTC().Add(-170 * 24 * time.Hour).Format(time.DateOnly)}
	first, _ := r.start(t.TempDir(), args...)
	second, _ := r.start(t.TempDir(), args...)
	_, _ = first.Process.Wait()
	_, _ = second.Process.Wait()
	if spent := r.sim.QuotaSpent(r.gcid); spent > 40 || spent < 30 {
		t.Errorf("%d calls on the quota of 50 with a reserve of 10", spent)
	}
	store := auth.OpenStore(auth.StorePath(r.tokenDir, r.gcid))
	if set, err := store.Load(); err != nil || set.RefreshToken == "" {
		t.Errorf("tokens after both: %v", err)
	}
	r.sim.ResetQuota(r.gcid) // the next day
	if err := os.Remove(rest.QuotaPath(r.tokenDir, r.gcid)); err != nil {
		t.Fatal(err)
	}
	r.sim.SetFaults(simulator.Faults{})
	r.sim.ExpireTokens(r.gcid)
	var sum backfill.Summary // with tokens that only the refresh token can bring
	r.command(t.TempDir(), exit.Done, &sum, "run", "--no-wait", "--json", "--kinds", "basic")
	if sum.Vehicles != 6 { // mapping and basic data
		t.Errorf("the login is of no use: %+v", sum)
	}
}

// TestNoLogin names the remedy.
func TestNoLogin(t *testing.T) {
	t.Setenv("CARDATA_TOKEN_DIR", t.TempDir())
	t.Setenv("CARDATA_DATA_DIR", t.TempDir())
	var out, faults bytes.Buffer
	err := Main(t.Context(), []string{"plan"}, &out, &faults)
	if exit.Code(err) != exit.NeedsPerson || !strings.Contains(faults.String(), "cardata login") {
		t.Errorf("exit code %d, %q", exit.Code(err), faults.String())
	}
}

// TestUsage names all faults of the flags at once.
func TestUsage(t *testing.T) {
	var out, faults bytes.Buffer
	err := Main(t.Context(), []string{"run", "--from", "yesterday", "--vin", "X", "--kinds", "all"}, &out, &faults)
	if exit.Code(err) != exit.Usage {
		t.Errorf("exit code %d", exit.Code(err))
	}
	for _, want := range []string{"--from", "--vin", "--kinds", "backfill run --help"} {
		if !strings.Contains(faults.String(), want) {
			t.Errorf("%q does not name %s", faults.String(), want)
		}
	}
}

// TestDay takes --to as a whole day.
func TestDay(t *testing.T) {
	f := flags{from: "2026-01-01", to: "2026-01-31"}
	r, err := f.parse()
	if err != nil || !reflect.DeepEqual(r.To, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("range %v to %v, %v", r.From, r.To, err)
	}
}

// TestPrint shows a plan and a summary to a person.
func TestPrint(t *testing.T) {
	left := 12
	var b bytes.Buffer
	plan := backfill.Plan{Accounts: []backfill.AccountPlan{{
		GCID: "g", Calls: 60, AtLeast: 50, Days: 3, DailyCalls: 40, LeftToday: &left, Unknown: true,
		Cars: []backfill.CarPlan{{Calls: map[backfill.Kind]int{backfill.KindSessions: 52}}},
	}}}
	sum := backfill.Summary{CallsSpent: 3, CallsPlanned: 4, Left: 2, Skipped: []backfill.Skip{{VIN: "WBY00000000000001", Reason: "why", Remedy: "do this"}}}
	if err := printPlan(&b, &plan); err != nil {
		t.Fatal(err)
	}
	if err := printSummary(&b, &sum, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"(each car)", "52", "3 day(s); 12 are left today", "not known yet", "3 calls spent of 4", "2 steps are left", "why; do this"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestWatchProcess does its first daily run and stops in order.
func TestWatchProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.env = append(r.env, "CARDATA_HTTP_ADDR=127.0.0.1:0")
	cmd, _ := r.start(t.TempDir(), "watch")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for r.sim.RESTCalls(r.gcid)["image"] == 0 && ctx.Err() == nil { // the last of a run
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("no daily run: %v", r.sim.RESTCalls(r.gcid))
		}
	}
	<-time.After(500 * time.Millisecond)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if len(r.sessions()) != 1 {
		t.Error("no sessions in Kafka")
	}
}
