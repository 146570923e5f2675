package derive

import (
	"math"
	"time"
)

const (
	// judgeWindow is how near in time positions must be to judge each other. A car
	// whose positions are farther apart may have been shipped between them.
	judgeWindow = 10 * time.Minute
	// judges is how many positions on each side judge another, the nearest ones. It
	// bounds the work, and is more than an outlier of some seconds has by itself.
	judges = 32

	// maxMetersPerSecond is 324 km/h, above what any of the cars drives.
	maxMetersPerSecond = 90.0
	// slackMeters is for positions that come as a staircase of two to three
	// kilometres (CarData API, section "Order, duplicates, time").
	slackMeters = 3000.0

	metersPerDegree = 111_195.0 // of a great circle
	// nullIsland is how near to 0, 0 a position stands for none: 100 m of open sea.
	nullIsland = 0.001
)

// markOutliers sets the marks of positions in order of time.
//
// A GPS now and then puts a car some 200 km off for some seconds (CarData API,
// section "Order, duplicates, time"). Where one position is not reachable from the
// one before there is a jump; an outlier lies between two of them, one there
// and one back. Which of the places is the false one the positions around
// decide, on both sides, by how many of them each is reachable from. Only what is within
// judgeWindow counts and no mark depends on another mark, so that equal data
// give equal marks whatever the span they are looked at in.
//
// A jump without a way back is no outlier: a car comes off a ferry. Neither
// is the last position so far; its mark may come with the next ones. What is
// no place a car can be is marked by itself and judges none.
func markOutliers(list []Position) {
	last, jump := -1, -1 // index of the last place, and of the place before the last jump
	for i := range list {
		p := &list[i]
		if !p.place() {
			p.Outlier = true
			continue
		}
		if last >= 0 && gap(list[last].Time, p.Time) <= uint64(judgeWindow) && !reachable(&list[last], p) {
			if jump >= 0 && gap(list[jump].Time, p.Time) <= 2*uint64(judgeWindow) {
				judge(list, jump, i)
			}
			jump = last
		}
		last = i
	}
}

// judge marks outliers between two jumps that follow each other: from before to
// the place after it, and from the last place in between to after.
func judge(list []Position, before, after int) {
	for i := before + 1; i < after; i++ {
		if !list[i].place() {
			continue
		}
		back, forth := look(list, i, before, -1), look(list, i, after, +1)
		list[i].Outlier = back.jumped && forth.jumped && back.away > 0 && forth.away > 0 &&
			back.away+forth.away > back.near+forth.near
	}
}

// votes are what the positions on one side say.
type votes struct {
	near, away int  // it is reachable from them, or not
	jumped     bool // the other end of the jump is among them
}

func look(list []Position, i, end, step int) (v votes) {
	p := &list[i]
	for j := i + step; j >= 0 && j < len(list) && v.near+v.away < judges; j += step {
		q := &list[j]
		if gap(min(p.Time, q.Time), max(p.Time, q.Time)) > uint64(judgeWindow) {
			break
		}
		if !q.place() {
			continue
		}
		if reachable(p, q) {
			v.near++
		} else {
			v.away++
		}
		v.jumped = v.jumped || j == end
	}
	return v
}

// place says whether a car can be there at all.
func (p *Position) place() bool {
	lat, lon := math.Abs(p.Latitude), math.Abs(p.Longitude)
	return lat <= 90 && lon <= 180 && (lat >= nullIsland || lon >= nullIsland)
}

// reachable says whether a car can have been at both. Distances are on a plane
// through the middle latitude, which is good enough for those that matter.
func reachable(p, q *Position) bool {
	limit := slackMeters + maxMetersPerSecond*float64(gap(min(p.Time, q.Time), max(p.Time, q.Time)))/1e9
	north := math.Abs(p.Latitude-q.Latitude) * metersPerDegree
	east := math.Abs(p.Longitude - q.Longitude)
	east = min(east, 360-east) * metersPerDegree // the other way round at the antimeridian
	if north+east <= limit {
		return true
	}
	east *= math.Cos((p.Latitude + q.Latitude) / 2 * math.Pi / 180)
	return north*north+east*east <= limit*limit
}
