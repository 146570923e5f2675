package cars

import "math"

// envelope is what all messages of one burst share.
type envelope struct {
	sent, due int64 // Unix milliseconds
	n         int64 // messages so far
}

// envelopeAt closes an envelope some seconds after the car measured. The way
// to the client takes 1.6 to 5 s with a median near 3.4.
func (c *Car) envelopeAt(unix int64, delay float64) envelope {
	sent := unix*1000 + 1200 + int64(delay*1000) + int64(c.rand.index(700))
	latency := 1600 + int64(c.rand.index(1550)) + int64(c.rand.index(1550))
	return envelope{sent: sent, due: sent + latency}
}

func (v *envelope) stamp(it *item) {
	it.sent, it.due = v.sent, v.due+2*v.n
	v.n++
}

// burst is the fresh envelope of a tick and the ones of its echoes.
type burst struct {
	fresh, soon, later envelope
}

func (c *Car) burstAt(unix int64) burst {
	return burst{
		fresh: c.envelopeAt(unix, 0),
		soon:  c.envelopeAt(unix, c.rand.between(6, 18)),
		later: c.envelopeAt(unix, c.rand.between(20, 90)),
	}
}

// send emits the burst of the current moment.
func (c *Car) send(a *activity) {
	m := &c.now
	b := c.burstAt(m.t)
	switch m.phase {
	case phaseDrive, phaseCharge:
		for _, k := range c.sends[m.phase] {
			if c.rand.chance(0.72) {
				c.emit(&b, k)
			}
		}
	case phasePosition:
		if c.rand.chance(c.quirks.Outlier) {
			c.outlier(&b, a)
			return
		}
		c.emitAll(&b, c.sends[m.phase])
	case phaseArrive:
		c.emitAll(&b, c.sends[m.phase])
		if a.last {
			c.trip = c.trip[:0]
			c.emitAll(&b, c.tripEnd)
		}
	case phaseWake, phaseUnlock, phaseDone:
		c.emitAll(&b, c.sends[m.phase])
		for _, k := range c.seldom {
			if c.rand.chance(0.12) {
				c.emit(&b, k)
			}
		}
		c.repeatTrip(&b)
	default:
		c.emitAll(&b, c.sends[m.phase])
	}
}

func (c *Car) emitAll(b *burst, keys []uint8) {
	for _, k := range keys {
		c.emit(b, k)
	}
}

// repeatTrip sends the last trip's figures again, measured when they were.
func (c *Car) repeatTrip(b *burst) {
	if c.quirks.Duplicate <= 0 {
		return
	}
	for i := range c.trip {
		it := c.trip[i]
		it.duplicate = true
		b.fresh.stamp(&it)
		c.waiting.push(&it)
	}
}

// outlier sends a position about 200 km off and, 12 s later, the right one.
func (c *Car) outlier(b *burst, a *activity) {
	m := &c.now
	m.lat += 1.8
	c.emitAll(b, c.sends[phasePosition])
	m.at(c.life, a, &c.road, c.day, m.t+12, phasePosition)
	right := c.burstAt(m.t)
	c.emitAll(&right, c.sends[phasePosition])
}

// emit reads one key and sends it, with the oddities of the feed.
func (c *Car) emit(b *burst, key uint8) {
	k := &keys[key]
	dice := c.rand.next()
	it := item{key: key, measured: c.measured(key, dice)}
	c.read(&it, k, dice)
	if lane(dice, 1) < c.quirks.Null {
		c.blank(&it, k, dice)
	}
	if k.when == seldom && it.what == plain && dice>>60 < 5 && it.text[0] == '[' {
		it.what = rawJSON
	}
	kept := lane(dice, 2)
	if kept < c.quirks.OldMeasurement {
		c.delay(it)
		return
	}
	b.fresh.stamp(&it)
	c.waiting.push(&it)
	kept -= c.quirks.OldMeasurement
	if kept < c.quirks.Revised && revisable(&it, k) {
		c.revise(b, it, k)
		return
	}
	if k.when == atTripEnd {
		c.trip = append(c.trip, it)
	}
	c.echo(b, it)
}

// lane cuts a number in [0, 1) out of 20 bits of a die; lanes 0 to 2.
func lane(dice uint64, n uint) float64 { return float64(dice>>(20*n)&0xfffff) / (1 << 20) }

// measured is the second the car read a key: this one or the last, and never
// one of which the key was sent before.
func (c *Car) measured(key uint8, dice uint64) int64 {
	t := c.now.t
	switch {
	case key == keyLatitude:
		t -= c.apart()
	case key == keyLongitude:
	case dice&3 == 0:
		t--
	}
	t = max(t, c.last[key]+1)
	c.last[key] = t
	return t
}

// apart is how many seconds latitude was read before longitude: none in three
// of five positions, else one.
func (c *Car) apart() int64 {
	if mix(c.life.seed, uint64(c.now.t))%5 < 3 {
		return 0
	}
	return 1
}

// read takes the key's value at this moment.
func (c *Car) read(it *item, k *key, dice uint64) {
	switch k.form {
	case number, quoted:
		v := k.number(&c.now)
		places := k.decimals
		switch it.key {
		case keyMileage:
			if lane(dice, 0) < c.quirks.MissingUnit {
				it.noUnit = true
				break
			}
			fallthrough
		case keyElectricRange:
			if c.life.town.uk {
				it.what, places = miles, 1
				v /= kmPerMile
			}
		}
		it.number = round(v, places)
	case jsonBool, asn, vocab, enum:
		it.index = uint8(k.index(&c.now))
	case text:
		it.text = k.text(&c.now)
		if it.text[0] == '{' {
			it.what = rawJSON
		}
	}
}

func round(v float64, places uint8) float64 {
	p := [...]float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6}[places]
	return math.Round(v*p) / p
}

// blank makes a value null, or the key's word for it every other time.
func (c *Car) blank(it *item, k *key, dice uint64) {
	it.what = absent
	if k.sentinel != "" && dice>>63 == 0 {
		it.what = sentinel
	}
}

// delay hands an item over minutes late, behind newer ones of its key, but
// within the car day.
func (c *Car) delay(it item) {
	most := float64(dayStart(c.day+1) - c.now.t - 60)
	e := c.envelopeAt(c.now.t, min(most, c.rand.between(300, 3000)))
	e.stamp(&it)
	c.waiting.push(&it)
}

// revisable keeps positions and mileage true, and nothing as it is.
func revisable(it *item, k *key) bool {
	return it.key > keyMileage && it.what == plain && k.form != text
}

// revise sends another value of the same key and time; the later one counts.
func (c *Car) revise(b *burst, it item, k *key) {
	switch k.form {
	case number, quoted:
		step := float64(1+c.rand.index(3)) / math.Pow10(int(k.decimals))
		if it.number >= step {
			step = -step
		}
		it.number = round(it.number+step, k.decimals)
	case jsonBool, asn, vocab:
		it.index ^= 1
	default:
		it.index = (it.index + 1) % uint8(len(k.words))
	}
	b.soon.stamp(&it)
	c.waiting.push(&it)
}

// echo repeats a message under later envelopes.
func (c *Car) echo(b *burst, it item) {
	n := c.duplicates
	for n > 0 {
		if n < 1 && !c.rand.chance(n) {
			return
		}
		n--
		it.duplicate = true
		e := &b.soon
		if c.rand.chance(0.5) {
			e = &b.later
		}
		e.stamp(&it)
		c.waiting.push(&it)
	}
}
