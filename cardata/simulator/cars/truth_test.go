package cars

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// restOnly are keys that the catalogue marks as REST only and that clients
// have seen in the stream all the same (CarData API, section "Later findings").
var restOnly = []schema.Descriptor{"vehicle.status.conditionBasedServices", "vehicle.status.checkControlMessages"}

func TestDescriptorsAreStreamable(t *testing.T) {
	cat := schema.Default()
	for i := range keys {
		k := &keys[i]
		d := schema.Descriptor(k.descriptor)
		entry, known := cat.Lookup(d)
		if !known || (!entry.Streamable && !slices.Contains(restOnly, d)) {
			t.Errorf("%s: known %v, streamable %v", d, known, entry.Streamable)
		}
		for _, w := range k.words {
			if k.form != asn && len(entry.Words) > 0 && !slices.Contains(entry.Words, w) {
				t.Errorf("%s: the catalogue has no word %s", d, w)
			}
		}
	}
	if len(keys) >= len256 {
		t.Errorf("%d keys do not fit the items' byte", len(keys))
	}
	for at, want := range map[int]string{
		keyLatitude: "latitude", keyLongitude: "longitude", keyMileage: "travelledDistance", keyElectricRange: "remainingElectricRange",
	} {
		if !strings.HasSuffix(keys[at].name, want) {
			t.Errorf("key %d is %s, want %s", at, keys[at].name, want)
		}
	}
}

// understand reads a wire value as the contract of readings says, apart from
// the code under test and apart from the normaliser.
func understand(t *testing.T, e *Emission, cat *schema.Catalogue) schema.Value {
	t.Helper()
	var v any
	if err := json.Unmarshal(e.Wire, &v); err != nil {
		t.Fatalf("%s: wire %s: %v", e.Descriptor, e.Wire, err)
	}
	entry, _ := cat.Lookup(e.Descriptor)
	switch v := v.(type) {
	case nil:
		return schema.Value{}
	case bool:
		return schema.Value{Kind: schema.KindBool, Bool: v}
	case float64:
		if e.HasUnit && e.Unit == "miles" {
			v *= 1.609344
		}
		return schema.Value{Kind: schema.KindNumber, Number: v}
	case string:
		switch {
		case slices.Contains([]string{"INVALID", "-NA-", "UNKNOWN", "ASN_isUnknown"}, v):
			return schema.Value{}
		case endsIn(e, "batterySizeMax"):
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatalf("%s: %v", e.Descriptor, err)
			}
			return schema.Value{Kind: schema.KindNumber, Number: f}
		case entry.Type == schema.TypeBool:
			if v != entry.TrueWord && v != entry.FalseWord {
				t.Fatalf("%s: %q is no word for a boolean", e.Descriptor, v)
			}
			return schema.Value{Kind: schema.KindBool, Bool: v == entry.TrueWord}
		default:
			return schema.Value{Kind: schema.KindText, Text: v}
		}
	default:
		return schema.Value{Kind: schema.KindText, Text: string(e.Wire)} // compact as sent
	}
}

func TestTruthIsWhatTheWireSays(t *testing.T) {
	cat := schema.Default()
	for m, index := range eachCar {
		t.Run(carName(m, index), func(t *testing.T) {
			cfg := config(m, index, monday)
			cfg.Quirks.Null, cfg.Quirks.Revised = 0.02, 0.02
			for _, e := range until(New(cfg), monday.AddDate(0, 0, 14)) {
				if got := understand(t, &e, cat); got != e.Truth {
					t.Fatalf("%s: wire %s unit %q says %+v, truth is %+v", e.Descriptor, e.Wire, e.Unit, got, e.Truth)
				}
				if e.HasUnit != (e.Unit != "") {
					t.Fatalf("%s: unit %q, has unit %v", e.Descriptor, e.Unit, e.HasUnit)
				}
				if e.HasUnit && schema.CanonicalUnit(e.Unit) != e.TruthUnit && e.Unit != "miles" {
					t.Fatalf("%s: unit %q, truth in %q", e.Descriptor, e.Unit, e.TruthUnit)
				}
			}
		})
	}
}

func TestNormaliserReadsTheTruth(t *testing.T) {
	n := schema.NewNormalizer(schema.Default())
	for m, index := range eachCar {
		t.Run(carName(m, index), func(t *testing.T) {
			cfg := config(m, index, monday)
			cfg.Quirks.Null = 0.01
			var res schema.Result
			var buf []byte
			for _, e := range until(New(cfg), monday.AddDate(0, 0, 3)) {
				buf = AppendPayload(buf[:0], gcid, &e)
				n.Stream(&res, schema.Input{GCID: gcid, VIN: e.VIN, Received: e.Due, Payload: buf})
				if len(res.Readings) != 1 {
					t.Fatalf("%s: %d readings, faults %v", buf, len(res.Readings), res.Faults)
				}
				r := &res.Readings[0]
				if r.Value != e.Truth || r.Unit != e.TruthUnit || !r.Time.Equal(e.Measured) || r.Descriptor != e.Descriptor {
					t.Fatalf("%s\nread as %+v %q\ntruth is %+v %q", buf, r.Value, r.Unit, e.Truth, e.TruthUnit)
				}
			}
		})
	}
}

func TestFormsOfValues(t *testing.T) {
	tests := map[string]func(e *Emission) bool{
		"a number":                       func(e *Emission) bool { return endsIn(e, "avgAuxPower") && e.Wire[0] != 'n' },
		"a quoted number":                func(e *Emission) bool { return string(e.Wire) == `"0.0"` && e.Unit == "kWh" },
		"an ASN boolean":                 func(e *Emission) bool { return string(e.Wire) == `"ASN_isTrue"` },
		"a JSON boolean":                 func(e *Emission) bool { return string(e.Wire) == "false" },
		"a boolean in words":             func(e *Emission) bool { return string(e.Wire) == `"OPEN"` && e.Truth.Bool },
		"null with its unit":             func(e *Emission) bool { return string(e.Wire) == "null" && e.HasUnit },
		"a sentinel":                     func(e *Emission) bool { return string(e.Wire) == `"-NA-"` && e.Truth == schema.Value{} },
		"no unit where there is none":    func(e *Emission) bool { return endsIn(e, "altitude") && !e.HasUnit },
		"mileage without its unit":       func(e *Emission) bool { return endsIn(e, "vehicle.travelledDistance") && !e.HasUnit },
		"services as text":               func(e *Emission) bool { return endsIn(e, "conditionBasedServices") && e.Wire[0] == '"' },
		"services as an array":           func(e *Emission) bool { return endsIn(e, "conditionBasedServices") && e.Wire[0] == '[' },
		"trouble codes as XML":           func(e *Emission) bool { return strings.HasPrefix(string(e.Wire), `"<dtcData dtcCount=\"`) },
		"charging pauses":                func(e *Emission) bool { return string(e.Wire) == `"CHARGINGPAUSED"` },
		"an electric car's fuel of zero": func(e *Emission) bool { return endsIn(e, "fuelSystem.level") && e.Truth.Number == 0 },
		"an old measurement":             func(e *Emission) bool { return e.Sent.Sub(e.Measured).Minutes() > 5 },
	}
	cfg := config(BEV, 0, monday)
	cfg.Quirks.Null = 0.02
	es := until(New(cfg), monday.AddDate(0, 0, 28))
	for name, holds := range tests {
		if !slices.ContainsFunc(es, func(e Emission) bool { return holds(&e) }) {
			t.Errorf("four weeks without %s", name)
		}
	}
}

func endsIn(e *Emission, suffix string) bool { return strings.HasSuffix(string(e.Descriptor), suffix) }

func TestCarOfTheUnitedKingdomSendsMiles(t *testing.T) {
	for _, m := range []Model{ICE, BEV} {
		miles, km := 0, 0
		for _, e := range until(New(config(m, 4, monday)), monday.AddDate(0, 0, 3)) {
			if e.Descriptor != "vehicle.vehicle.travelledDistance" || e.Truth.Kind == schema.KindNull {
				continue
			}
			if e.Unit == "miles" {
				miles++
			} else {
				km++
			}
			if e.TruthUnit != "km" || e.Truth.Number < 20_000 {
				t.Fatalf("truth %v %s", e.Truth.Number, e.TruthUnit)
			}
		}
		if miles < 10*km/2 || km == 0 {
			t.Errorf("%s: %d in miles, %d without a unit", m, miles, km)
		}
	}
}

func TestFuelFallsAndIsRefilled(t *testing.T) {
	for _, m := range []Model{ICE, PHEV} {
		cfg := config(m, 0, monday)
		cfg.Quirks = Quirks{}
		low, refills, last := 100.0, 0, -1.0
		for _, e := range until(New(cfg), monday.AddDate(0, 3, 0)) {
			if e.Descriptor != "vehicle.drivetrain.fuelSystem.level" {
				continue
			}
			v := e.Truth.Number
			if last >= 0 && v > last+5 {
				refills++
			}
			low, last = math.Min(low, v), v
		}
		if low < 5 || refills == 0 {
			t.Errorf("%s: lowest level %v %%, %d refills in three months", m, low, refills)
		}
	}
}
