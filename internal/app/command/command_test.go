package command_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
)

func TestMoment(t *testing.T) {
	for text, want := range map[string]time.Time{
		"":                          {},
		"2026-01-31":                time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), // moved by a whole day
		"2026-01-31T18:00:00+01:00": time.Date(2026, 1, 31, 17, 0, 0, 0, time.UTC),
	} {
		if got, err := command.Moment(text, 24*time.Hour); err != nil || !got.Equal(want) {
			t.Errorf("Moment(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	if _, err := command.Moment("31.01.2026", 0); err == nil || !strings.Contains(err.Error(), "2026-01-31") {
		t.Errorf("Moment of another form = %v, want an example", err)
	}
}

func TestVINsTellEveryFault(t *testing.T) {
	vins, err := command.VINs([]string{" wby00000000000001 "})
	if err != nil || len(vins) != 1 || vins[0] != "WBY00000000000001" {
		t.Errorf("VINs = %v, %v", vins, err)
	}
	if _, err := command.VINs([]string{"one", "two"}); err == nil || !strings.Contains(err.Error(), "one") || !strings.Contains(err.Error(), "two") {
		t.Errorf("VINs = %v, want both faults", err)
	}
}
