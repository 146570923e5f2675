package dashboards

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	backfill "github.com/cardata-pipeline/cardata-pipeline/internal/app/backfill/cli"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ingest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/sink"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
)

// history is the past that is fed: long enough for every car to drive and charge.
const history = 72 * time.Hour

// world is the pipeline around a simulator, with one sink for each InfluxDB.
type world struct {
	t       *testing.T
	dir     string
	log     *slog.Logger
	sim     *simulator.Simulator
	broker  *embedded.Broker
	stores  []*store
	metrics map[string]string // text of /metrics, by process
}

// filled gives a world at rest: everything has been stored, all has stopped.
func filled(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: slog.New(slog.DiscardHandler), metrics: map[string]string{}}
	var err error
	if w.sim, err = simulator.Start(t.Context(), simulator.Config{
		Seed: 1, Accounts: 1, Cars: 5, History: history, Dir: filepath.Join(w.dir, "simulator"),
		AutoApprove: true, PollInterval: time.Second, ConnectsPerMinute: -1, Faults: simulator.Faults{ReconnectRefusal: -1},
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.sim.Close)
	if w.broker, err = embedded.StartBroker(embedded.BrokerConfig{Dir: filepath.Join(w.dir, "kafka")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.broker.Close)
	w.stores = stores(t, w.dir)
	w.logIn()
	w.run()
	for _, s := range w.stores {
		s.ensurePositions(t)
	}
	return w
}

func (w *world) tokens() string { return filepath.Join(w.dir, "tokens") }

func (w *world) logIn() {
	w.t.Helper()
	if err := login.Run(w.t.Context(), login.Config{
		ClientID: w.sim.ClientID(), BaseURL: w.sim.OAuthURL(), TokenDir: w.tokens(), CAFile: w.sim.CAFile(), Log: w.log,
	}, io.Discard); err != nil {
		w.t.Fatal(err)
	}
}

// run feeds the past, tears one gap, fetches charging sessions, and stops in the
// order of the data flow.
func (w *world) run() {
	t := w.t
	t.Helper()
	in := w.newIngest()
	sinks := make([]*sink.Sink, len(w.stores))
	for i, s := range w.stores {
		sinks[i] = w.newSink(s)
	}
	flow, ctx := errgroup.WithContext(t.Context())
	sinkCtx, stopSinks := context.WithCancel(ctx)
	defer stopSinks()
	ingestCtx, stopIngest := context.WithCancel(ctx)
	defer stopIngest()
	for _, s := range sinks {
		flow.Go(func() error { return s.Run(sinkCtx) })
	}
	ingested := make(chan struct{})
	flow.Go(func() error {
		defer close(ingested)
		return in.Run(ingestCtx)
	})

	select {
	case <-w.sim.HistoryDone():
	case <-ctx.Done():
		t.Fatal(flow.Wait())
	case <-time.After(3 * time.Minute):
		t.Fatal("the past is not fed within three minutes")
	}
	w.sim.DropConnections(w.sim.Accounts()[0].GCID)
	w.until("a gap is recorded", func() bool { return in.Intake().Gaps.Load() > 0 })
	w.backfill(ctx)
	w.sim.Pause()
	names := pipeline.TopicsFor("cardata.")
	w.until("all is stored", func() bool {
		behind := in.Behind() > 5 // heartbeats keep the journal moving
		for i, s := range sinks {
			behind = behind || s.Behind() > 0 || s.Stats().Gaps.Load() == 0 || s.Stats().Sessions.Load() == 0
			for _, topic := range []string{names.Readings, names.Gaps, names.ChargingSessions, names.Vehicles} {
				behind = behind || w.broker.Behind(w.stores[i].group, topic) > 0
			}
		}
		return !behind
	})
	w.metrics["ingest"] = w.scrape(in.Addr())
	w.metrics["sink"] = w.scrape(sinks[0].Addr())
	stopIngest()
	<-ingested
	stopSinks()
	if err := flow.Wait(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) newIngest() *ingest.Ingest {
	w.t.Helper()
	var cfg ingest.Config
	if err := env.Defaults(&cfg); err != nil {
		w.t.Fatal(err)
	}
	cfg.DataDir, cfg.TokenDir, cfg.HTTPAddr = filepath.Join(w.dir, "ingest"), w.tokens(), "127.0.0.1:0"
	cfg.OauthURL, cfg.MQTTAddr, cfg.CAFile = w.sim.OAuthURL(), w.sim.MQTTAddr(), w.sim.CAFile()
	cfg.KafkaBrokers, cfg.TopicPartitions, cfg.ReconnectGap = []string{w.broker.Addr()}, embedded.Partitions, time.Second
	in, err := ingest.New(w.t.Context(), cfg, w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	return in
}

func (w *world) newSink(to *store) *sink.Sink {
	w.t.Helper()
	var cfg sink.Config
	if err := env.Defaults(&cfg); err != nil {
		w.t.Fatal(err)
	}
	cfg.KafkaBrokers, cfg.TopicPartitions, cfg.KafkaGroup, cfg.HTTPAddr = []string{w.broker.Addr()}, embedded.Partitions, to.group, "127.0.0.1:0"
	cfg.InfluxURL, cfg.InfluxBucket, cfg.InfluxOrg, cfg.InfluxToken = to.url, to.database, to.org, pipeline.Secret(to.token)
	s, err := sink.New(w.t.Context(), cfg, w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// backfill fetches three weeks of charging sessions, then lets watch start up for
// its metrics.
func (w *world) backfill(ctx context.Context) {
	w.t.Helper()
	addr, _, err := embedded.FreeAddr(ctx, "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"DATA_DIR": filepath.Join(w.dir, "backfill"), "TOKEN_DIR": w.tokens(), "OAUTH_URL": w.sim.OAuthURL(), "REST_URL": w.sim.RESTURL(),
		"CA_FILE": w.sim.CAFile(), "KAFKA_BROKERS": w.broker.Addr(), "TOPIC_PARTITIONS": strconv.Itoa(embedded.Partitions), "HTTP_ADDR": addr,
	} {
		w.t.Setenv("CARDATA_"+name, value)
	}
	var said bytes.Buffer
	from := time.Now().Add(-21 * 24 * time.Hour).UTC().Format(time.DateOnly)
	if err := backfill.Main(ctx, []string{"run", "--no-wait", "--from", from, "--kinds", "sessions,basic"}, &said, &said); err != nil {
		w.t.Fatalf("backfill run: %v\n%s", err, said.String())
	}
	watchCtx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- backfill.Main(watchCtx, []string{"watch"}, io.Discard, io.Discard) }() // ends with stop
	w.until("backfill watches", func() bool {
		w.metrics["backfill"] = w.scrape(addr)
		return w.metrics["backfill"] != ""
	})
	stop()
	if err := <-done; err != nil {
		w.t.Fatalf("backfill watch: %v", err)
	}
}

// scrape gives the metrics of a process, or nothing when it does not answer.
func (w *world) scrape(addr string) string {
	w.t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(body)
}

func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(3 * time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("%s: not within three minutes", what)
		}
	}
}

// vins gives the cars of the models, or all of them.
func (w *world) vins(models ...cars.Model) []string {
	var some []string
	for _, a := range w.sim.Accounts() {
		for _, vin := range a.VINs {
			if len(models) == 0 || slices.Contains(models, a.Models[vin]) {
				some = append(some, string(vin))
			}
		}
	}
	return some
}

// exported lists the metrics of all processes by name.
func (w *world) exported() map[string]bool {
	names := map[string]bool{}
	for _, text := range w.metrics {
		for line := range strings.Lines(text) {
			if name := regexp.MustCompile(`^[a-zA-Z_:][\w:]*`).FindString(line); name != "" {
				names[name] = true
			}
		}
	}
	return names
}
