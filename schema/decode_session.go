package schema

import (
	"fmt"
	"slices"
	"time"
)

// Session sets s from one JSON object, replacing all of it; lists and pointers
// are new. Members it does not know are passed over, so that an older program
// reads a newer record. A missing vin, start, source or fetched is an error, as
// is any member of the wrong type; s is then not to be used.
func (d *Decoder) Session(s *ChargingSession, data []byte) error {
	*s = ChargingSession{}
	return d.document("charging session", data, []string{"vin", "start", "source", "fetched"}, func(name string) (known, ok bool) {
		return d.sessionMember(s, name)
	})
}

func (d *Decoder) sessionMember(s *ChargingSession, name string) (known, ok bool) {
	known = true
	switch name {
	case "gcid":
		s.GCID, ok = d.gcid(d.scan.value(1))
	case "vin":
		s.VIN, ok = d.vin(d.scan.value(1))
	case "start":
		ok = d.moment(&s.Start) && !s.Start.IsZero()
	case "end":
		s.End, ok = d.time(d.scan.value(1))
	case "time_zone":
		ok = d.text(&s.TimeZone)
	case "start_soc":
		ok = d.float(&s.StartSOC)
	case "end_soc":
		ok = d.float(&s.EndSOC)
	case "charging_seconds":
		ok = d.float(&s.ChargingSeconds)
	case "grid_kwh":
		ok = d.float(&s.GridKWh)
	case "battery_increase_kwh":
		ok = d.float(&s.BatteryIncreaseKWh)
	case "battery_decrease_kwh":
		ok = d.float(&s.BatteryDecreaseKWh)
	case "discharged_kwh":
		ok = d.float(&s.DischargedKWh)
	case "mileage_km":
		ok = d.float(&s.MileageKm)
	case "preconditioning":
		t := d.scan.value(1)
		on := t.kind == tokenTrue
		s.Preconditioning, ok = &on, on || t.kind == tokenFalse
	case "place":
		s.Place = &ChargingPlace{}
		ok = d.members(2, func(name string) bool { return d.placeMember(s.Place, name) })
	case "cost":
		s.Cost = &ChargingCost{}
		ok = d.members(2, func(name string) bool { return d.costMember(s.Cost, name) })
	case "public":
		ok = d.elements(func() bool {
			s.Public = append(s.Public, ChargingPoint{})
			p := &s.Public[len(s.Public)-1]
			return d.members(3, func(name string) bool { return d.pointMember(p, name) })
		})
	case "errors":
		ok = d.elements(func() bool {
			s.Errors = append(s.Errors, ChargingError{})
			e := &s.Errors[len(s.Errors)-1]
			return d.members(3, func(name string) bool { return d.errorMember(e, name) })
		})
	case "blocks":
		ok = d.elements(func() bool {
			s.Blocks = append(s.Blocks, ChargingBlock{})
			b := &s.Blocks[len(s.Blocks)-1]
			return d.members(3, func(name string) bool { return d.blockMember(b, name) }) && !b.Start.IsZero()
		})
	case "source":
		s.Source, ok = d.source(d.scan.value(1))
	case "fetched":
		s.Fetched, ok = d.time(d.scan.value(1))
	default:
		d.scan.value(1)
		return false, true
	}
	return known, ok
}

func (d *Decoder) placeMember(p *ChargingPlace, name string) bool {
	switch name {
	case "municipality":
		return d.text(&p.Municipality)
	case "address":
		return d.text(&p.Address)
	case "street":
		return d.text(&p.Street)
	case "latitude":
		return d.float(&p.Latitude)
	case "longitude":
		return d.float(&p.Longitude)
	}
	d.scan.value(2)
	return true
}

func (d *Decoder) costMember(c *ChargingCost, name string) bool {
	switch name {
	case "currency":
		return d.text(&c.Currency)
	case "calculated":
		return d.float(&c.Calculated)
	case "savings":
		return d.float(&c.Savings)
	}
	d.scan.value(2)
	return true
}

func (d *Decoder) pointMember(p *ChargingPoint, name string) bool {
	switch name {
	case "provider":
		return d.text(&p.Provider)
	case "street":
		return d.text(&p.Street)
	case "postal_code":
		return d.text(&p.PostalCode)
	case "city":
		return d.text(&p.City)
	}
	d.scan.value(3)
	return true
}

func (d *Decoder) errorMember(e *ChargingError, name string) bool {
	switch name {
	case "time":
		return d.moment(&e.Time)
	case "hint":
		return d.text(&e.Hint)
	}
	d.scan.value(3)
	return true
}

func (d *Decoder) blockMember(b *ChargingBlock, name string) bool {
	switch name {
	case "start":
		return d.moment(&b.Start)
	case "end":
		return d.moment(&b.End)
	case "average_grid_kw":
		var kw *float64
		if !d.float(&kw) {
			return false
		}
		b.AverageGridKW = *kw
		return true
	}
	d.scan.value(3)
	return true
}

// document reads data as one object. member reads the value of a member and says
// whether it knows the name and whether the value is right; a known name may
// stand only once, and the required ones must stand.
func (d *Decoder) document(what string, data []byte, required []string, member func(name string) (known, ok bool)) error {
	d.scan.reset(data)
	defer d.release()
	if err := d.open(what); err != nil {
		return err
	}
	var seen []string
	for first := true; ; first = false {
		raw, more := d.scan.next(first)
		if !more {
			break
		}
		name := string(raw)
		known, ok := member(name)
		if d.scan.reason != "" {
			break
		}
		if !ok {
			return fmt.Errorf("%w %s: %s is not what it should be", ErrDecode, what, name)
		}
		if !known {
			continue
		}
		if slices.Contains(seen, name) {
			return fmt.Errorf("%w %s: %s occurs twice", ErrDecode, what, name)
		}
		seen = append(seen, name)
	}
	if err := d.close(what); err != nil {
		return err
	}
	for _, name := range required {
		if !slices.Contains(seen, name) {
			return fmt.Errorf("%w %s: %s is missing", ErrDecode, what, name)
		}
	}
	return nil
}

// members reads an object of the given depth; member reads each value. It says
// false when the value is no object or member says so. Faults of the JSON itself
// are left to close.
func (d *Decoder) members(depth int, member func(name string) bool) bool {
	s := &d.scan
	if s.peek() != '{' {
		s.value(depth)
		return false
	}
	if !s.enter(depth) {
		return false
	}
	for first := true; ; first = false {
		name, more := s.next(first)
		if !more {
			return s.reason == ""
		}
		if !member(string(name)) {
			return false
		}
	}
}

// elements reads an array at the top of a document; element reads each value.
func (d *Decoder) elements(element func() bool) bool {
	s := &d.scan
	if s.peek() != '[' {
		s.value(1)
		return false
	}
	s.pos++
	for first := true; ; first = false {
		c := s.peek()
		if c == ']' && first {
			s.pos++
			return true
		}
		if !first {
			if c == ']' {
				s.pos++
				return true
			}
			if c != ',' {
				s.unexpected("want , or ]")
				return false
			}
			s.pos++
		}
		if !element() {
			return false
		}
	}
}

func (d *Decoder) text(s *string) bool {
	t := d.scan.value(1)
	*s = d.string(t)
	return t.kind == tokenString
}

func (d *Decoder) float(f **float64) bool {
	t := d.scan.value(1)
	if t.kind != tokenNumber {
		return false
	}
	v, _, ok := parseNumber(t.raw)
	*f = &v
	return ok
}

func (d *Decoder) moment(t *time.Time) (ok bool) {
	*t, ok = d.time(d.scan.value(1))
	return ok
}
