package derive

import (
	"cmp"
	"slices"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Part is one of the measurements that make a position.
type Part uint8

// The parts. Without the first two there is no position.
const (
	Latitude Part = iota
	Longitude
	Altitude
	Heading
)

const currentLocation = "vehicle.cabin.infotainment.navigation.currentLocation."

// Parts lists all of them.
func Parts() []Part { return []Part{Latitude, Longitude, Altitude, Heading} }

// Descriptor names the readings of p.
func (p Part) Descriptor() schema.Descriptor {
	switch p {
	case Latitude:
		return currentLocation + "latitude"
	case Longitude:
		return currentLocation + "longitude"
	case Altitude:
		return currentLocation + "altitude"
	case Heading:
		return currentLocation + "heading"
	}
	return ""
}

// PositionDescriptor says whether the readings of d are part of positions, and
// which. It costs next to nothing for the other descriptors.
func PositionDescriptor(d schema.Descriptor) (Part, bool) {
	const n = len(currentLocation)
	if len(d) <= n || d[:n] != currentLocation {
		return 0, false
	}
	switch d[n:] {
	case "latitude":
		return Latitude, true
	case "longitude":
		return Longitude, true
	case "altitude":
		return Altitude, true
	case "heading":
		return Heading, true
	}
	return 0, false
}

// Sample is one number and when the car measured it.
type Sample struct {
	Time  int64 // nanoseconds since 1970 UTC
	Value float64
}

// Series is the samples of one part in order of time, each time once.
type Series []Sample

// Put brings a sample in at its place. Of several for one time the last one
// stays, as in a store. It is cheap for samples that come about in order.
func (s *Series) Put(ns int64, value float64) {
	at := len(*s)
	if at > 0 && (*s)[at-1].Time >= ns {
		at = s.search(ns)
		if (*s)[at].Time == ns {
			(*s)[at].Value = value
			return
		}
	}
	*s = slices.Insert(*s, at, Sample{ns, value})
}

// search gives the index of the first sample at or after ns.
func (s *Series) search(ns int64) int {
	i, _ := slices.BinarySearchFunc(*s, ns, func(x Sample, ns int64) int { return cmp.Compare(x.Time, ns) })
	return i
}

// Forget drops the samples before ns and keeps the memory.
func (s *Series) Forget(ns int64) {
	if n := s.search(ns); n > 0 {
		*s = append((*s)[:0], (*s)[n:]...)
	}
}

// Track is what one vehicle measured, a series for each Part. The zero Track is
// empty. Whoever fills a series without Put or Add must keep its order.
type Track [Heading + 1]Series

// Add brings in a reading of any descriptor. It says whether the reading counts:
// a null, text, boolean or foreign reading does not, whatever else its key holds,
// just as a store keeps a number that a null of the same key came after.
func (t *Track) Add(d schema.Descriptor, ns int64, v schema.Value) bool {
	p, ok := PositionDescriptor(d)
	if !ok || v.Kind != schema.KindNumber {
		return false
	}
	t[p].Put(ns, v.Number)
	return true
}

// AddBlock brings in what counts of a block, and says how much that is.
func (t *Track) AddBlock(b *schema.ReadingBlock) int {
	p, ok := PositionDescriptor(b.Descriptor)
	if !ok {
		return 0
	}
	n := 0
	for i := range b.Times {
		if b.Values[i].Kind == schema.KindNumber {
			t[p].Put(b.Times[i], b.Values[i].Number)
			n++
		}
	}
	return n
}

// Between gives the samples from one moment to just before another. They share t's memory.
func (t *Track) Between(from, to int64) Track {
	var part Track
	for p := range t {
		lo, hi := t[p].search(from), t[p].search(to)
		part[p] = t[p][lo:max(lo, hi):max(lo, hi)]
	}
	return part
}

// Forget drops the samples before ns and keeps the memory.
func (t *Track) Forget(ns int64) {
	for p := range t {
		t[p].Forget(ns)
	}
}

// Reset empties t and keeps the memory.
func (t *Track) Reset() {
	for p := range t {
		t[p] = t[p][:0]
	}
}

// Len is the number of samples.
func (t *Track) Len() int {
	n := 0
	for p := range t {
		n += len(t[p])
	}
	return n
}
