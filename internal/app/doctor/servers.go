package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/topics"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// kafka looks at brokers, topics and access rules.
func (e *exam) kafka(ctx context.Context) {
	if len(e.cfg.KafkaBrokers) == 0 {
		e.skip(stepKafka, "", "no brokers named", "set CARDATA_KAFKA_BROKERS to look at them; standalone brings its own")
		return
	}
	brokers := strings.Join(e.cfg.KafkaBrokers, ",")
	client, err := kafka.New(kafka.Config{
		Brokers: e.cfg.KafkaBrokers, ClientID: "cardata-doctor", Log: e.log, RequestTimeout: e.cfg.Timeout, Security: e.cfg.KafkaSecurity,
	})
	if err != nil {
		e.act(stepKafka, "", err.Error(), "correct CARDATA_KAFKA_BROKERS and the other CARDATA_KAFKA_* variables")
		return
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	views, err := client.Inspect(ctx, topicNames(pipeline.TopicsFor(e.cfg.TopicPrefix)))
	if refused, ok := errors.AsType[*pipeline.WriteError](err); ok && refused.Class == pipeline.Fatal {
		e.act(stepKafka, brokers, err.Error(), "correct the login or the TLS settings, CARDATA_KAFKA_*; ingest keeps all in its journal meanwhile")
		return
	}
	if err != nil {
		e.fail(stepKafka, brokers, err.Error(), remedyKafka)
		return
	}
	e.ok(stepKafka, brokers, "a broker answers: %s", e.cfg.KafkaSecurity.Summary())
	sound := 0
	for _, v := range views {
		switch {
		case v.Refused:
			e.act(stepKafka, v.Name, "the cluster's access rules refuse it",
				"grant to "+client.Principal()+", if that is the user of ingest: "+topics.IngestRights(e.cfg.TopicPrefix)+
					"; of the sink: "+topics.SinkRights(e.cfg.TopicPrefix, "cardata-sink")+"; of backfill: "+topics.BackfillRights(e.cfg.TopicPrefix, "cardata-backfill"))
		case v.Missing:
			e.warn(stepKafka, v.Name, "the topic is missing",
				"nothing to do when ingest has not started yet: it makes its topics; else grant it Create on "+e.cfg.TopicPrefix+"* or make the topic")
		case v.Err != nil:
			e.fail(stepKafka, v.Name, v.Err.Error(), "look at the brokers' logs")
		case v.Leaderless > 0:
			e.fail(stepKafka, v.Name, fmt.Sprintf("%d of %d partitions have no leader", v.Leaderless, v.Partitions), "start the brokers that are away; ingest keeps all in its journal meanwhile")
		default:
			sound++
		}
	}
	if sound > 0 {
		e.ok(stepKafka, "", "%d of %d topics are there with leaders", sound, len(views))
	}
}

func topicNames(t pipeline.Topics) []string {
	return []string{t.Readings, t.Raw, t.Gaps, t.ChargingSessions, t.Vehicles, t.DeadLetters}
}

func (e *exam) influxClient() (*influx.Client, error) {
	return influx.New(influx.Config{
		URL: e.cfg.InfluxURL, Token: e.cfg.InfluxToken, Org: e.cfg.InfluxOrg, Bucket: e.cfg.InfluxBucket, Timeout: e.cfg.Timeout, Log: e.log,
		User: e.cfg.InfluxUser, Password: e.cfg.InfluxPassword, CAFile: e.cfg.InfluxFiles.CA, CertFile: e.cfg.InfluxFiles.Cert, KeyFile: e.cfg.InfluxFiles.Key,
	})
}

// influx proves that token and bucket let the sink write, by a write without lines.
func (e *exam) influx(ctx context.Context) {
	if e.cfg.InfluxURL == "" {
		e.skip(stepInflux, "", "no address named", "set CARDATA_INFLUX_URL to look at it; standalone brings its own")
		return
	}
	client, err := e.influxClient()
	if err != nil {
		e.act(stepInflux, "", err.Error(), "correct CARDATA_INFLUX_URL and CARDATA_INFLUX_BUCKET")
		return
	}
	defer client.Close()
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	err = client.Ping(ctx)
	we, ok := errors.AsType[*pipeline.WriteError](err)
	switch {
	case err == nil:
		e.ok(stepInflux, e.cfg.InfluxURL, "takes writes into %s", e.cfg.InfluxBucket)
	case ok && we.Class == pipeline.Fatal:
		e.act(stepInflux, e.cfg.InfluxURL, err.Error(), fmt.Sprintf(
			"check CARDATA_INFLUX_TOKEN and CARDATA_INFLUX_ORG, and that bucket %q exists: on 2.x `influx bucket create --name %s`, on 1.8 `CREATE DATABASE %s` (the sink does that)",
			e.cfg.InfluxBucket, e.cfg.InfluxBucket, e.cfg.InfluxBucket))
	default:
		e.fail(stepInflux, e.cfg.InfluxURL, err.Error(), "start InfluxDB, or correct CARDATA_INFLUX_URL; nothing is lost meanwhile: Kafka keeps the readings for its retention")
	}
}
