package derive

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// putting is one sample on its way into a track.
type putting struct {
	part  Part
	ns    int64
	value float64
}

// world is a track of n latitudes with all that happens: drives and pauses, late
// and missing halves, outliers alone and in a row, places that are none.
func world(seed uint64, n int) Track {
	var t Track
	for _, p := range puttings(seed, n) {
		t[p.part].Put(p.ns, p.value)
	}
	return t
}

func puttings(seed uint64, n int) (list []putting) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	ns, lat, lon, off := at(0), 48.0, 11.0, 0
	for range n {
		switch rnd.IntN(60) {
		case 0:
			ns += int64(rnd.IntN(20_000)) * 1e9
		case 1:
			off = rnd.IntN(6)
		case 2:
			ns += int64(rnd.IntN(400)) * 1e9
		default:
			ns += int64(1+rnd.IntN(8)) * 1e9
		}
		lat, lon = lat+rnd.Float64()*0.001, lon+rnd.Float64()*0.001
		a, o := lat, lon
		if off > 0 {
			off--
			a += 1.8
		}
		if rnd.IntN(80) == 0 {
			a, o = 0, 0
		}
		list = append(list, putting{Latitude, ns, a})
		if rnd.IntN(20) > 0 {
			list = append(list, putting{Longitude, ns + int64(rnd.IntN(5)/3*(1-rnd.IntN(3)))*1e9, o})
		}
		if rnd.IntN(3) > 0 {
			list = append(list, putting{Altitude, ns + int64(rnd.IntN(30)-15)*1e9, 500 + rnd.Float64()})
		}
		if rnd.IntN(3) > 0 {
			list = append(list, putting{Heading, ns + int64(rnd.IntN(16)-8)*1e9, 360 * rnd.Float64()})
		}
	}
	return unique(list)
}

// unique leaves the last sample of each key.
func unique(list []putting) []putting {
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b putting) int { return cmp.Or(cmp.Compare(a.part, b.part), cmp.Compare(a.ns, b.ns)) })
	return slices.CompactFunc(list, func(a, b putting) bool { return a.part == b.part && a.ns == b.ns })
}

func same(a, b []Position) bool {
	return slices.EqualFunc(a, b, func(a, b Position) bool { return a.Same(&b) })
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	for seed := range uint64(20) {
		list := puttings(seed, 300)
		want := trackOf(list)
		rand.New(rand.NewPCG(seed, 2)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		got := trackOf(list)
		if !same(got.AppendPositions(nil), want.AppendPositions(nil)) {
			t.Fatalf("seed %d: another order gives other positions", seed)
		}
	}
}

func trackOf(list []putting) (t Track) {
	for _, p := range list {
		t[p.part].Put(p.ns, p.value)
	}
	return t
}

// Spans with their margins, put together, are the whole.
func TestSpansWithTheirMarginsGiveTheWhole(t *testing.T) {
	outliers := 0
	for seed := range uint64(20) {
		all := world(seed, 2000)
		want := all.AppendPositions(nil)
		for i := range want {
			if want[i].Outlier {
				outliers++
			}
		}
		rnd := rand.New(rand.NewPCG(seed, 3))
		var got []Position
		for from := at(-1); from <= want[len(want)-1].Time; {
			to := from + int64(1+rnd.IntN(3000))*1e9
			span := all.Between(from-int64(PositionMargin), to+int64(PositionMargin))
			for _, p := range span.AppendPositions(nil) {
				if p.Time >= from && p.Time < to {
					got = append(got, p)
				}
			}
			from = to
		}
		if !same(got, want) {
			t.Fatalf("seed %d: %d positions in spans, %d in one piece, or other ones", seed, len(got), len(want))
		}
	}
	if outliers < 100 {
		t.Errorf("%d outliers: that proves nothing", outliers)
	}
}

// More data never takes a position away, and reaches no farther than the margin.
func TestMoreDataLeavesNoOrphanAndReachesNoFartherThanTheMargin(t *testing.T) {
	for seed := range uint64(10) {
		list := puttings(seed, 150)
		rand.New(rand.NewPCG(seed, 4)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		var track Track
		var before []Position
		for _, p := range list {
			track[p.part].Put(p.ns, p.value)
			after := track.AppendPositions(nil)
			for i := range before {
				j, kept := slices.BinarySearchFunc(after, before[i].Time, func(q Position, ns int64) int { return cmp.Compare(q.Time, ns) })
				if !kept {
					t.Fatalf("seed %d: the position at %d is gone", seed, before[i].Time)
				}
				q := &after[j]
				if q.ApartNS > before[i].ApartNS || q.Altitude != q.Altitude && before[i].Altitude == before[i].Altitude || q.Heading != q.Heading && before[i].Heading == before[i].Heading {
					t.Fatalf("seed %d: from %+v to %+v, which is no refinement", seed, before[i], *q)
				}
				if far := gap(min(p.ns, q.Time), max(p.ns, q.Time)); far > uint64(PositionMargin) && !q.Same(&before[i]) {
					t.Fatalf("seed %d: a sample %d ns away changes a position", seed, far)
				}
			}
			before = after
		}
	}
}

func FuzzPositions(f *testing.F) {
	f.Add([]byte{}, uint8(3))
	f.Add(binary.BigEndian.AppendUint64([]byte{0, 10, 20, 0, 1, 0, 10, 20, 0, 2}, 1), uint8(9))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		var track Track
		for len(data) >= 5 {
			p := Part(data[0]) % (Heading + 1)
			ns := at(float64(binary.BigEndian.Uint16(data[1:])) / 4)
			if data[0] > 250 {
				ns = int64(binary.BigEndian.Uint16(data[1:])) << 48
			}
			track[p].Put(ns, float64(int8(data[3]))+float64(data[4])/128)
			data = data[5:]
		}
		list := track.AppendPositions(nil)
		if len(list) > len(track[Latitude]) || !slices.IsSortedFunc(list, func(a, b Position) int { return cmp.Compare(a.Time, b.Time) }) {
			t.Fatalf("%d positions of %d latitudes, or out of order", len(list), len(track[Latitude]))
		}
		// Two halves around a moment, each with its margin, are the whole.
		middle := at(float64(cut) * 64)
		low, high := track.Between(-1<<63, middle+int64(PositionMargin)), track.Between(middle-int64(PositionMargin), 1<<63-1)
		var halves []Position
		for _, p := range low.AppendPositions(nil) {
			if p.Time < middle {
				halves = append(halves, p)
			}
		}
		for _, p := range high.AppendPositions(nil) {
			if p.Time >= middle {
				halves = append(halves, p)
			}
		}
		if !same(list, halves) {
			t.Fatalf("in one piece %+v\nin halves %+v", list, halves)
		}
	})
}

func BenchmarkPositions(b *testing.B) {
	var drive Track
	for i := range 100_000 {
		ns := at(float64(i) * 5)
		drive[Latitude].Put(ns, 48+float64(i)*0.0005)
		drive[Longitude].Put(ns+int64(i%5/3)*1e9, 11)
		drive[Altitude].Put(ns, 500)
		drive[Heading].Put(ns, 90)
	}
	for name, track := range map[string]Track{"drive": drive, "full of outliers": world(1, 100_000)} {
		b.Run(name, func(b *testing.B) {
			list := track.AppendPositions(nil)
			b.ReportAllocs()
			for b.Loop() {
				list = track.AppendPositions(list[:0])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(list)), "ns/position")
		})
	}
}
