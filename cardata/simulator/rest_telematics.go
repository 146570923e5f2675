package simulator

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// remembered is how far back the backend's memory of a car is filled when it is
// first asked.
const remembered = 3 * 24 * time.Hour

// memory is what the backend knows about one car: the latest value of each key.
// It lives the same life as the car of the feed, whose messages follow from the
// seed, but at the pace of the clock: it knows what the car sent while the feed
// is held, or still in the past.
type memory struct {
	vin    schema.VIN
	feeder *feeder
	still  *cars.Car // for what is a function of time alone

	mu     sync.Mutex // guards all below
	lane   *lane      // nil before the first question
	values map[schema.Descriptor]cars.Emission

	thinned atomic.Int64 // what the feed counts in Stats.Thinned
}

// memory gives the account's memory of a car of its own.
func (a *account) memory(vin schema.VIN) *memory {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.memories[vin]
	if m == nil {
		m = &memory{vin: vin, feeder: a.feed}
		m.still = cars.New(m.config(time.Now()))
		if a.memories == nil {
			a.memories = make(map[schema.VIN]*memory)
		}
		a.memories[vin] = m
	}
	return m
}

func (m *memory) config(start time.Time) cars.Config {
	cfg := &m.feeder.s.cfg
	return cars.Config{
		Seed: cfg.Seed, VIN: m.vin, Model: m.feeder.a.Models[m.vin], Start: start.UTC(), Quirks: *cfg.Quirks, Busy: cfg.Busy,
	}
}

// latest gives the newest value of each key that had reached the backend by
// now, and what never streams.
func (m *memory) latest(now time.Time) map[schema.Descriptor]cars.Point {
	clock := m.feeder.state.times()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lane == nil {
		start := now.Add(clock.leadAt(now) - remembered)
		m.lane = &lane{feed: cars.New(m.config(start))}
		if clock.speed != 1 || clock.lead != 0 {
			m.lane.last = make(map[schema.Descriptor]stamp)
		}
		m.lane.next = m.lane.feed.Next()
		m.values = make(map[schema.Descriptor]cars.Emission)
	}
	for !clock.real(m.lane.next.Due).After(now) {
		e := m.lane.next
		m.lane.next = m.lane.feed.Next()
		known, ok := m.values[e.Descriptor]
		if !clock.stamp(m.lane, &e, &m.thinned) || string(e.Wire) == "null" || ok && e.Measured.Before(known.Measured) {
			continue
		}
		m.values[e.Descriptor] = e
	}
	points := make(map[schema.Descriptor]cars.Point, len(m.values))
	for d, e := range m.values {
		points[d] = cars.PointOf(&e)
	}
	for _, p := range m.still.RESTOnly(now.Add(clock.leadAt(now))) {
		p.Measured = clock.real(p.Measured).Truncate(time.Millisecond)
		if known, ok := points[p.Descriptor]; !ok || p.Measured.After(known.Measured) {
			points[p.Descriptor] = p
		}
	}
	return points
}

// times gives the clock as it is now.
func (f *feedState) times() clock {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock
}

// Latest gives, for each descriptor that a car has ever reported, what
// telematicData says now: the truth to hold a client's readings against. It is
// nil for an unknown car.
func (s *Simulator) Latest(vin schema.VIN) map[schema.Descriptor]cars.Point {
	a := s.owner(vin)
	if a == nil {
		return nil
	}
	return a.memory(vin).latest(time.Now())
}

// owner gives the account of a car, nil when it is unknown.
func (s *Simulator) owner(vin schema.VIN) *account {
	for _, a := range s.accounts {
		if _, ok := a.Models[vin]; ok {
			return a
		}
	}
	return nil
}

// telematicPoint is one value of telematicData: text or null.
type telematicPoint struct {
	Timestamp *string `json:"timestamp"`
	Unit      *string `json:"unit"`
	Value     *string `json:"value"`
}

// strictPoint is the same as the OpenAPI document has it: no nulls.
type strictPoint struct {
	Timestamp *string `json:"timestamp,omitempty"`
	Unit      *string `json:"unit,omitempty"`
	Value     *string `json:"value,omitempty"`
}

func (c *call) telematicData() *restError {
	box, fail := c.container(c.r.URL.Query().Get("containerId"))
	if fail != nil {
		return fail
	}
	points := c.account.memory(c.vin).latest(c.now)
	data := make(map[schema.Descriptor]any, len(box.Keys))
	for _, d := range box.Keys {
		if c.api.leftOut(d, c.faults.RESTStrict) {
			continue
		}
		p := c.api.tell(d, points)
		if c.faults.RESTStrict {
			data[d] = strictPoint(p)
			continue
		}
		data[d] = p
	}
	c.json(http.StatusOK, map[string]any{"telematicData": data})
	return nil
}

// leftOut tells whether telematicData passes over a key: those of basicData and
// those with an endpoint of their own (CarData API, section "Keys served by
// their own endpoint"). One of them has been seen, always empty.
func (a *rest) leftOut(d schema.Descriptor, strict bool) bool {
	switch d {
	case "vehicle.vehicleIdentification.basicVehicleData":
		return strict
	case "vehicle.chassis.axle.wheel.tire.diagnosis", "vehicle.look.image",
		"vehicle.powertrain.electric.battery.charging.history.sessionsList",
		"vehicle.powertrain.electric.battery.charging.settingsList":
		return true
	}
	e, _ := a.catalogue.Lookup(d)
	return e.Category == "BASIC_DATA"
}

// tell dresses a value. What the car never reported has neither value nor time,
// though it may have its unit.
func (a *rest) tell(d schema.Descriptor, points map[schema.Descriptor]cars.Point) telematicPoint {
	p, known := points[d]
	if !known {
		e, _ := a.catalogue.Lookup(d)
		return telematicPoint{Unit: filled(e.Unit)}
	}
	at := isoMillis(p.Measured)
	t := telematicPoint{Timestamp: &at}
	if p.HasUnit {
		t.Unit = &p.Unit
	}
	if !p.Null {
		t.Value = &p.Value
	}
	return t
}

func filled(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
