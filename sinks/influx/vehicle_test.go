package influx_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/sinktest"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

func TestVehicleSinkKeepsTheContract(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		sinktest.Run(t, sinktest.Suite[schema.Vehicle]{
			New: func(t *testing.T) sinktest.Subject[schema.Vehicle] {
				t.Helper()
				tg := newTarget(t)
				return subject(t, tg, func(c *influx.Client) pipeline.Sink[schema.Vehicle] { return influx.NewVehicleSink(c) }, tg.vehicles, vehiclePoints)
			},
			Batch: vehicleBatch,
			Bad: func() schema.Vehicle {
				return schema.Vehicle{VIN: "car\nwith a line feed", Kind: schema.VehicleTyres, Fetched: noon}
			},
		})
	})
}

// Another car, or BMW itself next year, gives another type to the same fact.
func TestAFactMayChangeItsTypeWithoutAConflict(t *testing.T) {
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		sink := influx.NewVehicleSink(newClient(t, tg.cfg))
		var batch []schema.Vehicle
		for i, v := range factValues() {
			batch = append(batch, schema.Vehicle{
				VIN: vinA, Kind: schema.VehicleBasicData, Fetched: noon.Add(time.Duration(i) * time.Second),
				Facts: []schema.Fact{{Name: "a.b", Value: v}, {Name: "a.b.number", Value: v}},
			})
		}
		if err := sink.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		wantVehicles(t, tg, batch)
	})
}

// What BMW sends for real, through the flattening, into the store and back.
func TestAnswersOfBMWAreStoredFactByFact(t *testing.T) {
	const tyres = `{"errors":[],"passengerCar":{"mountedTyres":{"label":"Mounted","frontLeft":{"label":"Front left",` +
		`"runFlat":{"label":"Run-flat tyres","runFlat":true,"value":"Yes"},"tyreWear":{"label":"Due","dueMileage":30000,"unit":"KILOMETER","value":"30000 km"}}}}}`
	facts, err := schema.FactsOf([]byte(tyres), schema.VehicleTyres)
	if err != nil {
		t.Fatal(err)
	}
	const path = "passenger_car.mounted_tyres.front_left."
	want := map[string]any{
		"facts": 5.0, path + "run_flat.run_flat.bool": true, path + "run_flat.value.text": "Yes",
		path + "tyre_wear.due_mileage.number": 30000.0, path + "tyre_wear.unit.text": "KILOMETER", path + "tyre_wear.value.text": "30000 km",
	}
	eachServer(t, func(t *testing.T, newTarget func(t *testing.T) target) {
		t.Helper()
		tg := newTarget(t)
		v := schema.Vehicle{VIN: vinA, Kind: schema.VehicleTyres, Fetched: noon, Facts: facts, Raw: []byte(tyres)}
		if err := influx.NewVehicleSink(newClient(t, tg.cfg)).Write(t.Context(), []schema.Vehicle{v}); err != nil {
			t.Fatal(err)
		}
		if got := tg.vehiclesOf(t, want)[vehicleKey(v)]; !maps.Equal(got, want) {
			t.Errorf("point = %v, want %v", got, want)
		}
		days := tg.values(t, "day", []string{"vin", "table"}, []string{"touched"})
		if days[fmt.Sprint(vinA, ",vehicles, ", noon.Truncate(24*time.Hour).UnixNano())] == nil {
			t.Errorf("days = %v, want one of table vehicles", days)
		}
	})
}

func wantVehicles(t *testing.T, tg target, batch []schema.Vehicle) {
	t.Helper()
	got := tg.vehicles(t)
	for _, v := range batch {
		for key, want := range vehiclePoints(v) {
			if !maps.Equal(got[key], want) {
				t.Errorf("%s = %v, want %v", key, got[key], want)
			}
		}
	}
	if len(got) != len(batch) {
		t.Errorf("%d points, want %d", len(got), len(batch))
	}
}

func factValues() []schema.Value {
	return []schema.Value{
		{Kind: schema.KindNumber, Number: 1.5},
		{Kind: schema.KindBool, Bool: true},
		{Kind: schema.KindText, Text: "a \"b\",\nc=\\"},
		{Kind: schema.KindText},
		{},
	}
}

// vehicleBatch has every kind of record and of value.
func vehicleBatch(n int) []schema.Vehicle {
	batch := make([]schema.Vehicle, n)
	kinds, values := schema.VehicleKinds(), factValues()
	for i := range batch {
		v := schema.Vehicle{VIN: vinA, Kind: kinds[i%len(kinds)], Fetched: noon.Add(time.Duration(i) * time.Minute), GCID: gcidA}
		if i%3 == 0 {
			v.VIN = vinB
		}
		for _, name := range []string{"a.b", "a.b.number"}[:i%3%2+1] {
			v.Facts = append(v.Facts, schema.Fact{Name: name, Value: values[i%len(values)]})
		}
		batch[i] = v
	}
	return batch
}

func vehicleKey(v schema.Vehicle) string {
	return fmt.Sprint(v.VIN, ",", v.Kind, ", ", v.Fetched.UnixNano())
}

func vehiclePoints(v schema.Vehicle) map[string]map[string]any {
	fields := map[string]any{"facts": float64(len(v.Facts))}
	for _, f := range v.Facts {
		switch f.Value.Kind {
		case schema.KindNumber:
			fields[f.Name+".number"] = f.Value.Number
		case schema.KindBool:
			fields[f.Name+".bool"] = f.Value.Bool
		case schema.KindText:
			fields[f.Name+".text"] = f.Value.Text
		case schema.KindNull:
		}
	}
	return map[string]map[string]any{vehicleKey(v): fields}
}

// vehicles gives the points with the facts of vehicleBatch.
func (tg target) vehicles(t *testing.T) map[string]map[string]any {
	t.Helper()
	fields := map[string]any{"facts": nil}
	for _, name := range []string{"a.b", "a.b.number"} {
		for _, kind := range []string{"number", "bool", "text"} {
			fields[name+"."+kind] = nil
		}
	}
	return tg.vehiclesOf(t, fields)
}

func (tg target) vehiclesOf(t *testing.T, fields map[string]any) map[string]map[string]any {
	t.Helper()
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	return asFloats(tg.values(t, "vehicle", []string{"vin", "kind"}, names))
}
