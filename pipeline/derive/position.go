package derive

import (
	"math"
	"time"
)

// Position is where a vehicle was: a latitude and a longitude that were measured
// together, with what else was measured at about that time.
type Position struct {
	Time      int64   // when the latitude was measured, nanoseconds since 1970 UTC; the key within a vehicle
	Latitude  float64 // degrees north
	Longitude float64 // degrees east
	Altitude  float64 // m; NaN when not measured near enough
	Heading   float64 // degrees clockwise from north; NaN when not measured near enough
	ApartNS   int64   // between the measurements of latitude and longitude, nanoseconds, never negative
	Outlier   bool    // not reachable from the positions around it, or no place a car can be
}

// How far apart measurements may be and still be of one moment.
const (
	// PairWindow is for latitude and longitude. They are of the same second in
	// about 60 % of cases, else about one second apart (CarData API, section
	// "Order, duplicates, time"). Whole seconds make up to two of that, and one is
	// to spare; at motorway speed 3 s are some 100 m. A longer window would pair
	// measurements of different places: their distance has a tail to over an hour.
	PairWindow = 3 * time.Second
	// HeadingWindow is for the heading: a car turns within seconds.
	HeadingWindow = 5 * time.Second
	// AltitudeWindow is for the altitude: on a steep road 10 s are some 20 m, which
	// is what a GPS altitude is good for.
	AltitudeWindow = 10 * time.Second
)

// PositionMargin is how much before and after a span of time must be in a Track
// for the positions inside the span to be right, marks included: so far may
// a position be that judges another, and so far from that its longitude. It is
// also how far a new sample can change positions.
const PositionMargin = judgeWindow + PairWindow

// AppendPositions appends the positions of t to dst, in order of time, and allocates
// nothing where dst has room. Equal samples give equal positions, in whatever
// order they were put in.
//
// A latitude has one position, at its own time, when there is a longitude within
// PairWindow: the nearest, and of two equally near ones the earlier. One longitude
// may serve several latitudes. So each position depends on its own latitude and
// what is near, never on which latitude another one was paired with, and more
// data can only
//   - add a position, for another latitude or for one that stood alone,
//   - bring a nearer longitude, altitude or heading, or a later value of one,
//   - set or clear a mark,
//
// always at the time of a latitude that is still there: a number never goes (see
// Track.Add). A store that writes positions over each other by time thus never
// keeps one that all the data together would not give. If each longitude served only
// one latitude, a latitude that came late could take it from another whose
// position is stored already, and that would stay for ever.
func (t *Track) AppendPositions(dst []Position) []Position {
	first := len(dst)
	longitude, altitude, heading := cursor{s: t[Longitude]}, cursor{s: t[Altitude]}, cursor{s: t[Heading]}
	for i := range t[Latitude] {
		lat := &t[Latitude][i]
		lon, apart, ok := longitude.nearest(lat.Time, PairWindow)
		if !ok {
			continue
		}
		p := Position{Time: lat.Time, Latitude: lat.Value, Longitude: lon, Altitude: math.NaN(), Heading: math.NaN(), ApartNS: apart}
		if v, _, ok := altitude.nearest(lat.Time, AltitudeWindow); ok {
			p.Altitude = v
		}
		if v, _, ok := heading.nearest(lat.Time, HeadingWindow); ok {
			p.Heading = v
		}
		dst = append(dst, p)
	}
	markOutliers(dst[first:])
	return dst
}

// cursor walks a series along with times that ascend.
type cursor struct {
	s    Series
	next int // the first sample at or after the time asked for
}

// nearest gives the sample that is nearest to ns and not farther than window.
func (c *cursor) nearest(ns int64, window time.Duration) (value float64, apart int64, ok bool) {
	for c.next < len(c.s) && c.s[c.next].Time < ns {
		c.next++
	}
	best := ^uint64(0)
	if c.next < len(c.s) {
		best, value = gap(ns, c.s[c.next].Time), c.s[c.next].Value
	}
	if c.next > 0 {
		if before := gap(c.s[c.next-1].Time, ns); before <= best {
			best, value = before, c.s[c.next-1].Value
		}
	}
	if best > uint64(window) {
		return 0, 0, false
	}
	return value, int64(best), true
}

// gap is the time from a to b, which is not before a, without overflow.
func gap(a, b int64) uint64 { return uint64(b) - uint64(a) }

// Same says whether p and q are equal; a missing altitude or heading equals a
// missing one.
func (p *Position) Same(q *Position) bool {
	same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
	return p.Time == q.Time && same(p.Latitude, q.Latitude) && same(p.Longitude, q.Longitude) &&
		same(p.Altitude, q.Altitude) && same(p.Heading, q.Heading) && p.ApartNS == q.ApartNS && p.Outlier == q.Outlier
}
