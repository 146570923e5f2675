package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded/influxproc"
)

// broker is what a test asks of Kafka: the embedded one of its own, or topics of
// its own in the real one at CARDATA_TEST_KAFKA.
type broker interface {
	Addr() string
	End(topic string) int64
	Behind(group, topic string) int64
}

// startBroker gives a broker and the gate in front of it.
func startBroker(tb testing.TB, dir string) (broker, *gate) {
	tb.Helper()
	if addr := os.Getenv("CARDATA_TEST_KAFKA"); addr != "" {
		return newRealBroker(tb, addr)
	}
	if required("kafka") {
		tb.Fatal("CARDATA_TEST_KAFKA is not set but required")
	}
	var front *gate
	b, err := embedded.StartBroker(embedded.BrokerConfig{
		Dir: filepath.Join(dir, "kafka"),
		Listen: func(network, addr string) (_ net.Listener, err error) {
			front, err = newGate(network, addr)
			return front, err
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.Close)
	return b, front
}

// required tells whether CARDATA_TEST_REQUIRE demands a server: 1 demands all.
func required(server string) bool {
	list := strings.Split(os.Getenv("CARDATA_TEST_REQUIRE"), ",")
	return slices.Contains(list, "1") || slices.Contains(list, server)
}

// realBroker is a real Kafka seen through one of its listeners that tell clients
// another address: there stands the gate.
type realBroker struct {
	tb    testing.TB
	front *gate
	kafka *kafka.Client // past the gate
}

// gates holds the listeners of the real Kafka that are free: "listen=advertised".
var gates = func() chan string {
	all := strings.Split(os.Getenv("CARDATA_TEST_KAFKA_GATES"), ",")
	free := make(chan string, len(all))
	for _, g := range all {
		free <- g
	}
	return free
}()

func newRealBroker(tb testing.TB, addr string) (broker, *gate) {
	tb.Helper()
	pair := <-gates
	tb.Cleanup(func() { gates <- pair })
	listen, advertised, ok := strings.Cut(pair, "=")
	if !ok {
		tb.Fatal("CARDATA_TEST_KAFKA_GATES must name listeners of the broker, as test/servers does")
	}
	transport := &kafka.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	b := &realBroker{tb: tb, front: proxy(tb, advertised, listen), kafka: &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}}
	return b, b.front
}

func (b *realBroker) Addr() string { return b.front.addr }

func (b *realBroker) End(topic string) int64 {
	b.tb.Helper()
	var n int64
	for _, p := range b.ask(topic) {
		n += p
	}
	return n
}

func (b *realBroker) Behind(group, topic string) int64 {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var n int64
	var all []int
	for p, end := range b.ask(topic) {
		n += end
		all = append(all, p)
	}
	if len(all) == 0 {
		return 0
	}
	res, err := b.kafka.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: all}})
	if err != nil || res.Error != nil {
		b.tb.Fatalf("offsets of %s: %v", group, errors.Join(err, res.Error))
	}
	for _, p := range res.Topics[topic] {
		n -= max(p.CommittedOffset, 0)
	}
	return n
}

// ask gives the end of each partition of a topic, none when there is no topic.
func (b *realBroker) ask(topic string) map[int]int64 {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	meta, err := b.kafka.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		b.tb.Fatalf("topic %s: %v", topic, err)
	}
	var requests []kafka.OffsetRequest
	for _, t := range meta.Topics {
		for _, p := range t.Partitions {
			requests = append(requests, kafka.LastOffsetOf(p.ID))
		}
	}
	if len(requests) == 0 {
		return nil
	}
	res, err := b.kafka.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: requests}})
	if err != nil {
		b.tb.Fatalf("ends of %s: %v", topic, err)
	}
	ends := make(map[int]int64)
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			b.tb.Fatalf("end of %s/%d: %v", topic, p.Partition, p.Error)
		}
		ends[p.Partition] = p.LastOffset
	}
	return ends
}

// startStore gives the InfluxDB that all tests share: the real 2.x or 1.8 of
// CARDATA_TEST_INFLUX2 or CARDATA_TEST_INFLUX1, in this order, else the embedded
// one. The bucket is each test's own.
func startStore(dir string, log *os.File) (influx.Config, func(), error) {
	if url, token, ok := strings.Cut(os.Getenv("CARDATA_TEST_INFLUX2"), ","); ok {
		return influx.Config{URL: url, Token: pipeline.Secret(token), Org: os.Getenv("CARDATA_TEST_INFLUX2_ORG")}, func() {}, nil
	}
	if url, token, _ := strings.Cut(os.Getenv("CARDATA_TEST_INFLUX1"), ","); url != "" {
		return influx.Config{URL: url, Token: pipeline.Secret(token)}, func() {}, nil
	}
	if required("influx1") || required("influx2") {
		return influx.Config{}, nil, errors.New("CARDATA_TEST_INFLUX1 or CARDATA_TEST_INFLUX2 must be set")
	}
	binary, err := influxproc.Build(dir)
	if err != nil {
		return influx.Config{}, nil, err
	}
	s, err := influxproc.Start(binary, filepath.Join(dir, "influxdb"), "127.0.0.1:0", log)
	if err != nil {
		return influx.Config{}, nil, err
	}
	return influx.Config{URL: s.URL()}, func() { s.Close() }, nil
}

// ownBucket gives the store with a bucket of the test's own. On 1.8 the sink makes
// the database; on 2.x a person has to, and names it database/retention-policy so
// that InfluxQL finds it.
func ownBucket(tb testing.TB, database string) influx.Config {
	tb.Helper()
	cfg := store
	cfg.Bucket = database
	if cfg.Org == "" {
		return cfg
	}
	cfg.Bucket += "/autogen"
	var orgs struct{ Orgs []struct{ ID string } }
	call(tb, http.MethodGet, cfg, "/api/v2/orgs?org="+cfg.Org, nil, &orgs)
	if len(orgs.Orgs) != 1 {
		tb.Fatalf("organisation %s: got %d of it, want 1", cfg.Org, len(orgs.Orgs))
	}
	var made struct{ ID string }
	call(tb, http.MethodPost, cfg, "/api/v2/buckets", map[string]string{"orgID": orgs.Orgs[0].ID, "name": cfg.Bucket}, &made)
	tb.Cleanup(func() { call(tb, http.MethodDelete, cfg, "/api/v2/buckets/"+made.ID, nil, nil) })
	return cfg
}

func call(tb testing.TB, method string, cfg influx.Config, path string, body, into any) {
	tb.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		tb.Fatal(err)
	}
	req, err := http.NewRequest(method, cfg.URL+path, bytes.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+string(cfg.Token))
	resp, err := client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
}
