package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
)

func TestDataDirNeverMixesKinds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	got, err := embedded.OpenDataDir(dir, "simulated")
	if err != nil || got != dir {
		t.Fatalf("a new folder: %q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "something"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.OpenDataDir(dir, "simulated"); err != nil {
		t.Errorf("the same kind again: %v", err)
	}
	_, err = embedded.OpenDataDir(dir, "real")
	if !errors.Is(err, embedded.ErrOtherData) || !strings.Contains(err.Error(), "--data") || !strings.Contains(err.Error(), dir) {
		t.Errorf("the other kind: %v, want ErrOtherData that names folder and remedy", err)
	}
}

func TestDataDirRefusesForeignFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "holiday.jpg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.OpenDataDir(dir, "simulated"); err == nil || !strings.Contains(err.Error(), "foreign files") {
		t.Errorf("got %v, want a refusal", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the folder was changed: %v", entries)
	}
}

func TestDataDirIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	got, err := embedded.OpenDataDir("data", "simulated")
	if err != nil || !filepath.IsAbs(got) {
		t.Errorf("got %q, %v, want an absolute path", got, err)
	}
}

func TestDataDirHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	release, err := embedded.LockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.LockDataDir(dir); !errors.Is(err, embedded.ErrInUse) {
		t.Errorf("a second owner: %v, want ErrInUse", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	release, err = embedded.LockDataDir(dir)
	if err != nil {
		t.Fatalf("after its release: %v", err)
	}
	_ = release()
}

func TestFreeAddr(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := l.Addr().String()
	got, busy, err := embedded.FreeAddr(t.Context(), taken)
	if err != nil || !busy || got == taken || !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("a busy port: %q, %v, %v, want another of the same host", got, busy, err)
	}
	_ = l.Close()
	if got, busy, err := embedded.FreeAddr(t.Context(), taken); err != nil || busy || got != taken {
		t.Errorf("a free port: %q, %v, %v, want it", got, busy, err)
	}
	if got, busy, err := embedded.FreeAddr(t.Context(), "127.0.0.1:0"); err != nil || busy || strings.HasSuffix(got, ":0") {
		t.Errorf("any port: %q, %v, %v", got, busy, err)
	}
	for _, addr := range []string{"nonsense", "192.0.2.1:80"} {
		if got, _, err := embedded.FreeAddr(t.Context(), addr); err == nil {
			t.Errorf("%s: %q, want an error", addr, got)
		}
	}
}

const topic = "cardata.readings"

func startBroker(t *testing.T, dir string) *embedded.Broker {
	t.Helper()
	b, err := embedded.StartBroker(embedded.BrokerConfig{Dir: dir, Topics: []string{topic}, Group: "g", LimitBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func connect(t *testing.T, b *embedded.Broker) *kafka.Client {
	t.Helper()
	k, err := kafka.New(kafka.Config{Brokers: []string{b.Addr()}, ClientID: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	if err := k.EnsureTopics(t.Context(), []kafka.Topic{{Name: topic, Partitions: embedded.Partitions, Replication: 1, Retention: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	return k
}

func produce(t *testing.T, k *kafka.Client, from, n int) {
	t.Helper()
	records := make([]pipeline.Record, n)
	for i := range records {
		value := fmt.Sprintf("%08d %s", from+i, strings.Repeat("x", 100))
		records[i] = pipeline.Record{Topic: topic, Key: fmt.Appendf(nil, "key-%d", (from+i)%16), Value: []byte(value), Time: time.Now()}
	}
	if err := k.NewProducer(kafka.ProducerConfig{}).Produce(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

// consume reads n records with the group and commits them.
func consume(t *testing.T, k *kafka.Client, n int) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seen, total := make(map[string]int), 0
	err := k.Consume(ctx, kafka.ConsumerConfig{Group: "g", Topics: []string{topic}, Parallel: 1}, func(_ context.Context, _ string, _ int, batch []pipeline.Record) error {
		for _, r := range batch {
			seen[string(r.Value[:8])]++
			total++
		}
		if total >= n {
			cancel()
		}
		return nil
	})
	if err != nil || total != n {
		t.Fatalf("%d records, %v, want %d", total, err, n)
	}
	return seen
}

func TestBrokerKeepsRecordsAndOffsetsOverRestarts(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	k := connect(t, b)
	produce(t, k, 0, 500)
	consume(t, k, 500)
	produce(t, k, 500, 300)
	_ = k.Close()
	b.Close()
	b.Close() // twice is once

	b = startBroker(t, dir)
	if end, behind := b.End(topic), b.Behind("g", topic); end != 800 || behind != 300 {
		t.Errorf("%d records, %d of them not committed; want 800 and 300", end, behind)
	}
	seen := consume(t, connect(t, b), 300)
	for i := 500; i < 800; i++ {
		if seen[fmt.Sprintf("%08d", i)] != 1 {
			t.Errorf("record %d was read %d times, want once", i, seen[fmt.Sprintf("%08d", i)])
		}
	}
}

func TestBrokerForgetsOnlyWhatIsCommitted(t *testing.T) {
	b := startBroker(t, t.TempDir())
	k := connect(t, b)
	for i := range 20 {
		produce(t, k, i*200, 200)
	}
	consume(t, k, 4000)
	for i := range 40 {
		produce(t, k, 4000+i*200, 200)
	}
	before := b.Bytes(topic)
	b.Trim()
	after := b.Bytes(topic)
	if after >= before {
		t.Errorf("%d bytes before, %d after: nothing was forgotten", before, after)
	}
	if seen := consume(t, k, 8000); len(seen) != 8000 {
		t.Errorf("%d of 8000 records that were not committed are there", len(seen))
	}
	b.Trim()
	if got := b.Bytes(topic); got > embedded.Partitions*(96<<10) {
		t.Errorf("%d bytes once all is committed, want about %d", got, embedded.Partitions*(64<<10))
	}
}

func TestInfluxKeepsPointsOverRestarts(t *testing.T) {
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(t.TempDir(), "influxdb.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	reading := schema.Reading{
		VIN: "WBY00000000000001", GCID: "00000000-0000-4000-8000-000000000001", Descriptor: "a.b",
		Time: time.Date(2026, 3, 14, 7, 0, 0, 0, time.UTC), Value: schema.Value{Kind: schema.KindNumber, Number: 4},
	}
	for life := range 2 {
		server, err := embedded.StartInflux(embedded.InfluxConfig{Dir: dir, Addr: "127.0.0.1:0", Log: log})
		if err != nil {
			t.Fatal(err)
		}
		db, err := influx.New(influx.Config{URL: server.URL(), Bucket: "cardata"})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.EnsureDatabase(t.Context()); err != nil {
			t.Fatal(err)
		}
		if life == 0 {
			if err := influx.NewReadingSink(db).Write(t.Context(), []schema.Reading{reading}); err != nil {
				t.Fatal(err)
			}
		}
		points := 0
		if err := db.Query(t.Context(), `SELECT "number" FROM "reading"`, func(influx.Row) error { points++; return nil }); err != nil {
			t.Fatal(err)
		}
		if points != 1 {
			t.Errorf("life %d: %d points, want 1", life+1, points)
		}
		db.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
}
