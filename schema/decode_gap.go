package schema

import "fmt"

// Gap sets g from one JSON object. The VINs are a new slice, or g's own where
// it has room. All members must be there, End not before Start.
func (d *Decoder) Gap(g *Gap, data []byte) error {
	*g = Gap{VINs: g.VINs[:0]}
	d.scan.reset(data)
	defer d.release()
	if err := d.open("gap"); err != nil {
		return err
	}
	var seen fields
	for first := true; ; first = false {
		name, more := d.scan.next(first)
		if !more {
			break
		}
		f := gapField(name)
		if f != 0 && seen&f != 0 {
			return d.wrong("gap", f, "occurs twice")
		}
		seen |= f
		if !d.gapMember(g, f) {
			return d.wrong("gap", f, "is not what it should be")
		}
	}
	if err := d.close("gap"); err != nil {
		return err
	}
	if missing := (hasGCID | hasVINs | hasStart | hasEnd | hasSource) &^ seen; missing != 0 {
		return d.wrong("gap", missing&-missing, "is missing")
	}
	if g.End.Before(g.Start) {
		return fmt.Errorf("%w gap: the end is before the start", ErrDecode)
	}
	return nil
}

func gapField(name []byte) fields {
	switch string(name) {
	case "gcid":
		return hasGCID
	case "vins":
		return hasVINs
	case "start":
		return hasStart
	case "end":
		return hasEnd
	case "cause":
		return hasSource
	}
	return 0
}

func (d *Decoder) gapMember(g *Gap, f fields) (ok bool) {
	if f == hasVINs {
		return d.vins(g)
	}
	t := d.scan.value(1)
	if d.scan.reason != "" {
		return true
	}
	switch f {
	case hasGCID:
		g.GCID, ok = d.gcid(t)
	case hasStart:
		g.Start, ok = d.time(t)
	case hasEnd:
		g.End, ok = d.time(t)
	case hasSource:
		g.Cause = GapCause(d.string(t))
		ok = g.Cause.known()
	default:
		ok = true
	}
	return ok
}

func (d *Decoder) vins(g *Gap) bool {
	s := &d.scan
	if s.peek() != '[' {
		s.value(1)
		return s.reason != ""
	}
	s.pos++
	for first := true; ; first = false {
		c := s.peek()
		if c == ']' {
			s.pos++
			return true
		}
		if !first {
			if c != ',' {
				s.unexpected("want , or ]")
				return true
			}
			s.pos++
		}
		t := s.value(2)
		if s.reason != "" {
			return true
		}
		v, ok := d.vin(t)
		if !ok {
			return false
		}
		g.VINs = append(g.VINs, v)
	}
}

func (c GapCause) known() bool {
	switch c {
	case GapTokenChange, GapShutdown, GapCrash, GapConnection, GapEvicted, GapTokenExpired, GapRefused,
		GapJournalFull, GapJournalLost:
		return true
	}
	return false
}
