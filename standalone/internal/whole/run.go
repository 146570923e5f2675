package whole

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ingest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/sink"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
)

// Whole is everything that runs in the process.
type whole struct {
	cfg     Config
	dir     string
	log     *slog.Logger
	report  *reporter
	sim     *simulator.Simulator // nil with --real
	broker  *embedded.Broker
	influx  influxServer
	ingest  *ingest.Ingest
	sink    *sink.Sink
	rest    *restSide
	dataset *datasetSide
	db      *influx.Client
	closers []func() error
	since   time.Time // all was up
	http    http.Client
}

// Run starts everything in the order of the data flow from the far end, feeds,
// and at the end audits and stops it from the near end.
func Run(ctx context.Context, cfg Config, stdout, stderr io.Writer) (err error) {
	w := &whole{cfg: cfg, report: newReporter(stdout, stderr, cfg.JSON)}
	defer func() { err = errors.Join(err, w.close()) }()
	for _, step := range []func(context.Context) error{
		w.openData, w.findAccounts, w.startInflux, w.startBroker, w.startSimulator, w.setUpSink, w.setUpIngest, w.setUpREST, w.setUpExport,
	} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err() // Ctrl-C while starting
			}
			return err
		}
	}
	w.report.started(w)
	w.since = time.Now()

	carry, stopCarry := context.WithCancel(context.WithoutCancel(ctx)) // outlives Ctrl-C: the audit wants the flow settled
	defer stopCarry()
	flow, broken := errgroup.WithContext(carry)
	sinkCtx, stopSink := context.WithCancel(broken)
	defer stopSink()
	ingestCtx, stopIngest := context.WithCancel(broken)
	defer stopIngest()
	ingestDone := make(chan struct{})
	flow.Go(func() error { return w.sink.Run(sinkCtx) })
	flow.Go(func() error {
		defer close(ingestDone)
		return w.ingest.Run(ingestCtx)
	})

	stopREST := w.goREST(flow, broken)
	stopExport := w.goExport(flow, broken)

	w.live(ctx, broken)
	w.awaitREST(ctx, broken)
	var auditErr error
	stopREST() // what is under way is kept and goes on with the next start
	stopExport()
	if broken.Err() == nil {
		w.settle(broken)
		auditErr = w.audit(broken)
	}
	stopIngest()
	<-ingestDone
	stopSink() // leaves its group before the broker stops
	if err := flow.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	w.report.say("all data stays in %s; the next start goes on from there", w.dir)
	return auditErr
}

// live shows progress until the time is over, Ctrl-C, or something breaks.
func (w *whole) live(ctx, broken context.Context) {
	if w.cfg.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.cfg.For)
		defer cancel()
	}
	var past <-chan struct{}
	if w.sim != nil && w.cfg.History > 0 {
		past = w.sim.HistoryDone()
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-broken.Done():
			return
		case <-past:
			w.report.pastIsFed(w)
			past = nil
		case <-tick.C:
			w.report.progress(w, w.phase(broken))
		}
	}
}

// awaitREST lets the simulator's past be fetched to its end when the time of --for
// is over before; Ctrl-C does not wait.
func (w *whole) awaitREST(ctx, broken context.Context) {
	if w.sim == nil {
		return
	}
	select {
	case <-w.rest.done:
	case <-ctx.Done():
	case <-broken.Done():
	}
}

// phase says in a few words what goes on. Without a simulator it asks ingest
// whether BMW's stream stands: a parked car is silent, and so is a broken login.
func (w *whole) phase(ctx context.Context) string {
	if w.sim != nil {
		select {
		case <-w.sim.HistoryDone():
			return "live"
		default:
			return "feeding the past"
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.ingest.Addr()+"/readyz", nil)
	if err != nil {
		return "live"
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return "not answering"
	}
	defer resp.Body.Close()
	var ready struct {
		Checks map[string]string `json:"checks"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&ready); err != nil || ready.Checks["stream"] == "ok" {
		return "live"
	}
	return "no stream yet (" + ready.Checks["stream"] + ")"
}

func (w *whole) openData(context.Context) error {
	kind := "simulated"
	if w.cfg.Real {
		kind = "real"
	}
	dir, err := embedded.OpenDataDir(w.cfg.Data, kind)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	w.dir = dir
	release, err := embedded.LockDataDir(dir)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	w.closers = append(w.closers, release)
	file, err := openLog(filepath.Join(dir, "standalone.log"))
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	w.closers = append(w.closers, file.Close)
	shown := slog.LevelError
	if w.cfg.Real {
		shown = slog.LevelWarn // what keeps BMW's stream away is the owner's business
	}
	w.log = slog.New(slog.NewMultiHandler(
		slog.NewJSONHandler(file, nil), slog.NewTextHandler(w.report, &slog.HandlerOptions{Level: shown}),
	))
	return nil
}

// openLog appends to the log of earlier runs; one that has grown large makes
// room and stays as the one before.
func openLog(name string) (*os.File, error) {
	const large = 16 << 20
	if info, err := os.Stat(name); err == nil && info.Size() > large {
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// findAccounts demands a logged-in account for --real before anything starts.
func (w *whole) findAccounts(context.Context) error {
	if !w.cfg.Real {
		return nil
	}
	stores, err := auth.Stores(w.tokenDir())
	switch {
	case len(stores) > 0: // a broken file among them is shown by ingest
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return exit.With(exit.NeedsPerson, err)
	}
	remedy := "go run ./cmd/cardata login --client-id UUID"
	if w.cfg.TokenDir != "" {
		remedy += " --token-dir " + w.cfg.TokenDir
	}
	return exit.With(exit.NeedsPerson, fmt.Errorf("no account is logged in (looked in %s)\n"+
		"log in once, with the client id from the portal:\n\n    %s\n\nand start again", w.tokenDir(), remedy))
}

func (w *whole) startInflux(ctx context.Context) error {
	addr, err := w.place(ctx, "InfluxDB", w.cfg.InfluxAddr)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(w.dir, "influxdb.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	w.closers = append(w.closers, file.Close)
	start := w.cfg.influx
	if start == nil {
		start = embedInflux
	}
	if w.influx, err = start(filepath.Join(w.dir, "influxdb"), addr, file); err != nil {
		return err
	}
	w.closers = append(w.closers, w.influx.Close)
	w.db, err = influx.New(influx.Config{URL: w.influx.URL(), Bucket: "cardata", Log: w.log})
	if err == nil {
		w.closers = append(w.closers, func() error { w.db.Close(); return nil })
	}
	return err
}

func (w *whole) startBroker(ctx context.Context) error {
	addr, err := w.place(ctx, "Kafka", w.cfg.KafkaAddr)
	if err != nil {
		return err
	}
	port, err := embedded.Port(addr)
	if err != nil {
		return err
	}
	names := pipeline.TopicsFor("cardata.")
	w.broker, err = embedded.StartBroker(embedded.BrokerConfig{
		Dir: filepath.Join(w.dir, "kafka"), Port: port, Group: "cardata-sink",
		Topics: names.All(),
	})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, func() error { w.broker.Close(); return nil })
	return nil
}

// place gives a free address, and tells when it is not the one asked for.
func (w *whole) place(ctx context.Context, what, addr string) (string, error) {
	free, busy, err := embedded.FreeAddr(ctx, addr)
	if err != nil {
		return "", fmt.Errorf("%s address: %w", what, err)
	}
	if busy {
		w.report.say("%s: %s is taken, using %s", what, addr, free)
	}
	return free, nil
}

func (w *whole) startSimulator(ctx context.Context) error {
	if w.cfg.Real {
		return nil
	}
	sim, err := simulator.Start(context.WithoutCancel(ctx), simulator.Config{
		Seed: w.cfg.Seed, Accounts: w.cfg.Accounts, Cars: w.cfg.Cars, History: w.cfg.History, Speed: w.cfg.Speed,
		Dir: filepath.Join(w.dir, "simulator"), AutoApprove: true, PollInterval: time.Second,
		ConnectsPerMinute: max(10, w.cfg.Accounts*2), Log: w.log,
	})
	if err != nil {
		return err
	}
	w.sim = sim
	w.closers = append(w.closers, func() error { sim.Close(); return nil })
	return w.logIn(ctx)
}

// staleLogin is the age at which a login is not relied on any more: refresh
// tokens live 14 days (CarData API, section "Lifetimes and refresh").
const staleLogin = 7 * 24 * time.Hour

// logIn goes through the device flow for each simulated account, once: the
// stored login of an earlier run still works, unless that was long ago.
func (w *whole) logIn(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, account := range w.sim.Accounts() {
		stored, err := os.Stat(filepath.Join(w.tokenDir(), string(account.GCID)+".json"))
		if err == nil && time.Since(stored.ModTime()) < staleLogin {
			continue
		}
		group.Go(func() error {
			return login.Run(ctx, login.Config{
				ClientID: account.ClientID, BaseURL: w.sim.OAuthURL(), TokenDir: w.tokenDir(), CAFile: w.sim.CAFile(), Log: w.log,
			}, io.Discard)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("log in at the simulator: %w", err)
	}
	return nil
}

func (w *whole) tokenDir() string {
	if !w.cfg.Real {
		return filepath.Join(w.dir, "tokens")
	}
	if w.cfg.TokenDir != "" {
		return w.cfg.TokenDir
	}
	dir, err := login.DefaultTokenDir()
	if err != nil {
		return filepath.Join(w.dir, "tokens")
	}
	return dir
}

func (w *whole) setUpSink(ctx context.Context) error {
	var cfg sink.Config
	if err := env.Defaults(&cfg); err != nil {
		return err
	}
	cfg.KafkaBrokers = []string{w.broker.Addr()}
	cfg.TopicPartitions = embedded.Partitions
	cfg.ReadingsRetention, cfg.RawRetention = embedded.Retention, embedded.Retention
	cfg.InfluxURL = w.influx.URL()
	cfg.HTTPAddr = "127.0.0.1:0"
	var err error
	w.sink, err = sink.New(ctx, cfg, w.log)
	return err
}

func (w *whole) setUpIngest(ctx context.Context) error {
	var cfg ingest.Config
	if err := env.Defaults(&cfg); err != nil {
		return err
	}
	addr, err := w.place(ctx, "metrics", w.cfg.HTTPAddr)
	if err != nil {
		return err
	}
	cfg.HTTPAddr = addr
	cfg.DataDir, cfg.TokenDir = w.dir, w.tokenDir()
	cfg.KafkaCompression = "snappy" // the broker forces each batch to the disk: a fifth of the bytes
	cfg.KafkaBrokers = []string{w.broker.Addr()}
	cfg.TopicPartitions = embedded.Partitions
	cfg.ReadingsRetention, cfg.RawRetention = embedded.Retention, embedded.Retention
	cfg.JournalMaxMib = 1024
	cfg.JournalKeep = 15 * time.Minute // the embedded broker may lose its tail with us
	at := w.cfg.service
	if w.sim != nil {
		at = service{w.sim.OAuthURL(), w.sim.MQTTAddr(), w.sim.CAFile()}
	}
	if at != (service{}) {
		cfg.OauthURL, cfg.MQTTAddr, cfg.CAFile = at.oauthURL, at.mqttAddr, at.caFile
	}
	if w.sim != nil {
		cfg.ConnectsPerMinute = max(cfg.ConnectsPerMinute, w.cfg.Accounts*2)
	}
	w.ingest, err = ingest.New(ctx, cfg, w.log)
	return err
}

// close ends what was started, the last first.
func (w *whole) close() error {
	var errs []error
	for _, stop := range slices.Backward(w.closers) {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}
