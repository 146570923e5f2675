package cars

import "math"

func chargeKeys() []key {
	const (
		charging = "drivetrain.electricEngine.charging."
		battery  = "powertrain.electric.battery."
	)
	phases := func(m *moment) float64 {
		switch {
		case m.life.spec.acKW < 8:
			return 2
		default:
			return 3
		}
	}
	voltage := func(m *moment) float64 {
		if m.kw == 0 || m.dc {
			return 0
		}
		return 228 + float64(mix(m.life.seed, uint64(m.t)/60)%6)
	}
	return []key{
		key{
			name: "drivetrain.batteryManagement.batterySizeMax", unit: "kWh", truth: "kWh", form: quoted, decimals: 1, who: bev | i3 | phev,
			number: zero,
		}.or("INVALID"),
		measure("drivetrain.batteryManagement.maxEnergy", "kWh", "kWh", 1, plugins, 0, func(m *moment) float64 { return m.life.spec.batteryKWh }).or("INVALID"),
		choice(charging+"status", plugins, onPlug|onStatus, func(m *moment) int {
			switch {
			case !m.plugged:
				return 0
			case m.kw > 0:
				return 2
			case m.phase == phasePlug:
				return 1
			case m.charge != nil && m.t < m.charge.end:
				return 3
			default:
				return 4
			}
		}, "NOCHARGING", "INITIALIZATION", "CHARGINGACTIVE", "CHARGINGPAUSED", "CHARGINGENDED", "CHARGINGERROR").always(),
		choice(charging+"hvStatus", plugins, onPlug|onStatus, func(m *moment) int {
			switch {
			case !m.plugged:
				return 0
			case m.kw > 0:
				return 1
			case m.charge != nil && m.t < m.charge.end:
				return 2
			default:
				return 3
			}
		}, "NOT_CHARGING", "CHARGING", "WAITING_FOR_CHARGING", "FINISHED_FULLY_CHARGED", "FINISHED_NOT_FULL").or("INVALID"),
		measure(battery+"charging.power", "W", "W", 0, plugins, onCharge|onStatus, func(m *moment) float64 { return 1000 * m.kw }),
		measure(charging+"timeRemaining", "min", "min", 0, plugins, onCharge, func(m *moment) float64 { return m.minutesLeft }),
		measure(charging+"timeToFullyCharged", "min", "min", 0, plugins, onCharge, func(m *moment) float64 { return m.minutesLeft }).or("INVALID"),
		measure(charging+"acVoltage", "V", "V", 0, plugins, onCharge, voltage).or("-NA-"),
		measure(charging+"acAmpere", "A", "A", 0, plugins, onCharge, func(m *moment) float64 {
			if v := voltage(m); v > 0 {
				return m.kw * 1000 / v / phases(m)
			}
			return 0
		}).or("-NA-"),
		choice(charging+"phaseNumber", plugins, onStatus, func(m *moment) int {
			if m.kw == 0 || m.dc {
				return 0
			}
			return int(phases(m))
		}, "NO_CHARGING", "1-PHASES", "2-PHASES", "3-PHASES").or("INVALID"),
		measure(charging+"smeEnergyDeltaFullyCharged", "kWh", "kWh", 1, plugins, onCharge, func(m *moment) float64 {
			return (100 - m.soc) / 100 * m.life.spec.batteryKWh
		}).or("INVALID"),
		choice(charging+"method", plugins, onPlug, func(m *moment) int { return truth(m.plugged && !m.dc) }, "NOCHARGING", "AC_TYPE2PLUG", "AC_TYPE1PLUG"),
		choice(charging+"connectorStatus", plugins, onPlug, func(m *moment) int { return truth(m.plugged) }, "DISCONNECTED", "CONNECTED", "ERROR"),
		choice(charging+"connectionType", plugins, 0, first, "CONDUCTIVE", "INDUCTIVE"),
		choice(charging+"lastChargingReason", plugins, onStatus, pick(2, 60), "CHARGING_GOAL_REACHED", "END_REQUESTED_BY_DRIVER", "CONNECTOR_REMOVED").or("-NA-"),
		choice(charging+"lastChargingResult", plugins, onStatus, first, "SUCCESS", "FAILED"),
		flag(charging+"isSingleImmediateCharging", vocab, plugins, onPlug, func(m *moment) bool { return m.plugged && m.daily(61) < 0.2 },
			"DIRECT_CHG_ONCE_NOT_ACTIVE", "DIRECT_CHG_ONCE_ACTIVE").or("INVALID"),
		flag(charging+"profile.climatizationActive", jsonBool, plugins, 0, func(m *moment) bool { return m.option(62) < 0.5 }),
		choice(charging+"profile.preference", plugins, 0, fixed(3, 63), "CHARGING_WINDOW", "SMART_CHARGING", "NO_PRESELECTION"),
		choice(battery+"charging.preferenceSmartCharging", electric, 0, fixed(3, 64), "PRICE_OPTIMIZED", "RENEWABLE_ENERGEY", "CO2_OPTIMIZED").or("INVALID"),
		measure(battery+"stateOfCharge.target", "%", "%", 0, plugins, onPlug, func(m *moment) float64 { return m.life.target }).or("INVALID").always(),
		measure(battery+"charging.acLimit.selected", "A", "A", 0, bev|nk, onPlug, func(*moment) float64 { return 16 }).or("INVALID"),
		flag(battery+"charging.acLimit.isActive", vocab, bev|nk, 0, func(m *moment) bool { return m.option(65) < 0.3 }, "AC_LIMIT_INACTIVE", "AC_LIMIT_ACTIVE").or("INVALID"),
		choice(battery+"preconditioning.state", nk, onStart, first, "OFF", "ON_LEGACY", "MANUAL_ON_CHARGE", "AUTOMATIC_ON"),
		measure("powertrain.electric.range.target", "km", "km", 0, bev|nk, onCharge, func(m *moment) float64 {
			return math.Floor(m.life.target * m.life.spec.batteryKWh / max(1, m.kWhPer100))
		}).or("INVALID"),
	}
}

func portKeys() []key {
	plugged := func(m *moment) bool { return m.plugged }
	const port = "powertrain.tractionBattery.charging.port."
	return []key{
		choice("body.chargingPort.status", plugins, onPlug, func(m *moment) int { return truth(m.plugged) }, "DISCONNECTED", "CONNECTED").or("INVALID").always(),
		choice("body.chargingPort.statusClearText", bev|i3|phev, onPlug, func(m *moment) int { return truth(m.plugged) }, "DISCONNECTED", "CONNECTED"),
		choice("body.chargingPort.dcStatus", bev|nk, onPlug, func(m *moment) int { return truth(m.plugged && m.dc) }, "DISCONNECTED", "CONNECTED").or("INVALID"),
		flag("body.chargingPort.isHospitalityActive", vocab, plugins, onPlug, func(m *moment) bool { return m.plugged && m.daily(70) < 0.05 },
			"HOSPITALITY_INACTIVE", "HOSPITALITY_ACTIVE").or("INVALID").always(),
		measure("body.chargingPort.plugEventId", "", "", 0, plugins, onPlug, func(m *moment) float64 {
			return float64(m.day%60_000*2 + int64(truth(m.plugged)))
		}),
		flag("body.flap.isLocked", vocab, plugins, onPlug, func(m *moment) bool { return m.plugged }, "FLAP_UNLOCKED", "FLAP_LOCKED").or("INVALID"),
		flag(port+"anyPosition.isPlugged", jsonBool, plugins, onPlug, plugged),
		flag(port+"anyPosition.flap.isOpen", jsonBool, plugins, onPlug, plugged),
		flag(port+"rearRight.isPlugged", jsonBool, nk|phev, onPlug, plugged),
	}
}
