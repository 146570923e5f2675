package cars

import (
	"math"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func chargeLevel(m Model) schema.Descriptor {
	if m == NK {
		return "vehicle.powertrain.electric.battery.stateOfCharge.displayed"
	}
	return "vehicle.drivetrain.batteryManagement.header"
}

func TestSessionsAgreeWithTheStream(t *testing.T) {
	end := monday.AddDate(0, 0, 21)
	for m, index := range eachCar {
		t.Run(carName(m, index), func(t *testing.T) {
			cfg := config(m, index, monday)
			cfg.Quirks = Quirks{}
			c := New(cfg)
			sessions := c.Sessions(monday, end)
			if m == ICE {
				if len(sessions) != 0 {
					t.Fatalf("a combustion car charged %d times", len(sessions))
				}
				return
			}
			if len(sessions) < 3 {
				t.Fatalf("%d sessions in three weeks", len(sessions))
			}
			levels := map[time.Time]float64{}
			for _, e := range until(c, end.AddDate(0, 0, 1)) {
				if e.Descriptor == chargeLevel(m) {
					levels[e.Measured] = e.Truth.Number
				}
			}
			for _, s := range sessions {
				checkSession(t, &s)
				checkLevels(t, &s, levels)
			}
		})
	}
}

func checkSession(t *testing.T, s *Session) {
	t.Helper()
	kWh := 0.0
	at := s.Start
	for _, b := range s.Blocks {
		if b.Start.Before(at) || !b.Start.Before(b.End) || b.PowerKW <= 0 {
			t.Fatalf("block %+v after %v", b, at)
		}
		at = b.End
		kWh += b.PowerKW * b.End.Sub(b.Start).Hours()
		if ac := b.PowerKW <= 22; !s.DC && !ac {
			t.Fatalf("AC at %v kW", b.PowerKW)
		}
	}
	if !at.Equal(s.End) || math.Abs(kWh-s.EnergyGridKWh) > 0.01 || s.EndSOC <= s.StartSOC || s.Place == "" || s.TimeZone == "" {
		t.Fatalf("session %+v: blocks end %v with %v kWh", s, at, kWh)
	}
}

// checkLevels holds what was streamed during a session against its ends.
func checkLevels(t *testing.T, s *Session, levels map[time.Time]float64) {
	t.Helper()
	seen, top := 0, 0.0
	for at, level := range levels {
		if at.Before(s.Start) || at.After(s.End.Add(3*time.Second)) {
			continue
		}
		seen++
		top = max(top, level)
		if level < s.StartSOC-0.06 || level > s.EndSOC+0.06 {
			t.Fatalf("%v %% streamed at %v, session from %v to %v %%", level, at, s.StartSOC, s.EndSOC)
		}
	}
	if seen == 0 || math.Abs(top-s.EndSOC) > 0.06 {
		t.Fatalf("%d levels streamed up to %v %%, session ended at %v %%", seen, top, s.EndSOC)
	}
}

func TestFastChargingTapers(t *testing.T) {
	for m, index := range map[Model]int{BEV: 4, I3: 0} { // small batteries and days out
		start := monday.AddDate(0, -6, 0)
		fast := 0
		for _, s := range New(config(m, index, start)).Sessions(start, monday) {
			if !s.DC {
				continue
			}
			fast++
			if n := len(s.Blocks); n > 4 && s.EndSOC > 60 && s.Blocks[n-1].PowerKW > 0.9*s.Blocks[1].PowerKW {
				t.Errorf("power at the end %v kW of %v kW", s.Blocks[n-1].PowerKW, s.Blocks[1].PowerKW)
			}
		}
		t.Logf("%s: %d fast charges in six months", m, fast)
		if fast == 0 {
			t.Errorf("%s never charged on the road in six months", m)
		}
	}
}

func TestSilentChargingStopsFiveMinutesAfterPlugIn(t *testing.T) {
	cfg := config(BEV, 0, monday)
	cfg.Quirks = Quirks{ChargingSilence: true}
	c := New(cfg)
	sessions := c.Sessions(monday, monday.AddDate(0, 0, 7))
	es := until(c, monday.AddDate(0, 0, 8))
	for _, s := range sessions {
		for _, e := range es {
			if e.Measured.After(s.Start.Add(hush*time.Second+3*time.Second)) && e.Measured.Before(s.End) {
				t.Fatalf("%s measured at %v, plugged in at %v", e.Descriptor, e.Measured, s.Start)
			}
		}
	}
	if len(sessions) == 0 {
		t.Error("no session in a week")
	}
}
