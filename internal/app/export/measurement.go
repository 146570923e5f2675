package export

import (
	"context"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// measurement takes the rows of a day of one measurement through the writer.
func (e *Export) measurement(ctx context.Context, day *parquet.Day, w *work) error {
	table, _ := parquet.TableByName(w.tables[0])
	rows := &measurementRows{day: day, table: &table, vehicles: w.vehicles}
	if table.Name == parquet.TableBlocks {
		sessions, err := e.sessions(ctx, w)
		if err != nil {
			return err
		}
		rows.sessions = sessions
	}
	from, to := w.span()
	for _, vins := range e.bundles(w.vehicles) {
		if err := e.db.Rows(ctx, influx.RowsQuery{Measurement: table.Measurement, VINs: vins, From: from, To: to}, rows.add); err != nil {
			return err
		}
	}
	return rows.upTo("", true)
}

// measurementRows writes rows that come vehicle by vehicle.
type measurementRows struct {
	day      *parquet.Day
	table    *parquet.Table
	vehicles []schema.VIN
	sessions map[schema.VIN]map[int64]session // of charging blocks alone

	next  int
	vin   schema.VIN
	begun bool
}

func (m *measurementRows) add(r influx.Row) error {
	if vin := schema.VIN(r.Tag("vin")); !m.begun || vin != m.vin {
		if err := m.upTo(vin, false); err != nil {
			return err
		}
	}
	if m.sessions != nil && m.replaced(r) {
		return nil
	}
	return m.day.Row(m.table.Name, r)
}

// upTo begins the vehicles up to vin, or all that are left: with the level vin
// those without rows lose their old files.
func (m *measurementRows) upTo(vin schema.VIN, rest bool) error {
	for m.next < len(m.vehicles) {
		m.vin, m.begun = m.vehicles[m.next], true
		m.next++
		if err := m.day.Vehicle(m.vin); err != nil {
			return err
		}
		for start, s := range m.sessions[m.vin] {
			m.day.SessionZone(time.UnixMilli(start).UTC(), s.zone)
		}
		if !rest && m.vin == vin {
			return nil
		}
	}
	if !rest {
		return errUnasked
	}
	return nil
}

// session is what a charging block needs of the session it is of.
type session struct {
	fetched int64 // of the stored version, unix ms
	zone    string
}

// replaced says whether a block belongs to an earlier version of its session,
// which a later one cut otherwise: the stored version's blocks are those with the
// session's own fetched. A block without a session is kept.
func (m *measurementRows) replaced(r influx.Row) bool {
	start, _ := r.Int("session")
	fetched, _ := r.Int("fetched")
	s, known := m.sessions[m.vin][start]
	return known && s.fetched != fetched
}

// sessions gives the sessions that the day's blocks are of. Most began on the day
// or the one before; a car may stay plugged in for weeks.
func (e *Export) sessions(ctx context.Context, w *work) (map[schema.VIN]map[int64]session, error) {
	from, to := w.span()
	first := from
	for _, vins := range e.bundles(w.vehicles) {
		q := influx.RowsQuery{Measurement: "charging_block", Fields: []string{"session"}, VINs: vins, From: from, To: to}
		err := e.db.Rows(ctx, q, func(r influx.Row) error {
			if ms, ok := r.Int("session"); ok && time.UnixMilli(ms).Before(first) {
				first = time.UnixMilli(ms).UTC()
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	found := make(map[schema.VIN]map[int64]session)
	for _, vins := range e.bundles(w.vehicles) {
		q := influx.RowsQuery{Measurement: "charging_session", Fields: []string{"fetched", "time_zone"}, VINs: vins, From: first, To: to}
		err := e.db.Rows(ctx, q, func(r influx.Row) error {
			vin := schema.VIN(r.Tag("vin"))
			if found[vin] == nil {
				found[vin] = make(map[int64]session)
			}
			var s session
			s.fetched, _ = r.Int("fetched")
			s.zone, _ = r.Text("time_zone")
			found[vin][r.Time()/int64(time.Millisecond)] = s
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
