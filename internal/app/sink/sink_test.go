package sink

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/topics"
	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	testVIN  schema.VIN  = "WBY00000000000001"
	testGCID schema.GCID = "00000000-0000-4000-8000-000000000001"
)

// store is an InfluxDB 1.8 that keeps the lines and says when it has a wanted one.
type store struct {
	mu     sync.Mutex // guards lines and wanted
	lines  []string
	wanted map[string]bool // beginnings of lines still to come
	all    chan struct{}   // closed when none is left
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/query":
		_, _ = io.WriteString(w, `{"results":[{"statement_id":0,"series":[{"name":"databases","columns":["name"],"values":[["cardata"]]}]}]}`)
	case "/api/v2/write":
		body, _ := io.ReadAll(r.Body)
		s.keep(string(body))
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *store) keep(body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(body) {
		s.lines = append(s.lines, line)
		for begin := range s.wanted {
			if !strings.HasPrefix(line, begin) {
				continue
			}
			if delete(s.wanted, begin); len(s.wanted) == 0 {
				close(s.all)
			}
		}
	}
}

// TestEveryTopicReachesInfluxDB runs the process as it is wired, over sockets.
func TestEveryTopicReachesInfluxDB(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	db := &store{all: make(chan struct{}), wanted: map[string]bool{
		"reading,": true, "gap,": true, "charging_session,": true, "charging_block,": true, "vehicle,kind=tyres,": true,
		"day,table=charging_sessions,": true, "day,table=vehicles,": true,
		"position,vin=" + string(testVIN) + " latitude=48,longitude=11,": true, "day,table=positions,": true,
	}}
	server := httptest.NewServer(db)
	defer server.Close()
	names := pipeline.TopicsFor("t.")
	produce(ctx, t, cluster.ListenAddrs(), names)

	cfg := Config{KafkaBrokers: cluster.ListenAddrs(), InfluxURL: server.URL}
	if err := env.Defaults(&cfg); err != nil {
		t.Fatal(err)
	}
	cfg.TopicPrefix, cfg.TopicPartitions, cfg.HTTPAddr = "t.", 1, "127.0.0.1:0"
	s, err := New(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(stop) }()
	select {
	case <-db.all:
	case err := <-done:
		t.Fatalf("Run ended with %v; still missing %v", err, db.wanted)
	case <-ctx.Done():
		t.Errorf("still missing %v", db.wanted)
	}
	stopped()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	stats := s.Stats()
	if stats.Sessions.Load() != 1 || stats.Vehicles.Load() != 1 || stats.Readings.Load() != 3 || stats.Gaps.Load() != 1 || stats.RecordsInvalid.Load() != 1 {
		t.Errorf("stored %d sessions, %d vehicles, %d readings, %d gaps and %d dead letters, want three readings and one of each other",
			stats.Sessions.Load(), stats.Vehicles.Load(), stats.Readings.Load(), stats.Gaps.Load(), stats.RecordsInvalid.Load())
	}
}

// produce writes one record to each topic, and one that is no session.
func produce(ctx context.Context, t *testing.T, brokers []string, names pipeline.Topics) {
	t.Helper()
	client, err := kafka.New(kafka.Config{Brokers: brokers, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	plan := topics.Plan{Names: names, Partitions: 1, Replication: 1, ReadingsRetention: time.Hour, RawRetention: time.Hour}
	if err := client.EnsureTopics(ctx, plan.List()); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	reading := schema.Reading{VIN: testVIN, Descriptor: "a.b", Time: now, Source: schema.SourceREST, Received: now, GCID: testGCID}
	latitude, longitude := reading, reading
	latitude.Descriptor, latitude.Value = derive.Latitude.Descriptor(), schema.Value{Kind: schema.KindNumber, Number: 48}
	longitude.Descriptor, longitude.Value = derive.Longitude.Descriptor(), schema.Value{Kind: schema.KindNumber, Number: 11}
	session := schema.ChargingSession{
		GCID: testGCID, VIN: testVIN, Start: now.Add(-time.Hour), End: now, Source: schema.SourceREST, Fetched: now,
		Blocks: []schema.ChargingBlock{{Start: now.Add(-time.Hour), End: now, AverageGridKW: 11}},
	}
	vehicle := schema.Vehicle{GCID: testGCID, VIN: testVIN, Kind: schema.VehicleTyres, Fetched: now, Raw: []byte(`{}`)}
	gap := schema.Gap{GCID: testGCID, VINs: []schema.VIN{testVIN}, Start: now, End: now, Cause: schema.GapJournalLost}
	rubbish := names.SessionRecord(&session)
	rubbish.Value = []byte("<html>")
	err = client.NewProducer(topics.Producer(names)).Produce(ctx, []pipeline.Record{
		rubbish, names.ReadingRecord(&reading), names.ReadingRecord(&latitude), names.ReadingRecord(&longitude), names.SessionRecord(&session), names.VehicleRecord(&vehicle),
		{Topic: names.Gaps, Key: []byte(testGCID), Value: schema.AppendGap(nil, &gap), Time: now},
	})
	if err != nil {
		t.Fatal(err)
	}
}
