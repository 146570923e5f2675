package derive

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// t0 is a fixed moment, at returns nanoseconds of one so many seconds later.
var t0 = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) int64 { return t0.UnixNano() + int64(seconds*1e9) }

// series makes one of pairs of seconds and values, in whatever order.
func series(pairs ...float64) (s Series) {
	for i := 0; i < len(pairs); i += 2 {
		s.Put(at(pairs[i]), pairs[i+1])
	}
	return s
}

var none = math.NaN()

func position(seconds, lat, lon, altitude, heading, apart float64) Position {
	return Position{Time: at(seconds), Latitude: lat, Longitude: lon, Altitude: altitude, Heading: heading, ApartNS: int64(apart * 1e9)}
}

func TestPairing(t *testing.T) {
	for name, c := range map[string]struct {
		track Track
		want  []Position
	}{
		"nothing":                   {},
		"a latitude alone is none":  {track: Track{Latitude: series(0, 48)}},
		"a longitude alone is none": {track: Track{Longitude: series(0, 11)}},
		"equal time":                {track: Track{Latitude: series(0, 48), Longitude: series(0, 11)}, want: []Position{position(0, 48, 11, none, none, 0)}},
		"equal time before a nearer neighbour in value": {
			track: Track{Latitude: series(10, 48), Longitude: series(9, 1, 10, 2, 11, 3)},
			want:  []Position{position(10, 48, 2, none, none, 0)},
		},
		"one second before": {track: Track{Latitude: series(1, 48), Longitude: series(0, 11)}, want: []Position{position(1, 48, 11, none, none, 1)}},
		"one second after":  {track: Track{Latitude: series(0, 48), Longitude: series(1, 11)}, want: []Position{position(0, 48, 11, none, none, 1)}},
		"the nearest of two": {
			track: Track{Latitude: series(10, 48), Longitude: series(8, 1, 11, 2)},
			want:  []Position{position(10, 48, 2, none, none, 1)},
		},
		"the earlier of two as near": {
			track: Track{Latitude: series(10, 48), Longitude: series(9, 1, 11, 2)},
			want:  []Position{position(10, 48, 1, none, none, 1)},
		},
		"just inside the window":  {track: Track{Latitude: series(3, 48), Longitude: series(0, 11)}, want: []Position{position(3, 48, 11, none, none, 3)}},
		"just outside the window": {track: Track{Latitude: series(3.001, 48), Longitude: series(0, 11)}},
		"an hour apart":           {track: Track{Latitude: series(3600, 48), Longitude: series(0, 11)}},
		"one longitude serves two": {
			track: Track{Latitude: series(0, 48, 1, 48.0001), Longitude: series(1, 11)},
			want:  []Position{position(0, 48, 11, none, none, 1), position(1, 48.0001, 11, none, none, 0)},
		},
		"altitude and heading within windows of their own": {
			track: Track{
				Latitude: series(0, 48, 100, 48.01, 200, 48.02), Longitude: series(0, 11, 100, 11, 200, 11),
				Altitude: series(10, 500, 89.9, 510, 201, 520), Heading: series(5, 90, 94.9, 95, 199, 99),
			},
			want: []Position{position(0, 48, 11, 500, 90, 0), position(100, 48.01, 11, none, none, 0), position(200, 48.02, 11, 520, 99, 0)},
		},
		"the later value of a time": {
			track: Track{Latitude: series(0, 47, 0, 48), Longitude: series(5, 1, 0, 10, 0, 11)},
			want:  []Position{position(0, 48, 11, none, none, 0)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.track.AppendPositions(nil); !slices.EqualFunc(got, c.want, func(a, b Position) bool { return a.Same(&b) }) {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestOutliers(t *testing.T) {
	type place struct{ seconds, lat, lon float64 }
	drive := func(from, to, every float64) (list []place) {
		for s := from; s <= to; s += every {
			list = append(list, place{s, 48 + s*0.0003, 11}) // 33 m/s
		}
		return list
	}
	join := slices.Concat[[]place]
	for name, c := range map[string]struct {
		places []place
		want   []float64 // seconds of the outliers
	}{
		"a drive":                            {places: drive(0, 3600, 5)},
		"200 km for 12 s":                    {places: join(drive(0, 600, 60), []place{{606, 49.9, 11}}, drive(618, 900, 60)), want: []float64{606}},
		"200 km for 12 s, once a second":     {places: join(drive(0, 100, 1), []place{{101, 49.9, 11}, {102, 49.9, 11}, {103, 49.9, 11}, {104, 49.9, 11}, {112, 49.9, 11}}, drive(113, 200, 1)), want: []float64{101, 102, 103, 104, 112}},
		"each of two, three minutes between": {places: []place{{0, 48, 11}, {180, 49.8, 11}, {192, 48.01, 11}, {360, 48.02, 11}, {540, 49.9, 11}, {552, 48.03, 11}, {720, 48.04, 11}}, want: []float64{180, 540}},
		"between two right after each other": {places: join(drive(0, 300, 30), []place{{305, 50, 11}, {310, 48.093, 11}, {315, 50, 11}}, drive(330, 600, 30)), want: []float64{305, 315}},
		"in longitude alone":                 {places: []place{{0, 48, 11}, {60, 48, 14}, {72, 48, 11}, {120, 48, 11}}, want: []float64{60}},
		"just reachable":                     {places: []place{{0, 48, 11}, {60, 48.07, 11}, {120, 48, 11}, {180, 48, 11}}},
		"a staircase of 3 km":                {places: []place{{0, 48, 11}, {1, 48.026, 11}, {121, 48.052, 11}, {122, 48.078, 11}}},
		"a ferry: a jump without a way back": {places: join(drive(0, 300, 30), []place{{330, 55, 11}, {360, 55, 11}, {390, 55, 11}})},
		"shipped, and back, hours between":   {places: []place{{0, 48, 11}, {4 * 3600, 20, -100}, {8 * 3600, 48, 11}}},
		"the last one, not yet known":        {places: join(drive(0, 300, 30), []place{{305, 50, 11}})},
		"the first one, nothing before":      {places: join([]place{{0, 50, 11}}, drive(5, 300, 30))},
		"null island":                        {places: []place{{0, 48, 11}, {60, 0, 0}, {120, 48, 11}}, want: []float64{60}},
		"null island alone":                  {places: []place{{0, 0.0001, -0.0001}}, want: []float64{0}},
		"null island judges none":            {places: []place{{0, 0, 0}, {1, 0, 0}, {2, 48, 11}, {3, 0, 0}, {4, 0, 0}}, want: []float64{0, 1, 3, 4}},
		"on the equator and on the meridian": {places: []place{{0, 0, 9.5}, {7200, 51.5, 0}}},
		"off the globe":                      {places: []place{{0, 90.1, 11}, {60, -91, 11}, {120, 48, 180.5}, {180, 48, -181}}, want: []float64{0, 60, 120, 180}},
		"over the antimeridian":              {places: []place{{0, -17, 179.999}, {10, -17, -179.999}, {20, -17, 179.999}, {30, -17, 180}, {40, -17, -180}}},
		"at the pole":                        {places: []place{{0, 89.999, 0}, {60, 89.999, 170}, {120, 89.999, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			var track Track
			for _, p := range c.places {
				track[Latitude].Put(at(p.seconds), p.lat)
				track[Longitude].Put(at(p.seconds), p.lon)
			}
			var got []float64
			list := track.AppendPositions(nil)
			for i := range list {
				if list[i].Outlier {
					got = append(got, float64(list[i].Time-at(0))/1e9)
				}
			}
			if len(list) != len(c.places) {
				t.Errorf("%d positions of %d pairs: an outlier is marked, never dropped", len(list), len(c.places))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("outliers at %v, want %v", got, c.want)
			}
		})
	}
}

func TestOnlyNumbersOfTheRightDescriptorsCount(t *testing.T) {
	number := schema.Value{Kind: schema.KindNumber, Number: 48}
	for name, c := range map[string]struct {
		d    schema.Descriptor
		v    schema.Value
		want bool
	}{
		"latitude":      {Latitude.Descriptor(), number, true},
		"longitude":     {Longitude.Descriptor(), number, true},
		"altitude":      {Altitude.Descriptor(), number, true},
		"heading":       {Heading.Descriptor(), number, true},
		"fix status":    {currentLocation + "fixStatus", number, false},
		"its beginning": {currentLocation, number, false},
		"none":          {"", number, false},
		"other":         {"vehicle.vehicle.travelledDistance", number, false},
		"a null":        {Latitude.Descriptor(), schema.Value{}, false},
		"a text":        {Latitude.Descriptor(), schema.Value{Kind: schema.KindText, Text: "48"}, false},
		"a boolean":     {Latitude.Descriptor(), schema.Value{Kind: schema.KindBool, Bool: true}, false},
	} {
		var track Track
		if got := track.Add(c.d, at(0), c.v); got != c.want || track.Len() > 0 != c.want {
			t.Errorf("%s: Add = %t with %d samples, want %t", name, got, track.Len(), c.want)
		}
	}
	var track Track
	block := &schema.ReadingBlock{Descriptor: Longitude.Descriptor()}
	block.Append(at(0), number)
	block.Append(at(1), schema.Value{})
	block.Append(at(2), number)
	if n := track.AddBlock(block); n != 2 || len(track[Longitude]) != 2 {
		t.Errorf("AddBlock = %d with %d samples, want 2", n, len(track[Longitude]))
	}
	// A null that comes after a number of the same key does not take it away, in no store.
	track.Add(Longitude.Descriptor(), at(0), schema.Value{})
	if len(track[Longitude]) != 2 {
		t.Error("a null took a number away")
	}
	cat := schema.Default()
	for _, p := range Parts() {
		if e, ok := cat.Lookup(p.Descriptor()); !ok || e.Type != schema.TypeNumber {
			t.Errorf("catalogue has %+v for %s, want a number", e, p.Descriptor())
		}
	}
}

func TestDerivingAllocatesNothing(t *testing.T) {
	track := world(1, 2000)
	list := track.AppendPositions(nil)
	if n := testing.AllocsPerRun(20, func() { list = track.AppendPositions(list[:0]) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	d := schema.Descriptor("vehicle.cabin.infotainment.navigation.remainingRange")
	if n := testing.AllocsPerRun(20, func() { _, _ = PositionDescriptor(d) }); n != 0 {
		t.Errorf("PositionDescriptor: %v allocations, want 0", n)
	}
}
