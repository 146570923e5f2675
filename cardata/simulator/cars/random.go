package cars

// mix hashes words into one; equal words give equal results on every machine.
func mix(words ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, w := range words {
		h = scramble(h ^ w)
	}
	return h
}

// scramble is the finisher of SplitMix64.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// random is a SplitMix64 generator: eight bytes of state, so that each
// activity of each of ten thousand cars can have its own.
type random uint64

func (r *random) next() uint64 {
	x := uint64(*r)
	*r += 0x9e3779b97f4a7c15
	return scramble(x)
}

// unit is uniform in [0, 1).
func (r *random) unit() float64 { return float64(r.next()>>11) / (1 << 53) }

// between is uniform in [lo, hi).
func (r *random) between(lo, hi float64) float64 { return lo + (hi-lo)*r.unit() }

// chance is true with probability p.
func (r *random) chance(p float64) bool { return r.unit() < p }

// index is uniform in [0, n); n is at least 1.
func (r *random) index(n int) int { return int(r.next() % uint64(n)) }

// unitOf turns a hash into a number in [0, 1).
func unitOf(h uint64) float64 { return float64(h>>11) / (1 << 53) }
