package influx

import (
	"fmt"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func filled(m *positionMemory, vin schema.VIN, samples int) {
	car := m.take(vin)
	car.reset(0)
	for i := range samples {
		car.track[derive.Heading].Put(int64(i), 1)
	}
	m.give(car, true)
}

func (m *positionMemory) has(vin schema.VIN) bool { return m.cars[vin] != nil }

func TestMemoryOfCarsIsBounded(t *testing.T) {
	var m positionMemory
	m.init(10, 1000)
	for i := range 50 {
		filled(&m, schema.VIN(fmt.Sprint(i)), 1)
		filled(&m, "often", 1)
	}
	if len(m.cars) != 10 || !m.has("often") || !m.has("49") || m.has("40") {
		t.Errorf("%d cars, want the 10 that were used last", len(m.cars))
	}
	filled(&m, "large", 995)
	if m.weight > 1000 || !m.has("large") || !m.has("often") || m.has("45") {
		t.Errorf("%d cars of weight %d, want 1000 at most and the last ones", len(m.cars), m.weight)
	}
	filled(&m, "too large", 1001)
	if m.weight != 0 || len(m.cars) != 0 || m.order.Len() != 0 {
		t.Errorf("%d cars of weight %d, want none", len(m.cars), m.weight)
	}
}

func TestMemoryKeepsNothingThatMayBeUntrue(t *testing.T) {
	for name, c := range map[string]struct {
		use  func(m *positionMemory)
		kept bool
	}{
		"used in turn": {func(m *positionMemory) { filled(m, "a", 1); filled(m, "a", 2) }, true},
		"after an error": {func(m *positionMemory) {
			filled(m, "a", 1)
			m.give(m.take("a"), false)
		}, false},
		"used by two at once, the first back first": {func(m *positionMemory) {
			filled(m, "a", 1)
			one, two := m.take("a"), m.take("a")
			m.give(one, true)
			m.give(two, true)
		}, false},
		"used by two at once, the second back first": {func(m *positionMemory) {
			one, two := m.take("a"), m.take("a")
			m.give(two, true)
			m.give(one, true)
		}, false},
		"used again after that": {func(m *positionMemory) {
			one, two := m.take("a"), m.take("a")
			m.give(two, true)
			m.give(one, true)
			filled(m, "a", 1)
		}, true},
		"before a rebalance": {func(m *positionMemory) { filled(m, "a", 1); m.setGeneration(7) }, false},
		"in use at a rebalance": {func(m *positionMemory) {
			car := m.take("a")
			m.setGeneration(7)
			m.give(car, true)
		}, false},
	} {
		var m positionMemory
		m.init(10, 1000)
		c.use(&m)
		if m.has("a") != c.kept || len(m.out) != 0 {
			t.Errorf("%s: kept %t with %d in use, want %t and none", name, m.has("a"), len(m.out), c.kept)
		}
	}
}

func TestACarRemembersAnHourAndNotTooMuch(t *testing.T) {
	hour := func(h float64) int64 { return int64(h * float64(time.Hour)) }
	for name, c := range map[string]struct {
		last freshSample
		want int64 // complete from
	}{
		"an hour":                               {freshSample{time: hour(10), received: hour(10)}, hour(9)},
		"late data move nothing":                {freshSample{time: hour(3), received: hour(10)}, hour(8)},
		"a clock that runs ahead":               {freshSample{time: hour(30), received: hour(9.5)}, hour(8.5)},
		"nothing known of when it was received": {freshSample{time: hour(10), received: 1<<63 - 1}, hour(9)},
	} {
		car := newPositionCar("a")
		car.reset(hour(8))
		for i := range 100 {
			car.track[derive.Latitude].Put(hour(8)+int64(i)*int64(time.Minute), 48)
		}
		car.trim([]freshSample{c.last})
		if car.from != c.want || car.track.Len() > 0 && car.track[derive.Latitude][0].Time < c.want {
			t.Errorf("%s: complete from %v, want %v", name, time.Duration(car.from), time.Duration(c.want))
		}
	}
	car := newPositionCar("a")
	car.reset(0)
	for i := range maxCarSamples + 5 {
		car.track[derive.Latitude].Put(int64(i), 48)
	}
	car.trim([]freshSample{{time: 10, received: 10}})
	if len(car.track[derive.Latitude]) != maxCarSamples || car.from != 5 {
		t.Errorf("%d samples from %d, want %d from 5", len(car.track[derive.Latitude]), car.from, maxCarSamples)
	}
}
