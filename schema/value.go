package schema

import "bytes"

// value sets value, unit and raw of rd from the point at hand. misfit says that
// the catalogue's type could not hold it, ok that it is short enough.
//
// Without a row the type is unknown. The unit on the point wins over the
// catalogue's; numbers in miles, miles per hour and degrees Fahrenheit become
// metric and keep what they were in Raw.
func (n *Normalizer) value(rd *Reading, r *row) (misfit, ok bool) {
	typ := TypeUnknown
	if r != nil {
		typ = r.Type
	}
	v := n.point.value
	switch v.kind {
	case tokenNull, tokenAbsent:
		n.setNull(rd, r)
	case tokenTrue, tokenFalse:
		misfit = n.boolean(rd, typ, v)
	case tokenNumber:
		return n.number(rd, r, typ, v.raw)
	case tokenObject, tokenArray:
		n.text = appendCompact(n.text[:0], v.raw)
		return n.setText(rd, n.text, typ == TypeNumber || typ == TypeBool)
	case tokenString:
		return n.quoted(rd, r, typ, n.unescaped(v))
	}
	return misfit, true
}

// boolean takes a JSON true or false.
func (n *Normalizer) boolean(rd *Reading, typ Type, v token) (misfit bool) {
	if typ == TypeBool || typ == TypeUnknown {
		n.setBool(rd, v.kind == tokenTrue)
		return false
	}
	misfit, _ = n.setText(rd, v.raw, typ == TypeNumber)
	return misfit
}

// number takes a JSON number. Text descriptors keep its literal, because the
// REST form of the same value is that literal in quotes.
func (n *Normalizer) number(rd *Reading, r *row, typ Type, raw []byte) (misfit, ok bool) {
	if len(raw) > MaxTextBytes {
		return false, false
	}
	switch typ {
	case TypeText:
		return n.setText(rd, raw, false)
	case TypeBool:
		if f, _, ok := parseNumber(raw); ok && (f == 0 || f == 1) {
			n.setBool(rd, f == 1)
			rd.Raw = n.texts.get(raw)
			return false, true
		}
		return n.setText(rd, raw, true)
	case TypeNumber, TypeUnknown:
	}
	f, _, ok := parseNumber(raw)
	if !ok {
		return n.setText(rd, raw, typ == TypeNumber)
	}
	n.setNumber(rd, r, f, raw)
	return false, true
}

// quoted takes a JSON string: by REST every value is one.
func (n *Normalizer) quoted(rd *Reading, r *row, typ Type, text []byte) (misfit, ok bool) {
	if len(text) > MaxTextBytes {
		return false, false
	}
	word := n.visible(text)
	if n.sentinel(r, word) {
		n.setNull(rd, r)
		rd.Raw = n.texts.get(text)
		return false, true
	}
	switch typ {
	case TypeText:
		return n.setText(rd, text, false)
	case TypeBool:
		return n.word2bool(rd, r, text, word)
	case TypeNumber, TypeUnknown:
	}
	if f, plain, ok := parseNumber(word); ok {
		n.setNumber(rd, r, f, word)
		if !plain && rd.Raw == "" {
			rd.Raw = n.texts.get(text)
		}
		return false, true
	}
	if typ == TypeUnknown && (string(word) == "true" || string(word) == "false") {
		// REST writes a JSON boolean so; the stream's form gives the same.
		n.setBool(rd, len(word) == len("true"))
		return false, true
	}
	return n.setText(rd, text, typ == TypeNumber)
}

func (n *Normalizer) word2bool(rd *Reading, r *row, text, word []byte) (misfit, ok bool) {
	switch string(word) {
	case "true", "false": // quotes alone are no change
		n.setBool(rd, len(word) == len("true"))
		if len(word) != len(text) {
			rd.Raw = n.texts.get(text)
		}
		return false, true
	case r.TrueWord:
		n.setBool(rd, true)
	case r.FalseWord:
		n.setBool(rd, false)
	default:
		b, ok := r.truth(word)
		if !ok {
			return n.setText(rd, text, true)
		}
		n.setBool(rd, b)
	}
	rd.Raw = n.texts.get(text)
	return false, true
}

// truth reads a word that is not spelled as the row's own.
func (r *row) truth(word []byte) (value, ok bool) {
	if f, _, ok := parseNumber(word); ok {
		return f == 1, f == 0 || f == 1
	}
	if equalFold(word, r.TrueWord) {
		return true, true
	}
	if equalFold(word, r.FalseWord) {
		return false, true
	}
	if len(word) > maxInternedBytes {
		return false, false
	}
	return r.sense.truth(string(word))
}

// visible gives the text as it is compared: without surrounding space and
// invisible characters.
func (n *Normalizer) visible(text []byte) []byte {
	if isClean(text) {
		return text
	}
	if len(text) > maxInternedBytes {
		return bytes.TrimSpace(text) // no word is that long
	}
	n.word = appendClean(n.word[:0], text)
	return n.word
}

func (n *Normalizer) sentinel(r *row, word []byte) bool {
	switch len(word) {
	case 0:
		return true
	case 4, 7, 11, 13:
		if isSentinel(string(word)) {
			return true
		}
	}
	if r == nil {
		return false
	}
	for _, s := range r.Sentinels {
		if equalFold(word, s) {
			return true
		}
	}
	return false
}

// equalFold compares in any letter case without allocating; s is a word of the
// catalogue.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		d := s[i]
		if c == d {
			continue
		}
		if c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z' {
			return false
		}
	}
	return true
}

// setNull keeps the unit: it says what was not reported.
func (n *Normalizer) setNull(rd *Reading, r *row) {
	rd.Value = Value{}
	_, rd.Unit, _ = toMetric(0, n.point.unit)
	if rd.Unit == "" && r != nil {
		rd.Unit = r.Unit
	}
}

// setBool and setText take a unit only from the point: the catalogue's belongs
// to its numbers.
func (n *Normalizer) setBool(rd *Reading, b bool) {
	rd.Value = Value{Kind: KindBool, Bool: b}
	rd.Unit = n.point.unit
}

func (n *Normalizer) setText(rd *Reading, text []byte, misfit bool) (bool, bool) {
	if len(text) > MaxTextBytes {
		return false, false
	}
	rd.Value = Value{Kind: KindText, Text: n.texts.get(text)}
	rd.Unit = n.point.unit
	return misfit, true
}

// setNumber also converts. A distance without a unit is taken as the
// catalogue's; Raw marks that this was assumed, for it can be miles (CarData
// API, section "Later findings").
func (n *Normalizer) setNumber(rd *Reading, r *row, f float64, literal []byte) {
	unit := n.point.unit
	if unit == "" {
		if r != nil {
			unit = r.Unit
			if r.Distance {
				rd.Raw = n.texts.get(literal)
			}
		}
		rd.Value, rd.Unit = Value{Kind: KindNumber, Number: f}, unit
		return
	}
	metric, unit, converted := toMetric(f, unit)
	if converted && !isFinite(metric) {
		metric, unit, converted = f, n.point.unit, false
	}
	rd.Value, rd.Unit = Value{Kind: KindNumber, Number: metric}, unit
	if converted {
		n.text = append(n.text[:0], literal...)
		n.text = append(n.text, ' ')
		n.text = append(n.text, n.point.unitText...)
		rd.Raw = n.texts.get(n.text)
	}
}

func isFinite(f float64) bool { return f-f == 0 }
