package cars

import (
	"strconv"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Car is one simulated car. It belongs to one goroutine.
type Car struct {
	cfg  Config
	rand random
	at   time.Time
	km   float64
}

// New builds a car that has lived before cfg.Start and is watched from then on.
func New(cfg Config) *Car {
	if cfg.Model == "" {
		cfg.Model = BEV
	}
	return &Car{cfg: cfg, rand: random(mix(cfg.Seed, hashVIN(cfg.VIN))), at: cfg.Start.UTC().Truncate(time.Second), km: 23_456}
}

// Next returns the next message; Due never decreases and there is no end.
func (c *Car) Next() Emission {
	c.at = c.at.Add(10 * time.Second)
	c.km++
	sent := c.at.Add(time.Duration(200+c.rand.index(700)) * time.Millisecond)
	return Emission{
		Due: sent.Add(1600 * time.Millisecond), Sent: sent, VIN: c.cfg.VIN,
		Descriptor: "vehicle.vehicle.travelledDistance", Measured: c.at,
		Wire: strconv.AppendFloat(nil, c.km, 'f', -1, 64), Unit: "km", HasUnit: true,
		Truth: schema.Value{Kind: schema.KindNumber, Number: c.km}, TruthUnit: "km",
	}
}

// Sessions returns the charging sessions that began in [from, to), ascending.
func (c *Car) Sessions(from, to time.Time) []Session {
	return nil
}
