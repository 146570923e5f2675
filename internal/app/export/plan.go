package export

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// work is one step: the tables of one UTC day that are made from one source.
type work struct {
	day      time.Time
	source   parquet.Source
	tables   []string
	vehicles []schema.VIN // whose data can be in them, in the order of their rows
	touched  map[string]map[schema.VIN]string
}

// digest gives what is kept with a committed partition.
func (w *work) digest(table string, vin schema.VIN) string { return w.touched[table][vin] }

// text names the step for a person.
func (w *work) text() string { return w.day.Format(time.DateOnly) + " " + strings.Join(w.tables, " ") }

// plan asks InfluxDB which days were touched, before any of their data is read,
// and gives those whose marks differ from the ones the dataset was made with.
func (e *Export) plan(ctx context.Context, ds *parquet.Dataset, sel Selection) ([]work, error) {
	from, to := sel.bounds(time.Now())
	marks, err := e.marks(ctx, sel, from, to)
	if err != nil {
		return nil, err
	}
	var steps []work
	for _, group := range groups(sel.Tables) {
		days := group.days(marks)
		if sel.Prune {
			days = withKept(days, ds, group.tables, from, to)
		}
		for _, day := range days {
			w := e.step(ds, group, day, marks, sel)
			if len(w.tables) > 0 {
				steps = append(steps, w)
			}
		}
	}
	slices.SortStableFunc(steps, func(a, b work) int { return a.day.Compare(b.day) })
	return steps, nil
}

// dayMarks are the marks of one table of measurement day: day, then vehicle.
type dayMarks map[time.Time]map[schema.VIN]int64

func (e *Export) marks(ctx context.Context, sel Selection, from, to time.Time) (map[string]dayMarks, error) {
	all := make(map[string]dayMarks)
	known := make(map[schema.VIN]bool)
	for _, t := range parquet.Tables() {
		for _, mark := range t.Marks {
			if all[mark] != nil || !slices.Contains(tablesOf(sel.Tables), t.Name) {
				continue
			}
			days, err := e.db.Days(ctx, mark, from, to)
			if err != nil {
				return nil, fmt.Errorf("days touched of %s: %w", mark, err)
			}
			for i := range days {
				known[days[i].VIN] = true
			}
			if len(sel.VINs) > 0 {
				days = slices.DeleteFunc(days, func(d influx.Day) bool { return !slices.Contains(sel.VINs, d.VIN) })
			}
			all[mark] = byDay(days)
		}
	}
	var missing []string
	for _, vin := range sel.VINs {
		if !known[vin] {
			missing = append(missing, string(vin))
		}
	}
	if len(missing) > 0 {
		return nil, &UnknownVehicleError{Missing: missing, Known: len(known)}
	}
	return all, nil
}

// UnknownVehicleError names vehicles that were asked for and are not in InfluxDB.
type UnknownVehicleError struct {
	Missing []string
	Known   int // vehicles that have data in the range
}

// Error names them.
func (e *UnknownVehicleError) Error() string {
	return fmt.Sprintf("InfluxDB has nothing of %s in this range (it knows %d vehicles there)", strings.Join(e.Missing, ", "), e.Known)
}

func byDay(days []influx.Day) dayMarks {
	m := make(dayMarks)
	for i := range days {
		d := &days[i]
		day := startOfDay(d.Day)
		if m[day] == nil {
			m[day] = make(map[schema.VIN]int64)
		}
		m[day][d.VIN] = d.Touched.UnixMilli()
	}
	return m
}

// group is what is read together: the tables of readings and positions come from
// one pass over the readings, each other table from its own measurement.
type group struct {
	source parquet.Source
	tables []parquet.Table
}

func groups(chosen []string) []group {
	readings := group{source: parquet.SourceReadings}
	var rest []group
	for _, t := range parquet.Tables() {
		switch {
		case !slices.Contains(tablesOf(chosen), t.Name) || !t.Partitioned():
		case t.Source == parquet.SourceReadings || t.Source == parquet.SourcePositions:
			readings.tables = append(readings.tables, t)
		default:
			rest = append(rest, group{source: t.Source, tables: []parquet.Table{t}})
		}
	}
	if len(readings.tables) == 0 {
		return rest
	}
	return append([]group{readings}, rest...)
}

func tablesOf(chosen []string) []string {
	if chosen == nil {
		return parquet.TableNames()
	}
	return chosen
}

// days gives the days on which one of the group's tables was touched.
func (g *group) days(marks map[string]dayMarks) []time.Time {
	seen := make(map[time.Time]bool)
	for i := range g.tables {
		for _, mark := range g.tables[i].Marks {
			for day := range marks[mark] {
				seen[day] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(seen), time.Time.Compare)
}

// withKept adds the days of the range that the dataset holds: with no mark any
// more InfluxDB knows nothing of them.
func withKept(days []time.Time, ds *parquet.Dataset, tables []parquet.Table, from, to time.Time) []time.Time {
	for i := range ds.Manifest().Tables {
		t := &ds.Manifest().Tables[i]
		if !slices.ContainsFunc(tables, func(g parquet.Table) bool { return g.Name == t.Name }) {
			continue
		}
		for _, f := range t.Files {
			if day, ok := dayOfPath(f.Path); ok && !day.Before(from) && day.Before(to) {
				days = append(days, day)
			}
		}
	}
	slices.SortFunc(days, time.Time.Compare)
	return slices.CompactFunc(days, time.Time.Equal)
}

// step gives the tables of group that have to be made for a day.
func (e *Export) step(ds *parquet.Dataset, g group, day time.Time, marks map[string]dayMarks, sel Selection) work {
	w := work{day: day, source: g.source, touched: make(map[string]map[schema.VIN]string)}
	vehicles := make(map[schema.VIN]bool)
	for i := range g.tables {
		t := &g.tables[i]
		touched := e.touched(t, day, marks)
		changed := sel.Again
		for vin, digest := range touched {
			differs := ds.Touched(parquet.Partition{Table: t.Name, Day: parquet.DateOf(day), VIN: vin}) != digest
			changed = changed || differs
			if e.cfg.ExportVINLevel && (differs || sel.Again) {
				vehicles[vin] = true
			}
		}
		if sel.Prune && e.cfg.ExportVINLevel {
			for _, vin := range unmarked(ds, t, day, touched, sel.VINs) {
				vehicles[vin], touched[vin], changed = true, "", true
			}
		}
		if !changed {
			continue
		}
		w.tables = append(w.tables, t.Name)
		w.touched[t.Name] = touched
		if !e.cfg.ExportVINLevel {
			for _, mark := range t.Marks {
				for vin := range marks[mark][day] {
					vehicles[vin] = true
				}
			}
		}
	}
	w.vehicles = slices.Collect(maps.Keys(vehicles))
	ds.SortVehicles(w.vehicles)
	return w
}

// unmarked gives the vehicles of a day that have a file and no mark any more.
func unmarked(ds *parquet.Dataset, t *parquet.Table, day time.Time, marked map[schema.VIN]string, chosen []schema.VIN) []schema.VIN {
	var vins []schema.VIN
	for i := range ds.Manifest().Tables {
		if ds.Manifest().Tables[i].Name != t.Name {
			continue
		}
		for _, f := range ds.Manifest().Tables[i].Files {
			vin := vehicleOfPath(f.Path)
			d, ok := dayOfPath(f.Path)
			_, has := marked[vin]
			if ok && d.Equal(day) && !has && (len(chosen) == 0 || slices.Contains(chosen, vin)) {
				vins = append(vins, vin)
			}
		}
	}
	return vins
}

// touched gives the digest of the marks of a day of a table: one for each vehicle
// with the level vin, else one for all under the empty VIN.
func (e *Export) touched(t *parquet.Table, day time.Time, marks map[string]dayMarks) map[schema.VIN]string {
	type entry struct {
		mark    string
		vin     schema.VIN
		touched int64
	}
	var entries []entry
	for _, mark := range t.Marks {
		for vin, ms := range marks[mark][day] {
			entries = append(entries, entry{mark, vin, ms})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if c := strings.Compare(string(a.vin), string(b.vin)); c != 0 {
			return c
		}
		return strings.Compare(a.mark, b.mark)
	})
	sums := make(map[schema.VIN]hash.Hash)
	if !e.cfg.ExportVINLevel {
		sums[""] = e.newDigest()
	}
	for _, en := range entries {
		key := schema.VIN("")
		if e.cfg.ExportVINLevel {
			key = en.vin
			if sums[key] == nil {
				sums[key] = e.newDigest()
			}
		}
		line := en.mark + "\x00" + string(en.vin) + "\x00" + strconv.FormatInt(en.touched, 10) + "\n"
		sums[key].Write([]byte(line))
	}
	digests := make(map[schema.VIN]string, len(sums))
	for vin, sum := range sums {
		digests[vin] = hex.EncodeToString(sum.Sum(nil)[:16])
	}
	return digests
}

// newDigest is keyed, so that the manifest of a pseudonymous dataset does not
// let anyone try out VINs.
func (e *Export) newDigest() hash.Hash { return hmac.New(sha256.New, []byte(e.cfg.ExportKey)) }
