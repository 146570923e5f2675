package influx

import (
	"container/list"
	"sync"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// The bounds of what a PositionSink remembers; a sample is 16 bytes.
const (
	maxPositionCars    = 20_000
	maxPositionSamples = 2 << 20
)

// positionMemory keeps cars between calls, the least recently used ones forgotten
// first. A car in use is out of it. Where two calls want the same car at once
// the second gets an empty one, and neither is kept: each has missed
// what the other brought.
type positionMemory struct {
	maxCars, maxWeight int

	mu         sync.Mutex // guards all below
	generation int64
	cars       map[schema.VIN]*list.Element // of *positionCar
	order      *list.List                   // the last used first
	weight     int
	out        map[schema.VIN]carInUse
}

type carInUse struct {
	users   int
	clashed bool
}

func (m *positionMemory) init(maxCars, maxWeight int) {
	m.maxCars, m.maxWeight = maxCars, maxWeight
	m.out = make(map[schema.VIN]carInUse)
	m.forget()
}

func (m *positionMemory) forget() {
	m.cars, m.order, m.weight = make(map[schema.VIN]*list.Element), list.New(), 0
}

// setGeneration forgets all cars, those in use included, when n is another one.
func (m *positionMemory) setGeneration(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.generation != n {
		m.generation = n
		m.forget()
	}
}

// take gives a car for use by one goroutine.
func (m *positionMemory) take(vin schema.VIN) *positionCar {
	m.mu.Lock()
	defer m.mu.Unlock()
	use := m.out[vin]
	use.users++
	use.clashed = use.clashed || use.users > 1
	m.out[vin] = use
	e := m.cars[vin]
	if e == nil {
		car := newPositionCar(vin)
		car.generation = m.generation
		return car
	}
	return m.remove(e)
}

// give takes a car back; keep says whether what it remembers is true.
func (m *positionMemory) give(car *positionCar, keep bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	use := m.out[car.vin]
	if use.users--; use.users == 0 {
		delete(m.out, car.vin)
	} else {
		m.out[car.vin] = use
	}
	if !keep || use.clashed || car.generation != m.generation {
		return
	}
	const samplesPerPosition = 4 // in bytes
	car.weight = car.track.Len() + samplesPerPosition*len(car.known)
	m.weight += car.weight
	m.cars[car.vin] = m.order.PushFront(car)
	for len(m.cars) > m.maxCars || m.weight > m.maxWeight {
		m.remove(m.order.Back())
	}
}

func (m *positionMemory) remove(e *list.Element) *positionCar {
	car := m.order.Remove(e).(*positionCar)
	delete(m.cars, car.vin)
	m.weight -= car.weight
	return car
}
