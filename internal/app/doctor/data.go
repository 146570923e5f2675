package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// Ages that a person should know of.
const (
	silentWarn = 7 * 24 * time.Hour // without any reading of a car; parked ones are silent for days
	emptyWarn  = 24 * time.Hour     // subscribed and never heard a car
	gapWarn    = 5 * time.Minute    // without a stream
)

const remedyEmpty = "in the portal, \"configure data stream\": tick the keys for each car and save; then wake the car (unlock it, drive, " +
	"or send a command from the app); the first data may take a day, some cars send at a trip's end only, and a SECONDARY user gets none"

func (e *exam) coverageFile() string { return filepath.Join(e.cfg.DataDir, "coverage.json") }

func (e *exam) coverage() (pipeline.Coverage, error) {
	var c pipeline.Coverage
	b, err := os.ReadFile(e.coverageFile())
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(b, &c)
}

// data tells what arrived: the journal's coverage, and each car's last reading in InfluxDB.
func (e *exam) data(ctx context.Context) {
	e.journal()
	e.lastReadings(ctx)
}

func (e *exam) journal() {
	if e.cfg.DataDir == "" {
		return
	}
	c, err := e.coverage()
	switch {
	case errors.Is(err, fs.ErrNotExist) && e.hasJournal():
		e.skip(stepData, "", "no coverage snapshot yet: ingest saves the first one after a minute", "")
		return
	case errors.Is(err, fs.ErrNotExist):
		e.skip(stepData, "", "no journal in "+e.cfg.DataDir+": ingest has not run here", "")
		return
	case err != nil:
		e.warn(stepData, "", "coverage snapshot: "+err.Error(), "let doctor read "+e.cfg.DataDir+", as ingest's user does")
		return
	}
	for _, gcid := range c.Accounts() {
		s, _ := c.State(gcid)
		label := permit.Label(gcid)
		switch {
		case s.Open != nil && time.Since(s.Open.Start) > gapWarn:
			e.warn(stepData, label, fmt.Sprintf("no stream since %s (%s)", s.Open.Start.UTC().Format(time.RFC3339), s.Open.Cause), gapRemedy(s.Open.Cause))
		case s.Subscribed && len(s.Known) == 0 && time.Since(s.Since) > emptyWarn:
			e.warn(stepData, label, "subscribed for "+span(time.Since(s.Since))+" and not one message", remedyEmpty)
		case len(s.Known) == 0:
			e.ok(stepData, label, "journal: no car heard yet, which is normal until one is driven or unlocked")
		default:
			e.ok(stepData, label, "journal: %d cars heard", len(s.Known))
		}
	}
}

func (e *exam) hasJournal() bool {
	_, err := os.Stat(filepath.Join(e.cfg.DataDir, "journal"))
	return err == nil
}

func gapRemedy(cause schema.GapCause) string {
	switch cause {
	case schema.GapEvicted:
		return remedyRival
	case schema.GapJournalFull:
		return remedyJournalFull
	case schema.GapRefused, schema.GapTokenExpired:
		return "look at the steps login and stream; " + remedyLogin
	case schema.GapShutdown, schema.GapCrash, schema.GapJournalLost, schema.GapMoved:
		return "start ingest"
	default:
		return remedyFirewall
	}
}

// lastReadings asks freshness, which has one point per car and minute of arrival,
// and the marks of days, which are there before the first minute is over.
func (e *exam) lastReadings(ctx context.Context) {
	if e.cfg.InfluxURL == "" {
		return // the InfluxDB step says so
	}
	client, err := e.influxClient()
	if err != nil {
		return
	}
	defer client.Close()
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	last := make(map[schema.VIN]time.Time)
	note := func(r influx.Row, at time.Time) {
		if vin, err := schema.ParseVIN(r.Tag("vin")); err == nil && last[vin].Before(at) {
			last[vin] = at
		}
	}
	err = client.Query(ctx, `SELECT last("readings") FROM "freshness" GROUP BY "vin"`, func(r influx.Row) error {
		note(r, time.Unix(0, r.Time()))
		return nil
	})
	if err == nil && len(last) == 0 {
		err = client.Query(ctx, `SELECT last("touched") FROM "day" WHERE "table" = `+influx.QuoteText(influx.TableReadings)+` GROUP BY "vin"`, func(r influx.Row) error {
			if touched, ok := r.Int("last"); ok {
				note(r, time.UnixMilli(touched))
			}
			return nil
		})
	}
	if err != nil {
		e.skip(stepData, "", "InfluxDB does not tell the last readings", "look at the step influxdb")
		return
	}
	for _, vin := range e.cars {
		if _, seen := last[vin]; !seen {
			last[vin] = time.Time{}
		}
	}
	if len(last) == 0 {
		e.warn(stepData, "", "InfluxDB holds no reading yet", remedyEmpty+"; and the sink has to run")
	}
	for _, vin := range slices.Sorted(maps.Keys(last)) {
		at := last[vin]
		switch age := time.Since(at); {
		case at.IsZero():
			e.warn(stepData, string(vin), "no reading in InfluxDB", remedyEmpty)
		case age > silentWarn:
			e.warn(stepData, string(vin), "last reading "+span(age)+" ago", remedyEmpty)
		default:
			e.ok(stepData, string(vin), "last reading %s ago", span(age))
		}
	}
}
