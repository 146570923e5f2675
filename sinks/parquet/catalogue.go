package parquet

import (
	"context"
	"fmt"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// WriteCatalogue writes table catalogue where it is not there as it should be.
func (d *Dataset) WriteCatalogue(ctx context.Context) (Committed, error) {
	var c Committed
	t := catalogueTable()
	w := newTableWriter(d, &t, newZones())
	defer w.discard()
	for e := range d.cfg.Catalogue.All() {
		w.pending = append(w.pending, catalogueRow(&w.reader, &e))
	}
	if err := w.endVehicle(); err != nil {
		return c, fmt.Errorf("table %s: %w", t.Name, err)
	}
	f, err := w.finish()
	if err != nil {
		return c, fmt.Errorf("table %s: %w", t.Name, err)
	}
	f.place = place{table: t.Name}
	f.entry.Touched = d.cfg.Catalogue.Version()
	files := []finished{f}
	defer files[0].discard()
	return c, d.publish(ctx, files, &c)
}

func catalogueRow(rr *rowReader, e *schema.Entry) []value {
	row := make([]value, len(rr.cols))
	for name, v := range map[string]value{
		"descriptor": textValue(string(e.Descriptor)), "type": textValue(e.Type.String()),
		"unit": optionalText(e.Unit), "datatype": optionalText(e.Datatype),
		"streamable": boolValue(e.Streamable), "distance": boolValue(e.Distance),
		"category": optionalText(e.Category), "words": optionalText(strings.Join(e.Words, "|")),
		"true_word": optionalText(e.TrueWord), "false_word": optionalText(e.FalseWord),
		"sentinels": optionalText(strings.Join(e.Sentinels, "|")),
		"min":       optionalText(e.Min), "max": optionalText(e.Max), "range": optionalText(e.Range),
		"vehicle_types": optionalText(strings.Join(e.VehicleTypes, "|")), "note": optionalText(e.Note),
	} {
		row[rr.index(name)] = v
	}
	return row
}
