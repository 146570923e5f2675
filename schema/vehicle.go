package schema

import "time"

// VehicleKind says which part of the REST side a Vehicle record is of.
type VehicleKind string

// The kinds of vehicle records. The set is fixed: topic keys and dashboards
// select by it.
const (
	VehicleMapping   VehicleKind = "mapping"    // link of account and car
	VehicleBasicData VehicleKind = "basic_data" // model, equipment, SIM
	VehicleTyres     VehicleKind = "tyres"      // tyre diagnosis
	VehicleSettings  VehicleKind = "settings"   // charging settings by location
	VehicleImage     VehicleKind = "image"      // facts about the picture, never the picture
)

// VehicleKinds lists the kinds in a fixed order.
func VehicleKinds() []VehicleKind {
	return []VehicleKind{VehicleMapping, VehicleBasicData, VehicleTyres, VehicleSettings, VehicleImage}
}

func (k VehicleKind) known() bool {
	switch k {
	case VehicleMapping, VehicleBasicData, VehicleTyres, VehicleSettings, VehicleImage:
		return true
	}
	return false
}

// MaxVehicleRawBytes bounds Vehicle.Raw, so that a record stays far below a
// Kafka message. A larger one is not written; its facts are.
const MaxVehicleRawBytes = 256 << 10

// Vehicle is what BMW said of one car at one moment, apart from its readings.
// Its key is (VIN, Kind) and Fetched; the latest counts.
type Vehicle struct {
	GCID    GCID // account it came by; empty when not known
	VIN     VIN
	Kind    VehicleKind
	Fetched time.Time // when it was fetched or imported, UTC
	Facts   []Fact    // by FactsOf; sorted by name, each name once
	// Raw is BMW's JSON as it came, at most MaxVehicleRawBytes; empty for an image.
	Raw []byte
}

// Fact is one value out of BMW's JSON.
type Fact struct {
	// Name is the path to the value: members in snake_case, elements of arrays by
	// number, joined by dots, such as "passenger_car.mounted_tyres.front_left.tyre_wear.due_mileage".
	// It holds a-z, 0-9, _ and dots alone.
	Name  string
	Value Value
}
