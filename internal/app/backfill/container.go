package backfill

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// The containers that are ours at BMW. Everything whose name begins with
// containerPrefix is ours to delete; nothing else ever is.
const (
	containerPrefix = "cardata-pipeline/"
	ContainerREST   = containerPrefix + "rest-only" // keys that never stream
	ContainerLatest = containerPrefix + "latest"    // keys that stream, for after a gap
)

// maxKeys bounds a container. The service's own limit is not known: 60 keys
// work for everybody, the whole catalogue is refused for some (CarData API,
// section "Endpoints"); a refusal makes a container smaller, at one call each.
const maxKeys = 200

// container is a container as it should be. BMW's cannot be changed, so another
// list of keys is another container; the version in the purpose tells them apart.
type container struct {
	name    string
	version string
	keys    []schema.Descriptor // the most useful first
}

func (c container) purpose() string { return "CarData pipeline, keys " + c.version }

// containers gives what is wanted by the catalogue. Keys with an endpoint of
// their own are left out of answers anyway; one key that was removed makes the
// whole container fail.
func containers(cat *schema.Catalogue) []container {
	var rest, latest []schema.Entry
	for e := range cat.All() {
		switch {
		case e.Category == "BASIC_DATA", ownEndpoint(e.Descriptor), strings.HasPrefix(e.Note, "removed"):
		case e.Streamable:
			latest = append(latest, e)
		default:
			rest = append(rest, e)
		}
	}
	return []container{newContainer(ContainerREST, rest), newContainer(ContainerLatest, latest)}
}

func ownEndpoint(d schema.Descriptor) bool {
	switch d {
	case "vehicle.chassis.axle.wheel.tire.diagnosis", "vehicle.look.image",
		"vehicle.powertrain.electric.battery.charging.history.sessionsList",
		"vehicle.powertrain.electric.battery.charging.settingsList":
		return true
	}
	return false
}

func newContainer(name string, entries []schema.Entry) container {
	slices.SortStableFunc(entries, func(a, b schema.Entry) int { return cmp.Compare(rank(a), rank(b)) })
	c := container{name: name}
	for _, e := range entries[:min(len(entries), maxKeys)] {
		c.keys = append(c.keys, e.Descriptor)
	}
	hash := sha256.New()
	for _, k := range c.keys {
		_, _ = hash.Write([]byte(k + "\n"))
	}
	c.version = hex.EncodeToString(hash.Sum(nil)[:6])
	return c
}

// rank says what goes first when a container has to be smaller: what a chart
// shows, before settings that seldom change.
func rank(e schema.Entry) int {
	name := string(e.Descriptor)
	for i, part := range []string{
		"travelledDistance", "batteryManagement.header", "stateOfCharge", "currentLocation", "charging.status", "emainingRange", "fuelSystem",
	} {
		if strings.Contains(name, part) {
			return i
		}
	}
	const afterNamed = 10
	categories := []string{"TYRE_DATA", "BEV_PHEV_DATA", "USAGE_BASED", "EVENTS", "VEHICLE_STATUS", "CD_CONTRACT", "META_DATA"}
	if i := slices.Index(categories, e.Category); i >= 0 {
		return afterNamed + i
	}
	return afterNamed + len(categories)
}
