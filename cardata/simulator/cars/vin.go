package cars

import "github.com/cardata-pipeline/cardata-pipeline/schema"

// fleet is the order of models in a simulated fleet; it has every model and,
// as six and five share no factor, lets miles meet each of them.
//
//nolint:gochecknoglobals // constant table
var fleet = [...]struct {
	model Model
	maker string
}{{BEV, "WBY"}, {PHEV, "WBA"}, {ICE, "WBA"}, {NK, "WBY"}, {BEV, "WMW"}, {I3, "WBY"}}

// serials is the count of serial numbers and of seeds that a VIN tells apart.
const serials = 10_000_000

// VIN returns the synthetic VIN of car number index (from 0) of a fleet: a
// maker's code that suits ModelOf(index), seven digits of the seed and seven of
// the index. It is unique per (seed, index) for seeds and indexes below ten
// million; seed 1 gives zeros, as in WBY00000000000001.
func VIN(seed uint64, index int) schema.VIN {
	b := []byte(fleet[index%len(fleet)].maker + "00000000000000")
	putDigits(b[3:10], (seed+serials-1)%serials)
	putDigits(b[10:17], (uint64(index)+1)%serials)
	return schema.VIN(b)
}

// ModelOf returns the model of car number index of a fleet.
func ModelOf(index int) Model { return fleet[index%len(fleet)].model }

func putDigits(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = '0' + byte(n%10)
		n /= 10
	}
}

// hashVIN gives a car its own chances, whatever text the VIN holds.
func hashVIN(v schema.VIN) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(v) {
		h = (h ^ uint64(v[i])) * 1099511628211
	}
	return h
}

// isUK reports whether the car drives in the United Kingdom and so sends
// mileage and electric range in miles: every fifth by its serial number, the
// first of them the fifth car.
func isUK(v schema.VIN) bool {
	last := v[max(0, len(v)-1):]
	return last == "0" || last == "5"
}
