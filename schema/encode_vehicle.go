package schema

import "strconv"

// AppendVehicle appends v as one JSON object with members in a fixed order, the
// value of a record on the vehicles topic (VehicleSchema). Equal records give
// equal bytes. Raw is written as the JSON it is; when it is not JSON that FactsOf
// would take, or longer than MaxVehicleRawBytes, it is left out.
func AppendVehicle(dst []byte, v *Vehicle) []byte {
	dst = append(dst, `{"vin":`...)
	dst = appendString(dst, string(v.VIN))
	dst = append(dst, `,"kind":`...)
	dst = appendString(dst, string(v.Kind))
	dst = append(dst, `,"fetched":`...)
	dst = appendTime(dst, v.Fetched)
	dst = append(dst, `,"facts":[`...)
	for i := range v.Facts {
		f := &v.Facts[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"name":`...)
		dst = appendString(dst, f.Name)
		dst = appendFactValue(dst, &f.Value)
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	dst = appendText(dst, "gcid", string(v.GCID))
	if validRaw(v.Raw) {
		dst = append(appendName(dst, "raw"), v.Raw...)
	}
	return append(dst, '}')
}

func appendFactValue(dst []byte, v *Value) []byte {
	switch v.Kind {
	case KindNumber:
		if isFinite(v.Number) {
			return appendNumber(appendName(dst, "number"), v.Number)
		}
	case KindBool:
		return strconv.AppendBool(appendName(dst, "bool"), v.Bool)
	case KindText:
		return appendString(appendName(dst, "text"), v.Text)
	case KindNull:
	}
	return append(appendName(dst, "null"), "true"...)
}

// validRaw says whether raw can stand inside a record, one level deep.
func validRaw(raw []byte) bool {
	if len(raw) == 0 || len(raw) > MaxVehicleRawBytes {
		return false
	}
	var s scanner
	s.reset(raw)
	s.value(1)
	s.peek()
	return s.reason == "" && s.pos == len(raw)
}
