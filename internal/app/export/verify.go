package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// Report is what Verify found.
type Report struct {
	Files       int      `json:"files"` // as they should be
	Rows        int64    `json:"rows"`  // in them
	DaysCounted int      `json:"days_counted"`
	Findings    []string `json:"findings"`
}

// Held is what a dataset holds by its manifest.
type Held struct {
	Files int
	Rows  map[string]int64 // by table
}

// Held counts files and rows; it reads the manifest alone.
func (e *Export) Held(ctx context.Context) (Held, error) {
	h := Held{Rows: make(map[string]int64)}
	m, err := parquet.ReadManifest(ctx, e.target)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, openFault(err)
	}
	for i := range m.Tables {
		for j := range m.Tables[i].Files {
			h.Files++
			h.Rows[m.Tables[i].Name] += m.Tables[i].Files[j].Rows
		}
	}
	return h, nil
}

// Verify reads every file and holds it against the manifest, and then, unless
// filesOnly, the rows of table readings against InfluxDB's count of each day. The
// error has exit.Failed when there are findings.
func (e *Export) Verify(ctx context.Context, filesOnly bool) (Report, error) {
	r := Report{Findings: []string{}}
	held, err := e.Held(ctx)
	if err != nil {
		return r, err
	}
	if held.Files == 0 {
		return r, exit.With(exit.Usage, errors.New("there is no dataset at this target yet"))
	}
	found, err := parquet.Verify(ctx, e.target, func(f parquet.ManifestFile) {
		r.Files++
		r.Rows += f.Rows
		e.progress(r.Files, held.Files, f.Path)
	})
	if err != nil {
		return r, openFault(err)
	}
	for _, f := range found {
		r.Findings = append(r.Findings, f.String())
	}
	if !filesOnly {
		if err := e.count(ctx, &r); err != nil {
			return r, err
		}
	}
	if len(r.Findings) > 0 {
		return r, exit.With(exit.Failed, fmt.Errorf("%d finding(s)", len(r.Findings)))
	}
	return r, nil
}

// count compares days that InfluxDB still has and that did not change since they
// were made: those that did are made anew by the next run. With a profile that
// leaves readings out, rows are fewer, and only more of them are wrong.
func (e *Export) count(ctx context.Context, r *Report) error {
	m, err := parquet.ReadManifest(ctx, e.target)
	if err != nil {
		return openFault(err)
	}
	rows, touched := readingsByDay(m)
	var vins []schema.VIN // under other profiles nobody knows whose tokens they are
	if m.Settings.Vehicles != "" {
		if e.dataset.Profile.Name != parquet.Full {
			return nil
		}
		for vin := range strings.SplitSeq(m.Settings.Vehicles, ",") {
			vins = append(vins, schema.VIN(vin))
		}
	}
	marks, err := e.marks(ctx, Selection{Tables: []string{parquet.TableReadings}}, time.Unix(0, 0).UTC(), time.Now().UTC().AddDate(0, 0, 3))
	if err != nil {
		return err
	}
	only(marks[parquet.TableReadings], vins)
	table, _ := parquet.TableByName(parquet.TableReadings)
	days := slices.SortedFunc(maps.Keys(rows), time.Time.Compare)
	for i, day := range days {
		e.progress(i, len(days), "counting "+day.Format(time.DateOnly))
		if len(marks["readings"][day]) == 0 || !e.current(&table, day, marks, touched[day]) {
			continue
		}
		var stored int64
		counts, err := e.db.CountReadings(ctx, vins, day, day.Add(24*time.Hour))
		if err != nil {
			return fmt.Errorf("count readings of %s: %w", day.Format(time.DateOnly), err)
		}
		for _, c := range counts {
			stored += c.Readings
		}
		r.DaysCounted++
		if stored != rows[day] && (e.dataset.Profile.Name == parquet.Full || rows[day] > stored) {
			r.Findings = append(r.Findings, fmt.Sprintf("readings of %s: %d rows, InfluxDB has %d; 'export run --again --from %[1]s --to %[1]s' makes them anew",
				day.Format(time.DateOnly), rows[day], stored))
		}
	}
	e.progress(len(days), len(days), "done")
	return nil
}

// only leaves the marks of some vehicles; of all when there are none.
func only(marks dayMarks, vins []schema.VIN) {
	if len(vins) == 0 {
		return
	}
	for day := range marks {
		maps.DeleteFunc(marks[day], func(vin schema.VIN, _ int64) bool { return !slices.Contains(vins, vin) })
	}
}

// current says whether the digests that a day's files were made with are still
// those of its marks.
func (e *Export) current(t *parquet.Table, day time.Time, marks map[string]dayMarks, made map[string]bool) bool {
	for _, digest := range e.touched(t, day, marks) {
		if !made[digest] {
			return false
		}
	}
	return true
}

// readingsByDay gives rows, and the digests they were made with, of each day.
func readingsByDay(m *parquet.Manifest) (rows map[time.Time]int64, touched map[time.Time]map[string]bool) {
	rows, touched = make(map[time.Time]int64), make(map[time.Time]map[string]bool)
	for i := range m.Tables {
		if m.Tables[i].Name != parquet.TableReadings {
			continue
		}
		for _, f := range m.Tables[i].Files {
			day, ok := dayOfPath(f.Path)
			if !ok {
				continue
			}
			rows[day] += f.Rows
			if touched[day] == nil {
				touched[day] = make(map[string]bool)
			}
			touched[day][f.Touched] = true
		}
	}
	return rows, touched
}

// Rebuild makes the manifest anew from the files and gives their number. vins are
// those that the dataset was made of, if it was not made of all.
func (e *Export) Rebuild(ctx context.Context, vins []schema.VIN) (files int, err error) {
	if err := parquet.Rebuild(ctx, e.target, e.of(vins)); err != nil {
		return 0, openFault(err)
	}
	held, err := e.Held(ctx)
	return held.Files, err
}
