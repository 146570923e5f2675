package cars

import (
	"math"
	"strconv"
	"time"
)

// group says which time a value that never streams is stamped with (CarData
// API, section "Data freshness").
type group uint8

const (
	onUpload   group = iota // when the car reported
	onRequest               // when the backend is asked
	atWorkshop              // at the last workshop visit, years ago
)

const (
	sentinelNone    = "-NA-"
	sentinelInvalid = "INVALID"
)

// restKey is one descriptor that comes by REST alone.
type restKey struct {
	name  string // without the leading "vehicle."
	unit  string // on the wire
	truth string // canonical unit
	form  form   // number, jsonBool or text
	who   who
	group group
	rare  bool // not every car of the model has it
	value func(m *moment) string
}

//nolint:gochecknoglobals // constant table, never written after it is built
var restKeys = buildRESTKeys()

func buildRESTKeys() []restKey {
	return append(append(restChargeKeys(), restBodyKeys()...), restFuelKeys()...)
}

func restChargeKeys() []restKey {
	const (
		charging = "drivetrain.electricEngine.charging."
		battery  = "powertrain.electric.battery."
	)
	return []restKey{
		{name: charging + "level", unit: "%", truth: "%", who: plugins, value: func(m *moment) string { return whole(m.soc) }},
		{name: "body.chargingPort.combinedStatus", form: text, who: plugins, value: func(m *moment) string {
			return either(m.plugged, "CONNECTED", "DISCONNECTED")
		}},
		{name: "body.chargingPort.lockedStatus", form: text, who: plugins, value: func(m *moment) string {
			return either(m.plugged, "CHARGING_CABLE_LOCKED", "CHARGING_CABLE_NOT_LOCKED")
		}},
		{name: battery + "charging.batteryCarePersisted.isActive", form: jsonBool, who: bev | nk, rare: true, value: func(m *moment) string {
			return either(m.option(80) < 0.5, "true", "false")
		}},
		{name: battery + "charging.dcChargingModeActive", form: text, who: nk, value: func(m *moment) string {
			return [...]string{"EFFICIENT", "STANDARD", "PERFORMANCE"}[int(3*m.option(81))]
		}},
		{name: battery + "charging.cableCheckVoltage", unit: "V", truth: "V", who: nk, rare: true, value: func(m *moment) string {
			return either(m.dc && m.kw > 0, "500", "0")
		}},
		{name: battery + "charging.authenticationStatus", form: text, who: nk | bev, rare: true, value: func(*moment) string { return "NOT_STARTED" }},
		{name: battery + "biDirectionalCharging.availability", form: text, who: nk, value: func(*moment) string { return "NOT_AVAILABLE" }},
		{name: battery + "stateOfHealth.displayed", who: plugins, value: func(m *moment) string {
			return whole(100 - 6*m.option(82) - m.odo/40_000)
		}},
	}
}

func restBodyKeys() []restKey {
	return []restKey{
		{name: "cabin.door.lock.status", form: text, who: every, value: func(m *moment) string { return either(m.ignition, "UNLOCKED", "SECURED") }},
		{name: "cabin.hvac.preconditioning.configuration.isRemoteEngineStartDisclaimer", form: jsonBool, who: every, rare: true, value: func(*moment) string {
			return "false"
		}},
		{name: "electricalSystem.battery.serviceDemand.recharge", who: every, group: onRequest, value: func(*moment) string { return "0" }},
		{name: "electricalSystem.battery.serviceDemand.replace", who: every, group: onRequest, value: func(m *moment) string {
			return [...]string{"200", "140"}[int(2*m.option(83))]
		}},
		{name: "electricalSystem.battery.stateOfChargePlausibility", who: ice | phev, rare: true, value: func(*moment) string { return "1" }},
		{name: "serviceDemand.defect.id", form: text, who: every, rare: true, value: func(*moment) string { return sentinelNone }},
		{name: "status.conditionBasedServicesAverageDistancePerDay", unit: "km", truth: "km", who: every, value: func(m *moment) string {
			return whole(20 + 50*m.option(84))
		}},
		{name: "sevice.preferredSevicePartner", form: text, who: every, rare: true, value: func(m *moment) string { return "Example Motors " + m.life.town.name }},
		{name: "channel.teleservice.lastManualCallTime", form: text, who: every, rare: true, value: func(m *moment) string {
			return m.life.workshop().Add(100 * 24 * time.Hour).Format("02.01.2006 15:04:05 UTC")
		}},
		{name: "vehicleIdentification.connectedDriveContractList", form: text, who: every, rare: true, value: func(m *moment) string {
			return m.life.workshop().AddDate(5, 0, 0).Format("2006-01-02 15:04:05 UTC")
		}},
	}
}

// restFuelKeys are mostly the consumption over the car's life, which stands
// still between two visits to the workshop.
func restFuelKeys() []restKey {
	const (
		fuel = "drivetrain.fuelSystem.consumptionOverLifeTime."
		grid = "drivetrain.electricEngine.charging.consumptionOverLifeTime."
	)
	then := func(share float64) func(*moment) string {
		return func(m *moment) string { return hundredths(m.life.odometer * 0.4 * share) }
	}
	litres := func(share float64) func(*moment) string {
		return func(m *moment) string { return hundredths(m.life.odometer * 0.4 * share * m.life.spec.lPer100 / 100) }
	}
	kwh := func(share float64) func(*moment) string {
		return func(m *moment) string { return hundredths(m.life.odometer * 0.4 * share * m.life.spec.kWhPer100 / 100) }
	}
	return []restKey{
		{name: "privacySettings.dataCollection.regulations.obfcm", form: jsonBool, who: fuelled, value: func(*moment) string { return "True" }},
		{name: "channel.ista.obfcm.lastTransmissionStatus", form: text, who: fuelled, rare: true, group: atWorkshop, value: func(*moment) string { return "OK" }},
		{name: fuel + "overall.fuel", unit: "l", truth: "l", who: fuelled, group: atWorkshop, value: litres(1)},
		{name: fuel + "overall.referenceDistance", unit: "km", truth: "km", who: fuelled, group: atWorkshop, value: then(1)},
		{name: fuel + "inChargeDepleting.fuel", unit: "l", truth: "l", who: phev, group: atWorkshop, value: litres(0.1)},
		{name: fuel + "inChargeDepleting.referenceDistanceEngineOff", unit: "km", truth: "km", who: phev, group: atWorkshop, value: then(0.5)},
		{name: fuel + "inChargeDepleting.referenceDistanceEngineOn", unit: "km", truth: "km", who: phev, group: atWorkshop, value: then(0.1)},
		{name: fuel + "inChargeIncreasing.fuel", unit: "l", truth: "l", who: phev, group: atWorkshop, value: litres(0.02)},
		{name: fuel + "inChargeIncreasing.referenceDistance", unit: "km", truth: "km", who: phev, group: atWorkshop, value: then(0.02)},
		{name: grid + "engineOff.gridEnergy", unit: "kWh", truth: "kWh", who: phev, group: atWorkshop, value: kwh(0.5)},
		{name: grid + "engineOff.referenceDistance", unit: "km", truth: "km", who: phev, group: atWorkshop, value: then(0.5)},
		{name: grid + "engineOn.gridEnergy", unit: "kWh", truth: "kWh", who: phev, group: atWorkshop, value: kwh(0.1)},
		{name: grid + "engineOn.referenceDistance", unit: "km", truth: "km", who: phev, group: atWorkshop, value: then(0.1)},
		{name: grid + "overall.referenceDistance", unit: "km", truth: "km", who: phev, group: atWorkshop, value: then(0.6)},
	}
}

// workshop is when the car was last read out there.
func (l *life) workshop() time.Time {
	d := mix(l.seed, tagFacts)
	return time.Date(2024, 2, 5, 9, 0, 0, 0, time.UTC).AddDate(0, 0, int(d%300)).Add(time.Duration(d>>16%30_000_000) * time.Millisecond)
}

func either(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

func whole(v float64) string { return strconv.FormatInt(int64(math.Round(v)), 10) }

func hundredths(v float64) string { return strconv.FormatFloat(round(v, 2), 'f', -1, 64) }
