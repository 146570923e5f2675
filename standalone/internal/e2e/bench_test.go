package e2e

import (
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
)

// fleet sends more than any benchmark asks for.
var fleet = simulator.Config{Accounts: 2, Cars: 10, History: 90 * 24 * time.Hour}

const cpuSeconds = "process_cpu_seconds_total"

// BenchmarkIngest is the whole ingest path: MQTT over TLS, journal on disk,
// normalise, Kafka. One op is one message. The CPU is that of the ingest process
// alone; the simulator and the broker share the machine with it.
func BenchmarkIngest(b *testing.B) {
	r := newRig(b, fleet)
	r.startIngest()
	r.handed(1) // connected, topics made
	cpu, first, begin := r.ingest.metric(cpuSeconds), r.ingest.metric("cardata_intake_messages_journaled_total"), time.Now()
	b.ResetTimer()
	r.handed(int64(first) + int64(b.N))
	r.drained()
	b.StopTimer()
	messages := r.ingest.metric("cardata_intake_messages_journaled_total") - first
	b.ReportMetric(float64(time.Since(begin).Nanoseconds())/messages, "ns/op")
	b.ReportMetric((r.ingest.metric(cpuSeconds)-cpu)/messages*1e6, "cpu-s/million")
	b.ReportMetric(messages, "messages")
	b.ReportMetric(r.ingest.metric("process_resident_memory_bytes")/(1<<20), "MiB-resident")
}

// drained holds the feed and waits until Kafka has all of the journal.
func (r *rig) drained() {
	r.tb.Helper()
	r.sim.Pause()
	sent := float64(r.sim.Ledger().Total().Messages)
	r.until("journal drained", 5*time.Minute, func() bool {
		return r.ingest.metric("cardata_intake_messages_received_total") == sent && r.ingest.metric("cardata_journal_unsent_records") <= 1
	})
}

// BenchmarkSink is the way from Kafka to InfluxDB. One op is one reading. The
// CPU is that of the sink process alone; InfluxDB and the broker share the
// machine with it.
func BenchmarkSink(b *testing.B) {
	r := newRig(b, fleet)
	r.startIngest()
	r.handed(int64(b.N) * 8 / 5) // three in eight are repeats, which stay out of Kafka
	r.drained()
	if code := r.ingest.terminate(); code != 0 {
		b.Fatalf("ingest exits with %d", code)
	}
	r.startSink()
	cpu, begin := r.sink.metric(cpuSeconds), time.Now()
	b.ResetTimer()
	r.until("readings in InfluxDB", 10*time.Minute, func() bool { return r.broker.Behind(r.group, r.topics.Readings) == 0 })
	b.StopTimer()
	readings := r.sink.metric("cardata_store_readings_total")
	b.ReportMetric(float64(time.Since(begin).Nanoseconds())/readings, "ns/op")
	b.ReportMetric((r.sink.metric(cpuSeconds)-cpu)/readings*1e6, "cpu-s/million")
	b.ReportMetric(readings, "readings")
	b.ReportMetric(r.sink.metric("process_resident_memory_bytes")/(1<<20), "MiB-resident")
}
