package whole

import (
	"path/filepath"
	"testing"
)

func TestChargingSessionsOfThePastWeeksAreInInfluxDB(t *testing.T) {
	cfg := small(t)
	cfg.Data = filepath.Join(t.TempDir(), "data")
	first, _ := runJSON(t, cfg)
	if n := first.Sessions["in_bmw"]; n == 0 || first.Sessions["stored"] != n {
		t.Errorf("sessions %v, want all of BMW's stored", first.Sessions)
	}
	if n := first.Calls["planned"]; n == 0 || first.Calls["spent"] != n || n > 40 {
		t.Errorf("calls %v, want as many spent as planned, and the reserve left alone", first.Calls)
	}
	again, _ := runJSON(t, cfg)
	if again.Calls["spent"] != 0 {
		t.Errorf("a second start on the same data spends %d calls, want none", again.Calls["spent"])
	}
	if again.Sessions["stored"] != again.Sessions["in_bmw"] {
		t.Errorf("sessions of the second start %v", again.Sessions)
	}
}
