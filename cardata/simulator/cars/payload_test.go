package cars

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func TestPayloadIsTheServicesOwn(t *testing.T) {
	sent := time.Date(2026, 3, 14, 7, 2, 11, 418e6, time.UTC)
	measured := time.Date(2026, 3, 14, 7, 2, 9, 0, time.UTC)
	tests := map[string]struct {
		e    Emission
		want string
	}{
		"number with unit": {
			Emission{Descriptor: "vehicle.vehicle.travelledDistance", Wire: []byte("23456"), Unit: "km", HasUnit: true},
			`{"vin":"WBY00000000000001","entityId":"00000000-0000-4000-8000-000000000001","topic":"WBY00000000000001","timestamp":"2026-03-14T07:02:11.418Z","data":{"vehicle.vehicle.travelledDistance":{"timestamp":"2026-03-14T07:02:09Z","value":23456,"unit":"km"}}}`,
		},
		"no unit, no key": {
			Emission{Descriptor: "vehicle.body.trunk.isOpen", Wire: []byte("false")},
			`{"vin":"WBY00000000000001","entityId":"00000000-0000-4000-8000-000000000001","topic":"WBY00000000000001","timestamp":"2026-03-14T07:02:11.418Z","data":{"vehicle.body.trunk.isOpen":{"timestamp":"2026-03-14T07:02:09Z","value":false}}}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := tt.e
			e.VIN, e.Sent, e.Measured = "WBY00000000000001", sent, measured
			if got := string(AppendPayload(nil, gcid, &e)); got != tt.want {
				t.Errorf("AppendPayload:\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestEveryPayloadIsJSON(t *testing.T) {
	var buf []byte
	for _, e := range until(New(config(BEV, 0, monday)), monday.AddDate(0, 0, 7)) {
		if buf = AppendPayload(buf[:0], gcid, &e); !json.Valid(buf) {
			t.Fatalf("not JSON: %s", buf)
		}
	}
}

func TestNextAndAppendPayloadHardlyAllocate(t *testing.T) {
	c := New(config(BEV, 0, monday))
	for range 50_000 {
		c.Next() // until queue and tables have their size
	}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(20_000, func() {
		e := c.Next()
		buf = AppendPayload(buf[:0], gcid, &e)
	}); n >= 0.2 {
		t.Errorf("%v allocations a message, want under 0.2", n)
	}
}

func TestWireStaysValid(t *testing.T) {
	c := New(config(BEV, 0, monday))
	type kept struct {
		wire []byte
		text string
	}
	var all []kept
	for range 20_000 {
		e := c.Next()
		all = append(all, kept{e.Wire, string(e.Wire)})
	}
	for i, k := range all {
		if string(k.wire) != k.text {
			t.Fatalf("wire %d became %s, was %s", i, k.wire, k.text)
		}
	}
}

func TestVINs(t *testing.T) {
	if got, want := VIN(1, 0), schema.VIN("WBY00000000000001"); got != want {
		t.Errorf("VIN(1, 0) = %s, want %s", got, want)
	}
	seen := map[schema.VIN]bool{}
	uk := 0
	for seed := range uint64(5) {
		for index := range 2_000 {
			v := VIN(seed, index)
			if _, err := schema.ParseVIN(string(v)); err != nil {
				t.Fatalf("VIN(%d, %d) = %q: %v", seed, index, string(v), err)
			}
			if seen[v] {
				t.Fatalf("VIN(%d, %d) = %q a second time", seed, index, string(v))
			}
			seen[v] = true
			if isUK(v) != (index%5 == 4) {
				t.Fatalf("VIN(%d, %d): isUK = %v", seed, index, isUK(v))
			}
			if isUK(v) {
				uk++
			}
		}
	}
	if uk != 2_000 {
		t.Errorf("%d cars of the United Kingdom, want every fifth", uk)
	}
}

func TestSummerTime(t *testing.T) {
	tests := map[string]bool{
		"2026-03-28": false, "2026-03-29": true, "2026-07-01": true, "2026-10-24": true, "2026-10-25": false, "2026-12-31": false,
	}
	for date, want := range tests {
		day, err := time.Parse(time.DateOnly, date)
		if err != nil {
			t.Fatal(err)
		}
		if got := summer(day.Unix() / daySeconds); got != want {
			t.Errorf("summer(%s) = %v, want %v", date, got, want)
		}
	}
}
