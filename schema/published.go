package schema

import (
	_ "embed" // the schemas are published as files
	"slices"
)

//go:embed reading.schema.json
var readingSchema []byte

//go:embed gap.schema.json
var gapSchema []byte

//go:embed charging_session.schema.json
var chargingSessionSchema []byte

//go:embed vehicle.schema.json
var vehicleSchema []byte

// ReadingSchema is the JSON Schema (draft 2020-12) of a record on the readings
// topic. The caller may change the returned copy.
func ReadingSchema() []byte { return slices.Clone(readingSchema) }

// GapSchema is the JSON Schema (draft 2020-12) of a record on the gaps topic.
// The caller may change the returned copy.
func GapSchema() []byte { return slices.Clone(gapSchema) }

// ChargingSessionSchema is the JSON Schema (draft 2020-12) of a record on the
// charging-sessions topic. The caller may change the returned copy.
func ChargingSessionSchema() []byte { return slices.Clone(chargingSessionSchema) }

// VehicleSchema is the JSON Schema (draft 2020-12) of a record on the vehicles
// topic. The caller may change the returned copy.
func VehicleSchema() []byte { return slices.Clone(vehicleSchema) }
