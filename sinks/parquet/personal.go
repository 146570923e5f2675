package parquet

import (
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Ruling is what the profile pseudonymous does with a descriptor, or with facts of
// a vehicle, and why.
type Ruling struct {
	Name   string // the name; ending in a dot or a star, all that begin so
	Keep   bool
	Reason string
}

// DescriptorRulings decides each descriptor that is personal, and each whose text
// is free. Of all others of the catalogue, numbers, booleans and documented words
// are kept. What the catalogue does not know is dropped: a key that BMW adds
// tomorrow may be a place or a name. The first that fits counts.
func DescriptorRulings() []Ruling {
	return []Ruling{
		{"vehicle.cabin.infotainment.navigation.currentLocation.", false, "where the car is; table positions has it, by the rule for positions"},
		{"vehicle.cabin.infotainment.navigation.destinationSet.", false, "where somebody drives to, how far and until when"},
		{"vehicle.cabin.infotainment.navigation.pointsOfInterests.", false, "what somebody stored"},
		{"vehicle.cabin.infotainment.navigation.remainingRange", true, "a distance to empty"},
		{"vehicle.cabin.infotainment.isMobilePhoneConnected", false, "says whether the owner's phone is in the car"},
		{"vehicle.body.chargingPort.isoSessionId", false, "identifies the session, and the contract, at the charging operator"},
		{"vehicle.body.chargingPort.plugEventId", true, "a counter"},
		{"vehicle.channel.ngtp.timeVehicle", false, "free text"},
		{"vehicle.channel.teleservice.status", true, "words"},
		{"vehicle.channel.teleservice.", false, "when somebody called for help; known to others"},
		{"vehicle.cabin.door.status", true, "words"},
		{"vehicle.cabin.door.lock.status", true, "words"},
		{"vehicle.cabin.convertible.roofRetractableStatus", true, "words"},
		{"vehicle.chassis.axle.wheel.tire.diagnosis", false, "a structure with part numbers and dates"},
		{"vehicle.drivetrain.electricEngine.charging.profile.mode", true, "words"},
		{"vehicle.drivetrain.electricEngine.charging.profile.timerType", true, "words"},
		{"vehicle.drivetrain.electricEngine.hvsMaxEnergyAbsolute", true, "a property of the model"},
		{"vehicle.electricalSystem.battery.", true, "state of the 12 V battery"},
		{"vehicle.electronicControlUnit.diagnosticTroubleCodes.raw", false, "free text, with serial numbers"},
		{"vehicle.extras.optionalEquipment.code", false, "a full list of options tells one car from all others"},
		{"vehicle.learningNavigation", false, "what the car learned of its owner's ways"},
		{"vehicle.look.image", false, "a picture of the car as it was ordered"},
		{"vehicle.powertrain.electric.battery.charging.history.sessionsList", false, "places and addresses"},
		{"vehicle.powertrain.electric.battery.charging.settingsList", false, "settings by place"},
		{"vehicle.powertrain.electric.battery.stateOfHealth.displayed", true, "a share"},
		{"vehicle.powertrain.electric.range.displayControl", true, "words"},
		{"vehicle.serviceDemand.defect.id", false, "free text"},
		{"vehicle.sevice.preferredSevicePartner", false, "the workshop near the owner"},
		{"vehicle.sim.status", true, "words"},
		{"vehicle.status.checkControlMessages", false, "free text"},
		{"vehicle.status.conditionBasedServices", false, "free text with dates"},
		{"vehicle.status.conditionBasedServicesCount", true, "a count"},
		{"vehicle.status.serviceTime.inspectionDateLegal", false, "a date that stands in the car's papers"},
		{"vehicle.vehicle.antiTheftAlarmSystem.alarm.activationTime", false, "when an alarm was heard; known to others"},
		{"vehicle.vehicleIdentification.", false, "VIN, basic data and contracts"},
	}
}

// FactRulings decides the facts of vehicles, by `kind.fact`; those it does not
// name are dropped.
func FactRulings() []Ruling {
	return []Ruling{
		{"basic_data.body_type", true, "shared by many cars"},
		{"basic_data.brand", true, "shared by many cars"},
		{"basic_data.charging_modes", true, "a property of the model"},
		{"basic_data.drive_train", true, "a property of the model"},
		{"basic_data.propulsion_type", true, "a property of the model"},
		{"basic_data.engine", true, "a property of the model"},
		{"basic_data.has_navi", true, "shared by many cars"},
		{"basic_data.has_sun_roof", true, "shared by many cars"},
		{"basic_data.is_telematics_capable", true, "shared by many cars"},
		{"basic_data.model_name", true, "shared by many cars"},
		{"basic_data.model_range", true, "shared by many cars"},
		{"basic_data.number_of_doors", true, "shared by many cars"},
		{"basic_data.hvs_max_energy_absolute", true, "a property of the model"},
		{"basic_data.reess_nominal_capacity_gross", true, "a property of the model"},
		{"basic_data.series", true, "shared by many cars"},
		{"basic_data.series_devt", true, "shared by many cars"},
		{"basic_data.steering", true, "shared by many cars"},
		{"basic_data.", false, "construction date, colour, options and country together tell one car from all others"},
		{"tyres.*.dimension.", true, "shared by many cars"},
		{"tyres.*.season.", true, "shared by many cars"},
		{"tyres.*.quality_status.", true, "a state"},
		{"tyres.*.tyre_wear.", true, "a state"},
		{"tyres.*.tyre_defect.", true, "a state"},
		{"tyres.*.run_flat.", true, "shared by many cars"},
		{"tyres.", false, "part numbers, makers and dates of mounting tell one car from others"},
		{"settings.", false, "places, visits and identifiers"},
		{"mapping.", false, "since when an account has the car"},
		{"image.", false, "a picture of the car as it was ordered"},
	}
}

// fits says whether r is about name.
func (r *Ruling) fits(name string) bool {
	before, after, star := strings.Cut(r.Name, "*")
	if star {
		return strings.HasPrefix(name, before) && strings.Contains(name[len(before):], after)
	}
	return name == r.Name || strings.HasSuffix(r.Name, ".") && strings.HasPrefix(name, r.Name)
}

func ruled(rulings []Ruling, name string) (keep, decided bool) {
	for i := range rulings {
		if rulings[i].fits(name) {
			return rulings[i].Keep, true
		}
	}
	return false, false
}

// KeepsDescriptor says whether the profile pseudonymous keeps readings of e at
// all; known says that e is of the catalogue.
func KeepsDescriptor(e *schema.Entry, known bool) bool {
	if !known {
		return false
	}
	if keep, decided := ruled(DescriptorRulings(), string(e.Descriptor)); decided {
		return keep
	}
	switch e.Type {
	case schema.TypeNumber, schema.TypeBool:
		return true
	case schema.TypeText:
		return len(e.Words) > 0
	case schema.TypeUnknown:
	}
	return false
}
