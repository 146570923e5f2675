package cars

// tick is a moment at which a car sends.
type tick struct {
	at    int64 // Unix seconds
	phase phase
}

const (
	driveStep  = 12.0 // seconds between looks at a driving car
	acStep     = 30.0 // … at a wallbox
	dcStep     = 10.0 // … at a fast charger
	fewestStep = 2.0  // seconds; keeps measured times of one key apart
	positionKm = 2.5  // a position at the latest after this way
	hush       = 300  // seconds until a silent charging car stops sending
)

// ticksOf appends the ticks of an activity, ascending.
func (c *Car) ticksOf(dst []tick, a *activity) []tick {
	switch a.kind {
	case wakes:
		return append(dst, tick{a.start, phaseWake})
	case charges:
		return c.chargeTicks(dst, a.charge)
	default:
		return c.driveTicks(dst, a)
	}
}

func (c *Car) driveTicks(dst []tick, a *activity) []tick {
	if a.first {
		dst = append(dst, tick{a.start - 35, phaseUnlock})
	}
	if a.plugged {
		dst = append(dst, tick{a.start - 12, phasePlug})
	}
	dst = append(dst, tick{a.start, phaseStart})
	end := float64(a.end)
	position := end
	every := c.life.spec.gpsSeconds
	if every > 0 {
		every = min(every, positionKm/a.cruise*3600)
		position = float64(a.start) + every*c.rand.between(0.8, 1.1)
	}
	look := float64(a.start) + c.step(driveStep)
	for {
		switch {
		case look < end-2 && look <= position:
			dst = append(dst, tick{int64(look), phaseDrive})
			look += c.step(driveStep)
		case position < end-14:
			dst = append(dst, tick{int64(position), phasePosition})
			position += every * c.rand.between(0.9, 1.15)
		case look < end-2:
			position = end
		default:
			dst = append(dst, tick{a.end + 1, phaseArrive})
			if a.last {
				dst = append(dst, tick{a.end + 9, phaseDoor}, tick{a.end + 45, phaseLock})
			}
			return dst
		}
	}
}

func (c *Car) chargeTicks(dst []tick, p *plug) []tick {
	from := len(dst)
	dst = append(dst, tick{p.start + 2, phasePlug})
	step := acStep
	if p.dc {
		step = dcStep
	}
	for i := 0; i < len(p.blocks); i++ {
		begin := p.blocks[i].start
		for p.dc && i < len(p.blocks)-1 {
			i++ // one row of looks over all the power steps
		}
		end := p.blocks[i].end
		dst = append(dst, tick{begin, phaseStatus})
		for at := float64(begin) + c.step(step); at < float64(end)-2; at += c.step(step) {
			dst = append(dst, tick{int64(at), phaseCharge})
		}
		if i < len(p.blocks)-1 {
			dst = append(dst, tick{end, phaseStatus})
		}
	}
	if c.quirks.ChargingSilence {
		quiet := dst[:from]
		for _, t := range dst[from:] {
			if t.at <= p.start+hush {
				quiet = append(quiet, t)
			}
		}
		dst = quiet
	}
	return append(dst, tick{p.end + 2, phaseDone})
}

func (c *Car) step(seconds float64) float64 {
	return max(fewestStep, seconds/c.busy*c.rand.between(0.85, 1.15))
}
