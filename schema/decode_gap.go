package schema

import "fmt"

// Gap sets g from one JSON object. The VINs are a new slice, or g's own where
// it has room. All members must be there, End not before Start.
func (d *Decoder) Gap(g *Gap, data []byte) error {
	*g = Gap{VINs: g.VINs[:0]}
	err := d.document("gap", data, []string{"gcid", "vins", "start", "end", "cause"}, func(name string) (known, ok bool) {
		return d.gapMember(g, name)
	})
	if err != nil {
		return err
	}
	if g.End.Before(g.Start) {
		return fmt.Errorf("%w gap: the end is before the start", ErrDecode)
	}
	return nil
}

func (d *Decoder) gapMember(g *Gap, name string) (known, ok bool) {
	known = true
	switch name {
	case "gcid":
		g.GCID, ok = d.gcid(d.scan.value(1))
	case "vins":
		ok = d.elements(func() bool {
			v, ok := d.vin(d.scan.value(2))
			g.VINs = append(g.VINs, v)
			return ok
		})
	case "start":
		g.Start, ok = d.time(d.scan.value(1))
	case "end":
		g.End, ok = d.time(d.scan.value(1))
	case "cause":
		g.Cause = GapCause(d.string(d.scan.value(1)))
		ok = g.Cause.known()
	default:
		d.scan.value(1)
		return false, true
	}
	return known, ok
}

func (c GapCause) known() bool {
	switch c {
	case GapTokenChange, GapShutdown, GapCrash, GapConnection, GapEvicted, GapTokenExpired, GapRefused,
		GapJournalFull, GapJournalLost, GapMoved:
		return true
	}
	return false
}
