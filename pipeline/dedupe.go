package pipeline

import (
	"hash/maphash"
	"math"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Verdict says how a reading relates to the latest one of its key.
type Verdict int

// The verdicts.
const (
	Fresh     Verdict = iota // no reading of this key is remembered
	Duplicate                // same key, same value
	Revision                 // same key, other value
)

// Dedupe remembers the latest value of each key (vin, descriptor, time) within
// a bound, the least recently met ones forgotten first in bulk. It is best
// effort: what it forgot passes again, and the stores are idempotent.
//
// It keeps hashes, not values, 16 bytes an entry: two readings are mixed up
// only when 128 bits agree. One goroutine owns it.
type Dedupe struct {
	seed maphash.Seed
	half int
	// Two generations make a bounded map without a list: a key that is met moves
	// to the young one, and when that is full the old one goes.
	young, old map[uint64]uint64
}

// NewDedupe remembers at most limit keys, at least 2.
func NewDedupe(limit int) *Dedupe {
	return &Dedupe{
		seed:  maphash.MakeSeed(),
		half:  max(limit/2, 1),
		young: make(map[uint64]uint64),
		old:   make(map[uint64]uint64),
	}
}

// Observe compares r with what is remembered and remembers r. Call it once for
// each reading, in order, and only when the reading is bound to be produced in
// that order or the process to end: the relay retries a batch until Kafka has
// it, so a remembered reading is never one that Kafka did not get.
func (d *Dedupe) Observe(r *schema.Reading) Verdict {
	key, value := d.hash(r)
	before, known := d.young[key]
	if !known {
		before, known = d.old[key]
	}
	if len(d.young) >= d.half {
		d.old, d.young = d.young, d.old
		clear(d.young)
	}
	d.young[key] = value
	switch {
	case !known:
		return Fresh
	case before == value:
		return Duplicate
	}
	return Revision
}

func (d *Dedupe) hash(r *schema.Reading) (key, value uint64) {
	key = maphash.String(d.seed, string(r.VIN))
	key = mix(key, maphash.String(d.seed, string(r.Descriptor)))
	key = mix(key, uint64(r.Time.UnixNano()))
	value = uint64(r.Value.Kind)
	switch r.Value.Kind {
	case schema.KindNumber:
		value = mix(value, math.Float64bits(r.Value.Number))
	case schema.KindBool:
		if r.Value.Bool {
			value = mix(value, 1)
		}
	case schema.KindText:
		value = mix(value, maphash.String(d.seed, r.Value.Text))
	case schema.KindNull:
	}
	return key, mix(value, maphash.String(d.seed, r.Unit))
}

// mix folds b into a; the constant is an odd 64-bit number with mixed bits.
func mix(a, b uint64) uint64 {
	h := (a ^ b) * 0x9E3779B97F4A7C15
	h ^= h >> 29
	h = (h + b) * 0xBF58476D1CE4E5B9
	return h ^ h>>32
}
