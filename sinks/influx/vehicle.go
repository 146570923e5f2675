package influx

import (
	"context"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

var _ pipeline.Sink[schema.Vehicle] = (*VehicleSink)(nil)

// VehicleSink stores vehicle records as measurement vehicle. It is safe for
// concurrent use.
type VehicleSink struct{ c *Client }

// NewVehicleSink gives the sink of c for vehicle records.
func NewVehicleSink(c *Client) *VehicleSink { return &VehicleSink{c} }

// Write stores one point for each record at the time it was fetched, then a day
// mark for each (vin, UTC day), as ReadingSink.Write does. BMW's own JSON is not
// stored.
func (s *VehicleSink) Write(ctx context.Context, vehicles []schema.Vehicle) error {
	if len(vehicles) == 0 {
		return nil
	}
	b := s.c.newBatch("influx write vehicles", len(vehicles))
	defer b.free()
	for i := range vehicles {
		v := &vehicles[i]
		err := b.l.vehicle(i, v)
		if err == nil {
			b.l.addDay(v.VIN, v.Fetched)
		}
		if err := b.added(ctx, i, err); err != nil {
			return err
		}
	}
	return b.finish(ctx, TableVehicles)
}

// vehicle appends the line of v. The name of a field ends in its type: BMW sends
// the same fact as a number for one car and as text for another, and a field
// that changes its type is refused for good.
func (l *lines) vehicle(owner int, v *schema.Vehicle) error {
	e := l.start("vehicle")
	e.AddTag("kind", string(v.Kind))
	e.AddTag("vin", string(v.VIN))
	e.AddField("facts", lineprotocol.IntValue(int64(len(v.Facts))))
	for i := range v.Facts {
		f := &v.Facts[i]
		switch f.Value.Kind {
		case schema.KindNumber:
			addFloat(e, f.Name+".number", &f.Value.Number)
		case schema.KindBool:
			e.AddField(f.Name+".bool", lineprotocol.BoolValue(f.Value.Bool))
		case schema.KindText:
			l.text(f.Name+".text", f.Value.Text)
		case schema.KindNull: // a field that is not there says the same
		}
	}
	return l.end(owner, v.Fetched)
}
