package cars

import (
	"fmt"
	"strings"
	"time"
)

func bodyKeys() []key {
	shut := func(*moment) bool { return false }
	driver := func(m *moment) bool { return m.open }
	ks := []key{
		flag("cabin.door.row1.driver.isOpen", vocab, every, onStart|onDoor, driver, "CLOSED", "OPEN").or("INVALID").always(),
		flag("cabin.door.row1.passenger.isOpen", vocab, every, onDoor, shut, "CLOSED", "OPEN").or("INVALID"),
		flag("cabin.door.row2.driver.isOpen", vocab, every, onDoor, shut, "CLOSED", "OPEN").or("UNKNOWN"),
		flag("cabin.door.row2.passenger.isOpen", vocab, every, onDoor, shut, "CLOSED", "OPEN").or("UNKNOWN"),
		words("cabin.door.status", every, onStart|onDoor, doorStatus).always(),
		flag("body.hood.isOpen", vocab, every, 0, shut, "CLOSED", "OPEN").or("INVALID"),
		flag("body.trunk.isOpen", jsonBool, every, onDoor, func(m *moment) bool { return m.open && m.daily(10) < 0.4 }).always(),
		flag("body.trunk.isLocked", jsonBool, every, onStart|onDoor, func(m *moment) bool { return m.locked }),
		flag("body.lights.isRunningOn", asn, every, onState, func(m *moment) bool {
			hour := m.seconds()/3600 + 4
			return m.ignition && (hour < 7 || hour > 17)
		}),
		choice("cabin.sunroof.status", every, onDoor, func(m *moment) int { return 2 * truth(m.moving && m.outside > 21 && m.daily(11) < 0.3) },
			"CLOSED", "INTERMEDIATE", "OPEN").or("INVALID"),
		choice("vehicle.antiTheftAlarmSystem.alarm.armStatus", every, onStart|onDoor, func(m *moment) int { return 2 * truth(m.locked) },
			"unarmed", "doorsOnly", "doorsTiltCabin"),
		flag("vehicle.antiTheftAlarmSystem.alarm.isOn", jsonBool, every, 0, shut),
		flag("vehicle.deepSleepModeActive", jsonBool, ice, 0, shut),
	}
	for i, w := range []string{"row1.driver", "row1.passenger", "row2.driver", "row2.passenger"} {
		ks = append(ks, choice("cabin.window."+w+".status", every, onDoor|onArrive, func(m *moment) int {
			return truth(m.ignition && m.outside > 19 && m.daily(uint64(12+i)) < 0.25)
		}, "CLOSED", "INTERMEDIATE", "OPEN").or("INVALID"))
	}
	for i, w := range []string{"row1.wheel.left", "row1.wheel.right", "row2.wheel.left", "row2.wheel.right"} {
		target := float64(250 + 20*(i/2))
		tag := uint64(20 + i)
		ks = append(ks,
			measure("chassis.axle."+w+".tire.pressure", "kPa", "kPa", 0, every, onArrive, func(m *moment) float64 { return m.pressure(tag, target) }).or("-NA-"),
			measure("chassis.axle."+w+".tire.pressureTarget", "kPa", "kPa", 0, every, 0, func(*moment) float64 { return target }).or("-NA-"),
			measure("chassis.axle."+w+".tire.temperature", "Celsius", "degC", 0, nk|fuelled, onArrive, func(m *moment) float64 {
				return max(0, min(50, m.outside+17*m.warm))
			}),
		)
	}
	return ks
}

// doorStatus is a word on most days and an object on some.
func doorStatus(m *moment) string {
	if m.daily(30) < 0.1 {
		if m.locked {
			return `{"allDoorsLocked":true,"newDoorStatus":"ASN_secured"}`
		}
		return `{"allDoorsLocked":false,"newDoorStatus":"ASN_unlocked"}`
	}
	switch {
	case m.open:
		return "OPEN"
	case m.locked:
		return "SECURED"
	default:
		return "UNLOCKED"
	}
}

func cabinKeys() []key {
	conditioned := func(m *moment) bool { return m.phase == phaseUnlock && m.outside < 6 && m.life.spec.batteryKWh > 0 }
	const status = "cabin.hvac.preconditioning.status."
	return []key{
		choice(status+"comfortState", every, onStart, func(m *moment) int { return truth(conditioned(m)) },
			"NOT_ACTIVE", "COMFORT_HEATING", "COMFORT_COOLING", "COMFORT_VENTILATION", "DEFROST"),
		flag(status+"isExteriorMirrorHeatingActive", jsonBool, every, 0, conditioned),
		flag(status+"rearDefrostActive", jsonBool, every, 0, conditioned),
		measure(status+"progress", "percent", "%", 0, ice|nk, 0, func(m *moment) float64 { return 100 * float64(truth(conditioned(m))) }),
		measure(status+"remainingRunningTime", "s", "s", 0, every, 0, func(m *moment) float64 { return 240 * float64(truth(conditioned(m))) }),
		measure("cabin.hvac.preconditioning.configuration.defaultSettings.targetTemperature", "celsius", "degC", 1, fuelled|nk, 0, func(m *moment) float64 {
			return 20 + float64(int(6*m.option(31)))/2
		}),
		choice("vehicle.preConditioning.activity", every, onStart, func(m *moment) int { return truth(conditioned(m)) },
			"standby", "heating", "cooling", "ventilation", "inactive"),
		measure("vehicle.preConditioning.remainingTime", "min", "min", 0, every, 0, func(m *moment) float64 { return 4 * float64(truth(conditioned(m))) }).or("INVALID"),
		measure("cabin.seat.row1.driverSide.heating", "percent", "%", 0, ice|bev, onStart, func(m *moment) float64 {
			return 66 * float64(truth(m.ignition && m.outside < 8))
		}),
		measure("cabin.seat.row1.passengerSide.heating", "percent", "%", 0, ice, 0, zero),
		measure("cabin.steeringWheel.heating", "percent", "%", 0, ice, onStart, func(m *moment) float64 {
			return 100 * float64(truth(m.ignition && m.outside < 4))
		}),
		choice("cabin.climate.timers.weekdaysTimer1.action", every, 0, fixed(2, 32), "DEACTIVATE", "ACTIVATE", "NO_ACTION"),
		measure("cabin.climate.timers.weekdaysTimer1.hour", "h", "h", 0, every, 0, func(m *moment) float64 { return 6 + float64(int(2*m.option(33))) }),
		measure("cabin.climate.timers.weekdaysTimer1.minute", "min", "min", 0, every, 0, func(m *moment) float64 { return 5 * float64(int(12*m.option(34))) }),
		choice("cabin.infotainment.displayUnit.distance", every, 0, func(m *moment) int { return truth(m.life.town.uk) }, "km", "miles"),
		choice("cabin.infotainment.hmi.distanceUnit", ice, 0, func(m *moment) int { return truth(m.life.town.uk) }, "KILOMETERS", "MILES"),
		flag("cabin.infotainment.isMobilePhoneConnected", asn, every, onStart, func(m *moment) bool { return m.ignition }),
		measure("cabin.infotainment.navigation.pointsOfInterests.available", "", "", 0, ice, 0, func(m *moment) float64 { return 25 - float64(int(9*m.option(35))) }),
		measure("cabin.infotainment.navigation.pointsOfInterests.max", "", "", 0, ice, 0, func(*moment) float64 { return 25 }),
	}
}

func serviceKeys() []key {
	next := func(m *moment) float64 { return 30_000 - float64(int64(m.odo)%30_000) }
	return []key{
		choice("channel.teleservice.status", every, 0, first, "IDLE", "PENDING", "SUCCESSFUL"),
		words("channel.teleservice.lastTeleserviceReportTime", every, 0, func(m *moment) string {
			return time.Unix(dayStart(m.day-m.day%28)+16_243, 0).UTC().Format("02.01.2006 15:04:05 UTC")
		}),
		words("channel.ngtp.timeVehicle", ice, 0, func(m *moment) string {
			return time.Unix(m.t+m.life.localOffset(m.day), 0).UTC().Format("15:04")
		}),
		choice("vehicle.timeSetting", every, 0, func(m *moment) int { return truth(summer(m.day)) }, "wintertime", "summertime", "utc", "manual").or("INVALID"),
		measure("vehicle.averageWeeklyDistanceLongTerm", "km", "km", 0, ice, 0, func(m *moment) float64 { return 180 + 200*m.option(40) }),
		measure("vehicle.averageWeeklyDistanceShortTerm", "km", "km", 0, ice, 0, func(m *moment) float64 { return 150 + 260*m.daily(41) }),
		measure("status.conditionBasedServicesCount", "", "", 0, every, 0, func(*moment) float64 { return 4 }),
		measure("status.serviceDistance.next", "km", "km", 0, fuelled, 0, next),
		measure("status.serviceDistance.yellow", "km", "km", 0, fuelled, 0, func(*moment) float64 { return 2000 }),
		measure("status.serviceTime.hUandAuServiceYellow", "months", "months", 0, ice, 0, func(*moment) float64 { return 2 }),
		measure("status.serviceTime.yellow", "weeks", "weeks", 0, ice, 0, func(*moment) float64 { return 4 }),
		words("status.serviceTime.inspectionDateLegal", every, 0, func(m *moment) string {
			return fmt.Sprintf("15.%02d.%d 00:00:00 UTC", 1+int(12*m.option(42)), 2027+int(2*m.option(43)))
		}),
		words("electronicControlUnit.diagnosticTroubleCodes.raw", every, seldom, troubleCodes),
		words("status.conditionBasedServices", every, seldom, func(m *moment) string {
			return fmt.Sprintf(`[{"date":"2027-%02d","description":"Next service due by the date shown.","id":100,"messageType":"CBS","status":"OK",`+
				`"title":"Service","text":"-","unitOfLengthRemaining":"%d"}]`, 1+int(12*m.option(42)), int(next(m)))
		}),
		words("status.checkControlMessages", every, seldom, func(m *moment) string {
			if m.daily(45) < 0.6 {
				return "[]"
			}
			return fmt.Sprintf(`[{"date":null,"description":null,"id":229,"messageType":"CCM","status":"NULL","title":null,`+
				`"text":"Tyre pressure: check \"cold\" values","unitOfLengthRemaining":"%d"}]`, int(m.odo)-40)
		}),
	}
}

func troubleCodes(m *moment) string {
	n := 1 + int(3*m.daily(46))
	var s strings.Builder
	fmt.Fprintf(&s, "<dtcData dtcCount=\"%d\">\n", n)
	for i := range n {
		fmt.Fprintf(&s, "  <dtc ecuAddress=\"%d\">X%05d</dtc>\n", 13+8*i, 1+int(900*m.daily(uint64(47+i))))
	}
	s.WriteString("</dtcData>\n")
	return s.String()
}
