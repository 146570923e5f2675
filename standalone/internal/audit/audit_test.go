package audit_test

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/audit"
	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
)

const (
	gcid = schema.GCID("00000000-0000-4000-8000-000000000001")
	vin  = schema.VIN("WBY00000000000001")
)

var (
	account = simulator.Account{GCID: gcid, VINs: []schema.VIN{vin}}
	t0      = time.Date(2026, 3, 14, 7, 0, 0, 0, time.UTC)
)

// sent is a ledger of messages handed over.
type sent []simulator.Entry

// entries makes n messages on one connection, one a second.
func entries(n int, conn uint64, from time.Time) sent {
	s := make(sent, n)
	for i := range s {
		at := from.Add(time.Duration(i) * time.Second)
		s[i] = simulator.Entry{
			GCID: gcid, VIN: vin, Descriptor: "vehicle.vehicle.travelledDistance", Measured: at, Handed: at,
			Truth: schema.Value{Kind: schema.KindNumber, Number: float64(i)}, Conn: conn,
		}
	}
	return s
}

func (s sent) Entries(schema.GCID) iter.Seq[simulator.Entry] { return slices.Values(s) }

// store brings into InfluxDB what keep lets through.
func store(t *testing.T, db *influx.Client, s sent, keep func(i int, e *simulator.Entry) bool) {
	t.Helper()
	var batch []schema.Reading
	for i, e := range s {
		if keep(i, &e) {
			batch = append(batch, schema.Reading{VIN: e.VIN, Descriptor: e.Descriptor, Time: e.Measured, Value: e.Truth, Received: e.Handed, GCID: gcid})
		}
	}
	if err := pipeline.Sink[schema.Reading](influx.NewReadingSink(db)).Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func storeGap(t *testing.T, db *influx.Client, start, end time.Time, cause schema.GapCause) {
	t.Helper()
	gap := schema.Gap{GCID: gcid, VINs: []schema.VIN{vin}, Start: start, End: end, Cause: cause}
	if err := influx.NewGapSink(db).Write(t.Context(), []schema.Gap{gap}); err != nil {
		t.Fatal(err)
	}
}

func at(second float64) time.Time { return t0.Add(time.Duration(second * float64(time.Second))) }

func all(int, *simulator.Entry) bool { return true }

func TestCheckFindsWhatIsPlanted(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "influxdb.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server, err := embedded.StartInflux(embedded.InfluxConfig{Dir: t.TempDir(), Addr: "127.0.0.1:0", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	const n = 20
	tests := map[string]struct {
		conns int // messages on connection 1, the rest on 2; 0: all on 1
		plant func(t *testing.T, db *influx.Client, s sent)
		want  audit.Account // Lost, Wrong, InGap, Unknown, Gaps count
	}{
		"all there": {plant: func(t *testing.T, db *influx.Client, s sent) { t.Helper(); store(t, db, s, all) }},
		"one lost": {
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				store(t, db, s, func(i int, _ *simulator.Entry) bool { return i != 7 })
			},
			want: audit.Account{Lost: 1},
		},
		"a number that a null replaced": {
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				s[8].Measured, s[8].Truth = s[7].Measured, schema.Value{}
				store(t, db, s, all)
			},
		},
		"a null lost that should have replaced a number": {
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				s[8].Measured, s[8].Truth = s[7].Measured, schema.Value{}
				store(t, db, s, func(i int, _ *simulator.Entry) bool { return i != 8 })
			},
			want: audit.Account{Lost: 1},
		},
		"all lost": {plant: func(*testing.T, *influx.Client, sent) {}, want: audit.Account{Lost: n}},
		"a value changed": {
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				store(t, db, s, func(i int, e *simulator.Entry) bool {
					if i == 7 {
						e.Truth.Number = 7.5
					}
					return true
				})
			},
			want: audit.Account{Wrong: 1},
		},
		"a type changed": {
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				store(t, db, s, func(i int, e *simulator.Entry) bool {
					if i == 7 {
						e.Truth = schema.Value{Kind: schema.KindText, Text: "7"}
					}
					return true
				})
			},
			want: audit.Account{Wrong: 1},
		},
		"a moment changed": {
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				store(t, db, s, func(i int, e *simulator.Entry) bool {
					if i == 7 {
						e.Measured = e.Measured.Add(time.Millisecond)
					}
					return true
				})
			},
			want: audit.Account{Lost: 1, Unknown: 1},
		},
		"the end of a connection inside a gap": {
			conns: 10,
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				store(t, db, s, func(i int, _ *simulator.Entry) bool { return i < 7 || i >= 10 })
				storeGap(t, db, at(6.5), at(9.5), schema.GapCrash)
			},
			want: audit.Account{InGap: 3, Gaps: 1},
		},
		"one of them before the gap": {
			conns: 10,
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				store(t, db, s, func(i int, _ *simulator.Entry) bool { return i < 6 || i >= 10 })
				storeGap(t, db, at(8.5), at(9.5), schema.GapCrash)
			},
			want: audit.Account{Lost: 1, InGap: 3, Gaps: 1},
		},
		"one of them after the gap": {
			conns: 10,
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				store(t, db, s, func(i int, _ *simulator.Entry) bool { return i < 8 || i >= 11 })
				storeGap(t, db, at(7.5), at(9.5), schema.GapCrash)
			},
			want: audit.Account{Lost: 1, InGap: 2, Gaps: 1},
		},
		"inside a gap, yet a later message of the connection arrived": {
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				store(t, db, s, func(i int, _ *simulator.Entry) bool { return i != 7 })
				storeGap(t, db, at(6.5), at(9.5), schema.GapCrash)
			},
			want: audit.Account{Lost: 1, Gaps: 1},
		},
		"the same with a full journal": {
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				store(t, db, s, func(i int, _ *simulator.Entry) bool { return i != 7 })
				storeGap(t, db, at(6.5), at(9.5), schema.GapJournalFull)
			},
			want: audit.Account{InGap: 1, Gaps: 1},
		},
		"a gap of another account": {
			conns: 10,
			plant: func(t *testing.T, db *influx.Client, s sent) {
				t.Helper()
				store(t, db, s, func(i int, _ *simulator.Entry) bool { return i < 7 || i >= 10 })
				gap := schema.Gap{GCID: "00000000-0000-4000-8000-000000000002", VINs: []schema.VIN{vin}, Start: at(6.5), End: at(9.5), Cause: schema.GapCrash}
				if err := influx.NewGapSink(db).Write(t.Context(), []schema.Gap{gap}); err != nil {
					t.Fatal(err)
				}
			},
			want: audit.Account{Lost: 3},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			db := database(t, server, name)
			s := entries(n, 1, t0)
			if tt.conns > 0 {
				for i := tt.conns; i < n; i++ {
					s[i].Conn = 2
				}
			}
			tt.plant(t, db, s)
			got := check(t, db, s)
			if got.Lost != tt.want.Lost || got.Wrong != tt.want.Wrong || got.InGap != tt.want.InGap || got.Unknown != tt.want.Unknown || got.Gaps != tt.want.Gaps {
				t.Errorf("got lost %d, wrong %d, in gap %d, unknown %d, gaps %d; want %d, %d, %d, %d, %d (%v)", got.Lost, got.Wrong, got.InGap, got.Unknown, got.Gaps,
					tt.want.Lost, tt.want.Wrong, tt.want.InGap, tt.want.Unknown, tt.want.Gaps, got.Examples)
			}
			if (got.Lost+got.Wrong > 0) != (len(got.Examples) > 0) {
				t.Errorf("examples %v", got.Examples)
			}
			if strings.Contains(strings.Join(got.Examples, ""), string(vin)) {
				t.Errorf("examples name the car in full: %v", got.Examples)
			}
		})
	}

	t.Run("repeats and revisions", func(t *testing.T) {
		db := database(t, server, t.Name())
		s := entries(3, 1, t0)
		repeat, revision, again := s[0], s[1], s[1]
		revision.Truth.Number = 99
		s = append(s, repeat, revision, again) // s[1] ends with its first value
		store(t, db, s, all)
		if got := check(t, db, s); got.Lost+got.Wrong != 0 || got.Points != 3 || got.Duplicates != 1 || got.Revised != 2 {
			t.Errorf("%+v, want 3 points, 1 duplicate, 2 revisions", got)
		}
	})
	t.Run("a revision that did not arrive is lost", func(t *testing.T) {
		db := database(t, server, t.Name())
		s := entries(3, 1, t0)
		revision := s[1]
		revision.Truth.Number = 99
		s = append(s, revision)
		store(t, db, s, func(i int, _ *simulator.Entry) bool { return i != 3 })
		if got := check(t, db, s); got.Lost != 1 || got.Wrong != 0 {
			t.Errorf("%+v, want one lost", got)
		}
	})
	t.Run("an overwritten revision is lost", func(t *testing.T) {
		db := database(t, server, t.Name())
		s := entries(3, 1, t0)
		revision := s[1]
		revision.Truth.Number = 99
		s = append(s, revision)
		store(t, db, s, all)
		store(t, db, s[1:2], all) // the first value again, after the revision
		if got := check(t, db, s); got.Lost != 1 {
			t.Errorf("%+v, want one lost", got)
		}
	})
	t.Run("garbled messages are not expected", func(t *testing.T) {
		db := database(t, server, t.Name())
		s := entries(3, 1, t0)
		s[1].Unreadable = true
		store(t, db, s, func(i int, _ *simulator.Entry) bool { return i != 1 })
		if got := check(t, db, s); got.Lost != 0 || got.Unreadable != 1 || got.Sent != 3 {
			t.Errorf("%+v, want one unreadable of three", got)
		}
	})
}

func check(t *testing.T, db *influx.Client, s sent) audit.Account {
	t.Helper()
	got, err := audit.Check(t.Context(), db, s, account)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func database(t *testing.T, server *embedded.Influx, name string) *influx.Client {
	t.Helper()
	db, err := influx.New(influx.Config{URL: server.URL(), Bucket: fmt.Sprintf("t%x", name)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.EnsureDatabase(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// An InfluxDB that does not answer must not look like one without losses.
func TestCheckNeedsAnswers(t *testing.T) {
	db, err := influx.New(influx.Config{
		URL: "http://127.0.0.1:1", Bucket: "x",
		HTTPClient: &http.Client{Transport: refusing{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got, err := audit.Check(ctx, db, entries(1, 1, t0), account); err == nil {
		t.Errorf("%+v, want an error", got)
	}
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed }
