// Package setup creates what the pipeline needs of Kafka and InfluxDB and is
// missing: topics, database, bucket, mapping. It never changes what is there,
// and says where that differs. Doing it again does nothing.
package setup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// The states of a Step.
const (
	Present = "present"
	Differs = "differs" // there, and left as it is
	Missing = "missing" // would be created
	Created = "created"
	Checked = "checked" // what the pipeline may do
	Failed  = "failed"
)

// Step is one thing looked at or created.
type Step struct {
	Server string `json:"server"` // kafka or influxdb
	Name   string `json:"name"`
	State  string `json:"state"`
	Text   string `json:"text,omitempty"`
}

// Report is all that was looked at, in order.
type Report struct {
	DryRun bool   `json:"dry_run"`
	Steps  []Step `json:"steps"`
}

// Run sets up what cfg names. say, which may be nil, is told each step as it comes. A
// server that fails does not keep the other one from being set up. The error
// carries the exit code: 3 when a person has to grant or correct something.
func Run(ctx context.Context, cfg Config, dryRun bool, log *slog.Logger, say func(Step)) (Report, error) {
	r := &run{cfg: cfg, log: log, say: say, report: Report{DryRun: dryRun, Steps: []Step{}}}
	var faults []error
	if len(cfg.KafkaBrokers) > 0 {
		faults = append(faults, r.fault("kafka", r.kafka(ctx)))
	}
	if cfg.InfluxURL != "" {
		faults = append(faults, r.fault("influxdb", r.influx(ctx)))
	}
	return r.report, errors.Join(faults...)
}

type run struct {
	cfg    Config
	log    *slog.Logger
	say    func(Step)
	report Report
}

func (r *run) add(s Step) {
	r.report.Steps = append(r.report.Steps, s)
	if r.say != nil {
		r.say(s)
	}
}

// fault adds an error as a step and gives it its exit code.
func (r *run) fault(server string, err error) error {
	if err == nil {
		return nil
	}
	r.add(Step{Server: server, Name: "error", State: Failed, Text: err.Error()})
	err = fmt.Errorf("%s is not set up: %w", server, err)
	if refusal, ok := errors.AsType[*pipeline.WriteError](err); ok && refusal.Class == pipeline.Fatal {
		return exit.With(exit.NeedsPerson, err)
	}
	return err
}

func (r *run) kafka(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	client, err := kafka.New(kafka.Config{
		Brokers: r.cfg.KafkaBrokers, ClientID: "cardata-setup", Log: r.log, Security: r.cfg.kafkaSecurity(),
		Rights: fmt.Sprintf("Create, Describe and DescribeConfigs on topics %s*", r.cfg.TopicPrefix),
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	list := r.cfg.plan().List()
	found, err := client.Compare(ctx, list)
	if err != nil {
		return err
	}
	var missing []kafka.Topic
	for i, v := range found {
		s := Step{Server: "kafka", Name: "topic " + v.Name, State: Present, Text: v.Unseen}
		switch {
		case v.Missing:
			missing = append(missing, list[i])
			continue
		case len(v.Differs) > 0:
			s.State, s.Text = Differs, strings.Join(v.Differs, "; ")
		}
		r.add(s)
	}
	if len(missing) == 0 {
		return nil
	}
	state := Missing
	if !r.report.DryRun {
		if err := client.EnsureTopics(ctx, missing); err != nil {
			return err
		}
		state = Created
	}
	for _, t := range missing {
		r.add(Step{Server: "kafka", Name: "topic " + t.Name, State: state, Text: describe(t)})
	}
	return nil
}

func describe(t kafka.Topic) string {
	text := fmt.Sprintf("%d partitions, %d replicas, retention %s", t.Partitions, t.Replication, t.Retention)
	if t.MinInSync > 0 {
		text += fmt.Sprintf(", %d in sync", t.MinInSync)
	}
	return text
}

func (r *run) influx(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	operator := r.cfg.operator()
	operator.Log = r.log
	boss, err := influx.New(operator)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	defer boss.Close()
	parts, err := boss.SetUp(ctx, influx.Layout{Retention: r.cfg.InfluxRetention, DryRun: r.report.DryRun})
	incomplete := false
	for _, p := range parts {
		r.add(Step{Server: "influxdb", Name: p.Name, State: p.State, Text: p.Text})
		incomplete = incomplete || p.State == influx.Missing
	}
	if err != nil || incomplete {
		return err
	}
	cfg := r.cfg.influx()
	cfg.Log = r.log
	own, err := influx.New(cfg)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	defer own.Close()
	if err := own.Verify(ctx); err != nil {
		return fmt.Errorf("the pipeline's own login (CARDATA_INFLUX_TOKEN, or CARDATA_INFLUX_USER and CARDATA_INFLUX_PASSWORD) may not use %s: %w", r.cfg.InfluxBucket, err)
	}
	r.add(Step{Server: "influxdb", Name: "the pipeline's login", State: Checked, Text: "may write and read " + r.cfg.InfluxBucket})
	return nil
}
