package schema

import "bytes"

// Vehicle sets v from one JSON object, replacing all of it; Facts and Raw are
// new. Members it does not know are passed over. A missing vin, kind, fetched or
// facts is an error, as is a member of the wrong type or a fact without exactly
// one value; v is then not to be used.
func (d *Decoder) Vehicle(v *Vehicle, data []byte) error {
	*v = Vehicle{}
	return d.document("vehicle", data, []string{"vin", "kind", "fetched", "facts"}, func(name string) (known, ok bool) {
		return d.vehicleMember(v, name)
	})
}

func (d *Decoder) vehicleMember(v *Vehicle, name string) (known, ok bool) {
	known = true
	switch name {
	case "gcid":
		v.GCID, ok = d.gcid(d.scan.value(1))
	case "vin":
		v.VIN, ok = d.vin(d.scan.value(1))
	case "kind":
		v.Kind = VehicleKind(d.string(d.scan.value(1)))
		ok = v.Kind.known()
	case "fetched":
		v.Fetched, ok = d.time(d.scan.value(1))
	case "facts":
		ok = d.elements(func() bool {
			v.Facts = append(v.Facts, Fact{})
			return d.fact(&v.Facts[len(v.Facts)-1])
		})
	case "raw":
		t := d.scan.value(1)
		raw := t.raw
		if t.kind == tokenString { // raw is what stands between the quotes
			raw = d.scan.data[d.scan.pos-len(t.raw)-2 : d.scan.pos]
		}
		if ok = len(raw) <= MaxVehicleRawBytes; ok {
			v.Raw = bytes.Clone(raw)
		}
	default:
		d.scan.value(1)
		return false, true
	}
	return known, ok
}

func (d *Decoder) fact(f *Fact) bool {
	values := 0
	ok := d.members(3, func(name string) bool {
		t := d.scan.value(3)
		switch name {
		case "name":
			f.Name = d.string(t)
			return validFactName(f.Name)
		case "number":
			values++
			f.Value.Kind = KindNumber
			if t.kind != tokenNumber {
				return false
			}
			var ok bool
			f.Value.Number, _, ok = parseNumber(t.raw)
			return ok
		case "bool":
			values++
			f.Value.Kind, f.Value.Bool = KindBool, t.kind == tokenTrue
			return t.kind == tokenTrue || t.kind == tokenFalse
		case "text":
			values++
			f.Value.Kind, f.Value.Text = KindText, d.string(t)
			return t.kind == tokenString
		case "null":
			values++
			return t.kind == tokenTrue
		}
		return true
	})
	return ok && f.Name != "" && values == 1
}
