package cars

import (
	"math"
	"time"
)

const location = "cabin.infotainment.navigation.currentLocation."

// positionKeys comes first in the table: see keyLatitude and its neighbours.
func positionKeys() []key {
	return []key{
		measure(location+"latitude", "degrees", "deg", 6, every, onPosition, func(m *moment) float64 { return m.lat }),
		measure(location+"longitude", "degrees", "deg", 6, every, onPosition, func(m *moment) float64 { return m.lon }),
		measure("vehicle.travelledDistance", "km", "km", 0, every, onDrive|onArrive, func(m *moment) float64 { return math.Floor(m.odo) }),
		measure("drivetrain.electricEngine.remainingElectricRange", "km", "km", 1, plugins, onDrive|onCharge|onArrive,
			func(m *moment) float64 { return m.electricRange() }),
		measure(location+"altitude", "", "", 0, every, onPosition, func(m *moment) float64 {
			return max(0, m.life.town.altitude+90*math.Sin(m.lat*40)*math.Cos(m.lon*31))
		}).or("-NA-"),
		measure(location+"heading", "degrees", "deg", 0, every, onPosition, func(m *moment) float64 { return math.Floor(m.heading) }),
		choice(location+"fixStatus", every, onStart, func(m *moment) int {
			if m.ignition && !m.moving && m.minutes < 1 {
				return 1
			}
			return 2
		}, "NO_FIX", "GPS_FIX_2D", "GPS_FIX_3D"),
		measure(location+"numberOfSatellites", "", "", 0, every, onPosition, func(m *moment) float64 {
			return 7 + float64(mix(m.life.seed, uint64(m.t)/300)%9)
		}),
	}
}

func driveKeys() []key {
	return []key{
		measure("vehicle.speedRange.lowerBound", "km/h", "km/h", 0, every, onDrive|onState, func(m *moment) float64 { return 10 * math.Floor(m.kmh/10) }),
		measure("vehicle.speedRange.upperBound", "km/h", "km/h", 0, every, onDrive|onState, func(m *moment) float64 {
			if m.kmh == 0 {
				return 0
			}
			return 10*math.Floor(m.kmh/10) + 10
		}),
		measure("vehicle.avgSpeed", "km/h", "km/h", 0, plugins, onDrive|onArrive, func(m *moment) float64 {
			if m.minutes == 0 {
				return 0
			}
			return min(250, m.km/m.minutes*60)
		}).or("INVALID"),
		measure("vehicle.avgAuxPower", "kW", "kW", 2, plugins, onDrive, func(m *moment) float64 {
			return 0.35 + max(0, 20-m.outside)*0.06*(1.2-m.warm) + max(0, m.outside-23)*0.09
		}).or("INVALID"),
		flag("isMoving", asn, every, onState, func(m *moment) bool { return m.moving || m.phase == phaseStart }),
		flag("drivetrain.engine.isActive", asn, every, onState, func(m *moment) bool {
			return m.ignition && m.phase != phaseArrive && (m.life.spec.batteryKWh == 0 || m.soc <= m.life.spec.floor+0.01)
		}),
		flag("drivetrain.engine.isIgnitionOn", asn, every, onState, func(m *moment) bool { return m.ignition && m.phase != phaseArrive }),
		measure("drivetrain.batteryManagement.header", "percent", "%", 1, bev|i3|phev, onDrive|onCharge|onArrive, func(m *moment) float64 { return m.soc }),
		measure("powertrain.electric.battery.stateOfCharge.displayed", "percent", "%", 1, nk, onDrive|onCharge|onArrive, func(m *moment) float64 { return m.soc }),
		measure("drivetrain.electricEngine.kombiRemainingElectricRange", "km", "km", 0, plugins, onDrive|onCharge|onArrive,
			func(m *moment) float64 { return m.electricRange() }).or("INVALID"),
		measure("drivetrain.totalRemainingRange", "km", "km", 0, phev, onDrive|onArrive, func(m *moment) float64 { return m.fuelRange() + m.electricRange() }),
		measure("drivetrain.lastRemainingRange", "km", "km", 0, fuelled, onDrive|onArrive, func(m *moment) float64 { return m.fuelRange() }),
		measure("drivetrain.avgElectricRangeConsumption", "", "", 1, plugins, onDrive, func(m *moment) float64 { return m.kWhPer100 }),
		measure("drivetrain.fuelSystem.level", "%", "%", 0, every, onDrive|onArrive, func(m *moment) float64 { return m.fuel }).or("INVALID"),
		measure("drivetrain.fuelSystem.remainingFuel", "l", "l", 1, fuelled, onDrive|onArrive, func(m *moment) float64 { return m.fuelLitres() }),
		measure("drivetrain.fuelSystem.remainingFuel", "", "", 0, electric, onArrive, zero),
		measure("drivetrain.internalCombustionEngine.engine.ect", "Celsius", "degC", 0, fuelled, onDrive, func(m *moment) float64 { //nolint:misspell // engine coolant temperature
			return max(0, m.outside+(91-m.outside)*m.warm)
		}),
		measure("cabin.infotainment.navigation.remainingRange", "km", "km", 0, fuelled, onDrive, func(m *moment) float64 { return m.fuelRange() + m.electricRange() }),
		measure("cabin.infotainment.navigation.destinationSet.distance", "km", "km", 0, every, onStart|onDrive, func(m *moment) float64 {
			if !m.ignition {
				return 0
			}
			return max(0, m.ahead)
		}),
		words("cabin.infotainment.navigation.destinationSet.arrivalTime", every, onStart, func(m *moment) string {
			if !m.ignition {
				return "00:00"
			}
			return m.arrives.Format("15:04")
		}),
		measure("electricalSystem.battery.voltage", "V", "V", 1, every, onStart|onDrive, func(m *moment) float64 {
			if m.ignition || m.kw > 0 {
				return 14.2 + 0.4*m.daily(1)
			}
			return 12.3 + 0.4*m.daily(1)
		}),
		measure("electricalSystem.battery.stateOfCharge", "%", "%", 0, every, onStart, func(m *moment) float64 {
			return min(100, 78+14*m.daily(2)+6*m.warm)
		}),
	}
}

// tripKeys are sent when a trip ends and repeated, unchanged, later.
func tripKeys() []key {
	const accumulated = "trip.segment.accumulated."
	return []key{
		measure("trip.segment.end.travelledDistance", "km", "km", 1, plugins, atTripEnd, func(m *moment) float64 { return m.odo }),
		measure("trip.segment.end.drivetrain.batteryManagement.hvSoc", "percent", "%", 1, plugins, atTripEnd, func(m *moment) float64 { return m.soc }),
		words("trip.segment.end.time", plugins, atTripEnd, func(m *moment) string {
			return time.Unix(m.t, 0).UTC().Format("02.01.2006 15:04:05 UTC")
		}),
		measure(accumulated+"acceleration.starsAverage", "stars", "stars", 1, plugins, atTripEnd, func(m *moment) float64 { return 2.5 + 2.5*m.daily(3) }),
		measure(accumulated+"chassis.brake.starsAverage", "stars", "stars", 1, plugins, atTripEnd, func(m *moment) float64 { return 2.5 + 2.5*m.daily(4) }),
		measure(accumulated+"drivetrain.electricEngine.energyConsumptionComfort", "kWh", "kWh", 2, plugins, atTripEnd, func(m *moment) float64 {
			return min(10, m.minutes/60*(0.5+max(0, 20-m.outside)*0.07))
		}),
		measure(accumulated+"drivetrain.electricEngine.recuperationTotal", "", "", 1, plugins, atTripEnd, func(m *moment) float64 {
			return 2 + 6*m.daily(5)
		}),
		measure(accumulated+"drivetrain.transmission.setting.fractionDriveEcoPro", "percent", "%", 0, plugins, atTripEnd, func(m *moment) float64 { return 60 * m.daily(6) }),
		measure(accumulated+"drivetrain.transmission.setting.fractionDriveElectric", "percent", "%", 0, plugins, atTripEnd, func(m *moment) float64 {
			if m.life.spec.electric() || m.km == 0 {
				return 100
			}
			return max(0, min(100, 100*(m.startSOC-m.soc)*m.life.spec.batteryKWh/max(0.1, m.kWhPer100*m.km)))
		}),
	}
}
