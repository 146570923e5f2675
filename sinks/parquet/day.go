package parquet

import (
	"fmt"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Day takes the rows of one UTC day, vehicle after vehicle.
type Day struct {
	d      *Dataset
	date   Date
	tables []*tableWriter
	zones  *zones

	vehicle  schema.VIN
	token    string
	vehicles []string // tokens that were named, in order
	names    []schema.VIN
	last     *descriptor // of the present vehicle's readings
	lastNS   int64
	filtered schema.ReadingBlock
	done     []finished
	ended    bool
}

// Begin starts files for tables of one day. Those that the profile does not write
// are skipped. End with Commit or Abort.
func (d *Dataset) Begin(date Date, tables ...string) (*Day, error) {
	w := &Day{d: d, date: date, zones: newZones()}
	for _, name := range tables {
		t, known := TableByName(name)
		switch {
		case !known:
			return nil, fmt.Errorf("table %q is not known; there are %q", name, TableNames())
		case !t.Partitioned():
			return nil, fmt.Errorf("table %q has no days", name)
		case slices.ContainsFunc(w.tables, func(tw *tableWriter) bool { return tw.t.Name == name }):
			return nil, fmt.Errorf("table %q is named twice", name)
		case !d.cfg.Profile.Writes(&t):
			continue
		}
		w.tables = append(w.tables, newTableWriter(d, &t, w.zones))
	}
	return w, nil
}

func (w *Day) table(name string) *tableWriter {
	for _, t := range w.tables {
		if t.t.Name == name {
			return t
		}
	}
	return nil
}

// Vehicle says whose rows come next: each vehicle once, as SortVehicles orders
// them. Empty, and then first, is for gaps of accounts without a known car.
func (w *Day) Vehicle(vin schema.VIN) error {
	token := w.d.mask.vin(vin)
	if n := len(w.vehicles); n > 0 && w.vehicles[n-1] >= token {
		return fmt.Errorf("%w: vehicle %d of day %s does not come after the one before", ErrOrder, n+1, w.date)
	}
	if err := w.endVehicle(); err != nil {
		return err
	}
	w.vehicle, w.token = vin, token
	w.vehicles, w.names = append(w.vehicles, token), append(w.names, vin)
	w.last, w.lastNS = nil, 0
	clear(w.zones.sessions)
	for _, t := range w.tables {
		t.startVehicle(token)
	}
	return nil
}

func (w *Day) endVehicle() error {
	if len(w.vehicles) == 0 {
		return nil
	}
	for _, t := range w.tables {
		if err := t.endVehicle(); err != nil {
			return err
		}
		if !w.d.cfg.VINLevel {
			continue
		}
		if err := w.finish(t, w.token); err != nil {
			return err
		}
	}
	return nil
}

func (w *Day) finish(t *tableWriter, token string) error {
	f, err := t.finish()
	if err != nil {
		return fmt.Errorf("table %s, day %s: %w", t.t.Name, w.date, err)
	}
	f.place = w.d.place(t.t.Name, w.date.String(), token)
	w.done = append(w.done, f)
	return nil
}

// Readings takes readings of the present vehicle and day: descriptors ascending,
// times ascending within one, in one block or in several. b may be reused.
func (w *Day) Readings(b *schema.ReadingBlock) error {
	if b.Len() == 0 {
		return nil
	}
	d := w.d.describe.get(b.Descriptor)
	if err := w.inOrder(b, d); err != nil {
		return err
	}
	if d.drop {
		return nil
	}
	if w.d.describe.masked {
		if b = w.filter(b, d); b.Len() == 0 {
			return nil
		}
	}
	for _, t := range w.tables {
		if err := t.readings(w.token, d, b); err != nil {
			return err
		}
	}
	return nil
}

func (w *Day) inOrder(b *schema.ReadingBlock, d *descriptor) error {
	if len(w.vehicles) == 0 || b.VIN != w.vehicle {
		return fmt.Errorf("%w: readings of another vehicle than the present one", ErrOrder)
	}
	last := w.lastNS
	fresh := w.last != d
	if fresh {
		if w.last != nil && w.last.name >= d.name {
			return fmt.Errorf("%w: descriptor %s after %s", ErrOrder, d.name, w.last.name)
		}
		last = b.Times[0] - 1
	}
	for _, ns := range b.Times {
		if ns <= last {
			return fmt.Errorf("%w: times of descriptor %s do not ascend", ErrOrder, d.name)
		}
		last = ns
	}
	if !w.date.holdsNS(b.Times[0]) || !w.date.holdsNS(last) {
		return fmt.Errorf("%w: readings of descriptor %s outside day %s", ErrOrder, d.name, w.date)
	}
	w.last, w.lastNS = d, last
	return nil
}

// filter leaves out texts that the profile does not allow.
func (w *Day) filter(b *schema.ReadingBlock, d *descriptor) *schema.ReadingBlock {
	out := &w.filtered
	out.Reset(b.VIN, b.Descriptor)
	for i := range b.Values {
		v := &b.Values[i]
		if v.Kind == schema.KindText && (d.noText || !w.d.mask.word(v.Text)) {
			continue
		}
		out.Append(b.Times[i], *v)
	}
	return out
}

// Positions takes positions of the present vehicle and day, times ascending.
func (w *Day) Positions(ps []derive.Position) error {
	t := w.table(TablePositions)
	if t == nil || len(ps) == 0 {
		return nil
	}
	if len(w.vehicles) == 0 {
		return fmt.Errorf("%w: positions before a vehicle", ErrOrder)
	}
	for i := range ps {
		p := &ps[i]
		if !w.date.holdsNS(p.Time) {
			return fmt.Errorf("%w: a position outside day %s", ErrOrder, w.date)
		}
		lat, lon, ok := w.d.mask.place(p.Latitude, p.Longitude)
		if !ok {
			continue
		}
		row := make([]value, len(t.reader.cols))
		for name, v := range map[string]value{
			"vin": textValue(w.token), "time": timeValue(microseconds(p.Time)),
			"latitude": numberValue(lat), "longitude": numberValue(lon),
			"altitude": numberValue(p.Altitude), "heading": numberValue(p.Heading),
			"apart_ms": numberValue(float64(p.ApartNS) / 1e6), "outlier": boolValue(p.Outlier),
		} {
			if at := t.reader.index(name); at >= 0 {
				row[at] = v
			}
		}
		t.pending = append(t.pending, row)
	}
	return nil
}

// Row takes one row of table's measurement, of the present vehicle and day, in any
// order.
func (w *Day) Row(table string, r Cells) error {
	t := w.table(table)
	if t == nil {
		if w.d.Writes(table) {
			return fmt.Errorf("table %q was not begun", table)
		}
		return nil
	}
	if len(w.vehicles) == 0 {
		return fmt.Errorf("%w: a row of table %s before a vehicle", ErrOrder, table)
	}
	if !w.date.holdsNS(r.Time()) {
		return fmt.Errorf("%w: a row of table %s outside day %s", ErrOrder, table, w.date)
	}
	t.pending = append(t.pending, t.reader.read(w.vehicle, r)...)
	return nil
}

// SessionZone tells the zone of a charging session of the present vehicle that
// began before this day: its blocks may lie in it. Those that begin on the day are
// known from their rows.
func (w *Day) SessionZone(start time.Time, zone string) {
	w.zones.session(start.UnixMicro(), zone)
}

// Abort drops the day. It does nothing after Commit, and may be called twice.
func (w *Day) Abort() {
	w.ended = true
	for _, t := range w.tables {
		t.discard()
	}
	for i := range w.done {
		w.done[i].discard()
	}
}
