package export

import (
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// dayOfPath reads the day out of "table/date=2026-11-24/…".
func dayOfPath(path string) (time.Time, bool) {
	text, found := level(path, "date=")
	day, err := time.Parse(time.DateOnly, text)
	return day, found && err == nil
}

// vehicleOfPath reads the vehicle out of "table/date=2026-11-24/vin=…/…"; empty
// without the level vin.
func vehicleOfPath(path string) schema.VIN {
	text, _ := level(path, "vin=")
	return schema.VIN(text)
}

func level(path, name string) (string, bool) {
	for part := range strings.SplitSeq(path, "/") {
		if text, found := strings.CutPrefix(part, name); found {
			return text, true
		}
	}
	return "", false
}
