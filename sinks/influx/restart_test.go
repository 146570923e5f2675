package influx_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// A real server is stopped, then killed, between writes: what was written stays,
// what is written meanwhile may be written again, and a dashboard that asks
// meanwhile gets an error, never a part for the whole.
func TestARealServerRestartsInMidFlow(t *testing.T) {
	for variable, newTarget := range map[string]func(*testing.T, string, string) target{
		"CARDATA_TEST_INFLUX1": newDatabase1, "CARDATA_TEST_INFLUX2": newBucket2,
	} {
		t.Run(variable, func(t *testing.T) {
			url, token := serverOf(t, variable)
			ctl := os.Getenv(variable + "_CTL")
			if ctl == "" {
				t.Skip(variable + "_CTL is not set: this server is not ours to stop")
			}
			control := func(command string) {
				if out, err := exec.Command(ctl, command).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", command, err, out)
				}
			}
			tg := newTarget(t, url, token)
			t.Cleanup(func() { control("start") }) // before the database is dropped
			sink := influx.NewReadingSink(newClient(t, tg.cfg))
			var all []schema.Reading
			write := func() ([]schema.Reading, error) {
				batch := make([]schema.Reading, 500)
				for i := range batch {
					batch[i] = number(schema.Descriptor(fmt.Sprint("key", i%7)), noon.Add(time.Duration(len(all)+i)*time.Second), float64(i))
				}
				return batch, sink.Write(t.Context(), batch)
			}
			for _, end := range []string{"stop", "kill"} {
				batch, err := write()
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, batch...)
				control(end)
				batch, err = write()
				if we, ok := errors.AsType[*pipeline.WriteError](err); !ok || we.Class != pipeline.Retryable {
					t.Errorf("Write without a server = %v, want retryable", err)
				}
				if err := newClient(t, tg.cfg).Query(t.Context(), "SELECT number FROM reading", func(influx.Row) error { return nil }); err == nil {
					t.Error("Query without a server = nil")
				}
				control("start")
				if err := sink.Write(t.Context(), batch); err != nil {
					t.Fatalf("Write after the restart: %v", err)
				}
				all = append(all, batch...)
				wantHeld(t, tg, all)
			}
		})
	}
}
