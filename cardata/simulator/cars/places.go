package cars

import "math"

// role is what a place is to the driver; a car knows one place of each.
type role uint8

const (
	home role = iota
	work
	shop
	gym
	friends
	outingA // a town for a day out
	outingB
	roles
)

// place is a spot on the map. Towns are real, everything finer is invented.
type place struct {
	name, street, city string
	lat, lon           float64 // degrees
}

// town is where a car lives. Positions of homes are scattered over kilometres
// by the seed, so that none points at a real address.
type town struct {
	name, zone string
	uk         bool
	offset     int64 // hours ahead of UTC in winter
	lat, lon   float64
	altitude   float64 // metres
	outings    [2]place
}

//nolint:gochecknoglobals // constant table
var towns = [...]town{
	{name: "München", zone: "Europe/Berlin", offset: 1, lat: 48.14, lon: 11.57, altitude: 520, outings: [2]place{
		{name: "Lakeside parking", street: "Seepromenade 3", city: "Salzburg", lat: 47.81, lon: 13.03},
		{name: "Old town garage", street: "Wallgasse 12", city: "Nürnberg", lat: 49.45, lon: 11.09},
	}},
	{name: "Leipzig", zone: "Europe/Berlin", offset: 1, lat: 51.34, lon: 12.38, altitude: 113, outings: [2]place{
		{name: "Riverside parking", street: "Uferblick 8", city: "Dresden", lat: 51.06, lon: 13.73},
		{name: "Museum garage", street: "Galeriehof 1", city: "Berlin", lat: 52.50, lon: 13.38},
	}},
	{name: "Utrecht", zone: "Europe/Amsterdam", offset: 1, lat: 52.09, lon: 5.11, altitude: 5, outings: [2]place{
		{name: "Station parking", street: "Perronzicht 20", city: "Groningen", lat: 53.21, lon: 6.56},
		{name: "Park and ride south", street: "Zuiderpoort 4", city: "Eindhoven", lat: 51.43, lon: 5.48},
	}},
	{name: "Lyon", zone: "Europe/Paris", offset: 1, lat: 45.75, lon: 4.85, altitude: 175, outings: [2]place{
		{name: "Parking du lac", street: "Allée du Belvédère 6", city: "Annecy", lat: 45.90, lon: 6.12},
		{name: "Parking des vignes", street: "Rue du Vieux Pressoir 2", city: "Dijon", lat: 47.32, lon: 5.04},
	}},
	{name: "Verona", zone: "Europe/Rome", offset: 1, lat: 45.44, lon: 10.99, altitude: 59, outings: [2]place{
		{name: "Parcheggio portici", street: "Via dei Tigli 9", city: "Bologna", lat: 44.50, lon: 11.34},
		{name: "Parcheggio funivia", street: "Via del Maso 5", city: "Bolzano", lat: 46.49, lon: 11.35},
	}},
	{name: "Birmingham", zone: "Europe/London", uk: true, lat: 52.48, lon: -1.89, altitude: 140, outings: [2]place{
		{name: "Harbour car park", street: "Quayside Row 7", city: "Bristol", lat: 51.46, lon: -2.59},
		{name: "Meadow car park", street: "Willow Lane 15", city: "Oxford", lat: 51.75, lon: -1.25},
	}},
}

//nolint:gochecknoglobals // constant table: how far and under which name a place lies from the town's centre
var around = [outingA]struct {
	name     string
	streets  [3]string
	min, max float64 // km
}{
	home:    {"Home", [3]string{"Birkenring", "Rosenhof", "Lindenkamp"}, 1, 7},
	work:    {"Office", [3]string{"Technologiepark", "Gewerbering", "Campusallee"}, 9, 26},
	shop:    {"Supermarket", [3]string{"Marktbogen", "Am Handelshof", "Kaufring"}, 2, 6},
	gym:     {"Sports centre", [3]string{"Am Stadionpark", "Hallenweg", "Sportring"}, 2, 8},
	friends: {"Friends", [3]string{"Mühlenblick", "Gartenzeile", "Am Obsthang"}, 6, 18},
}

func (t *town) settle(seed uint64) [roles]place {
	var ps [roles]place
	for r := range outingA {
		a := &around[r]
		rnd := random(mix(seed, uint64(r), tagPlace))
		km, bearing := rnd.between(a.min, a.max), rnd.between(0, 2*math.Pi)
		lat := t.lat + km*math.Cos(bearing)/kmPerDegree
		lon := t.lon + km*math.Sin(bearing)/(kmPerDegree*math.Cos(t.lat*math.Pi/180))
		street := a.streets[rnd.index(len(a.streets))] + " " + digits(1+rnd.index(90))
		ps[r] = place{name: a.name, street: street, city: t.name, lat: lat, lon: lon}
	}
	copy(ps[outingA:], t.outings[:])
	return ps
}

const kmPerDegree = 111.195

// route is a road: a polyline with bends, always the same between two places,
// driven from either end.
type route struct {
	from, to role
	n        int
	points   [maxBends + 2]waypoint
}

const maxBends = 24

type waypoint struct{ lat, lon, km float64 }

// lay computes the road between two places.
func (r *route) lay(seed uint64, places *[roles]place, from, to role) {
	r.from, r.to = from, to
	a, b := min(from, to), max(from, to)
	p, q := &places[a], &places[b]
	straight := distance(p.lat, p.lon, q.lat, q.lon)
	bends := max(4, min(maxBends, int(straight/2)))
	r.n = bends + 2
	width := min(6, 0.16*straight) / kmPerDegree // of the bends, in degrees
	shrink := math.Cos((p.lat + q.lat) / 2 * math.Pi / 180)
	dLat, dLon := q.lat-p.lat, (q.lon-p.lon)*shrink
	norm := max(1e-9, math.Hypot(dLat, dLon))
	for i := range r.n {
		f := float64(i) / float64(r.n-1)
		side := width * math.Sin(math.Pi*f) * (2*unitOf(mix(seed, uint64(a), uint64(b), uint64(i), tagRoad)) - 1)
		if i == r.n-1 {
			side = 0 // sin(pi) is not quite zero
		}
		at := i
		if from > to {
			at = r.n - 1 - i
		}
		r.points[at] = waypoint{
			lat: p.lat + f*(q.lat-p.lat) - side*dLon/norm,
			lon: p.lon + f*(q.lon-p.lon) + side*dLat/norm/shrink,
		}
	}
	for i := 1; i < r.n; i++ {
		s, e := &r.points[i-1], &r.points[i]
		e.km = s.km + distance(s.lat, s.lon, e.lat, e.lon)
	}
}

// length is the way along the road in kilometres.
func (r *route) length() float64 { return r.points[r.n-1].km }

// at returns the position km along the road and the heading in degrees.
func (r *route) at(km float64) (lat, lon, heading float64) {
	i := 1
	for i < r.n-1 && r.points[i].km < km {
		i++
	}
	s, e := &r.points[i-1], &r.points[i]
	f := 0.0
	if e.km > s.km {
		f = max(0, min(1, (km-s.km)/(e.km-s.km)))
	}
	heading = math.Atan2((e.lon-s.lon)*math.Cos(s.lat*math.Pi/180), e.lat-s.lat) * 180 / math.Pi
	return s.lat + f*(e.lat-s.lat), s.lon + f*(e.lon-s.lon), math.Mod(heading+360, 360)
}

// distance is good to a few metres at the lengths driven here.
func distance(lat1, lon1, lat2, lon2 float64) float64 {
	x := (lon2 - lon1) * math.Cos((lat1+lat2)/2*math.Pi/180)
	return kmPerDegree * math.Hypot(lat2-lat1, x)
}
