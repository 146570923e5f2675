package schema

import (
	"math"
	"strconv"
	"time"
)

// parseNumber reads decimal text: sign, digits, fraction, exponent. plain says
// that it is also a JSON number, so that a reader of the text and a reader of
// the number see the same. NaN, Inf, hexadecimal, underscores and what does not
// fit a finite float64 are no numbers. Zero has no sign.
func parseNumber(b []byte) (f float64, plain, ok bool) {
	i, neg := 0, false
	plain = true
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		neg = b[0] == '-'
		plain = neg
		i++
	}
	var mant uint64
	scale, first := 0, i
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if mant > 1<<53 {
			return slowNumber(b, plain)
		}
		mant = mant*10 + uint64(b[i]-'0')
	}
	whole := i - first
	if whole == 0 || (whole > 1 && b[first] == '0') {
		plain = false
	}
	if i < len(b) && b[i] == '.' {
		i++
		first = i
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
			if mant > 1<<53 {
				return slowNumber(b, plain)
			}
			mant = mant*10 + uint64(b[i]-'0')
		}
		scale = i - first
		if scale == 0 {
			plain = false
		}
	}
	if whole+scale == 0 {
		return 0, false, false
	}
	if i < len(b) || mant > 1<<53 || scale > 22 {
		return slowNumber(b, plain)
	}
	f = float64(mant)
	if scale > 0 {
		// Both are exact up to 10^22, so one division rounds correctly.
		div := 1.0
		for range scale {
			div *= 10
		}
		f /= div
	}
	if neg && mant != 0 {
		f = -f
	}
	return f, plain, true
}

func slowNumber(b []byte, plain bool) (float64, bool, bool) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9', c == '.', c == 'e', c == 'E', c == '+', c == '-':
		default:
			return 0, false, false // what ParseFloat takes beyond decimals
		}
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, false, false
	}
	return f + 0, plain && jsonNumber(b), true
}

func jsonNumber(b []byte) bool {
	if len(b) == 0 || (b[0] != '-' && b[0]-'0' > 9) {
		return false
	}
	s := scanner{data: b}
	s.number()
	return s.reason == "" && s.pos == len(b)
}

// parseTime reads RFC 3339 and what BMW makes of it: with or without a
// fraction, offset as Z, +00:00, +0000 or left out, which is UTC (CarData API,
// sections "Message" and "Endpoints"). Digits beyond nanoseconds are cut. The
// result is UTC within the years 0 to 9999.
func parseTime(b []byte) (time.Time, bool) {
	if len(b) < len("2006-01-02T15:04:05") || b[4] != '-' || b[7] != '-' || b[10]|0x20 != 't' || b[13] != ':' || b[16] != ':' {
		return time.Time{}, false
	}
	century, ok0 := two(b[0:])
	year, ok1 := two(b[2:])
	month, ok2 := two(b[5:])
	day, ok3 := two(b[8:])
	hour, ok4 := two(b[11:])
	minute, ok5 := two(b[14:])
	sec, ok6 := two(b[17:])
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 {
		return time.Time{}, false
	}
	year += century * 100
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || sec > 59 {
		return time.Time{}, false
	}
	nsec, b, ok := fraction(b[19:])
	if !ok {
		return time.Time{}, false
	}
	offset, ok := zone(b)
	if !ok {
		return time.Time{}, false
	}
	unix := daysSince1970(year, month, day)*86400 + int64(hour*3600+minute*60+sec-offset)
	if unix < minUnix || unix > maxUnix {
		return time.Time{}, false
	}
	return time.Unix(unix, int64(nsec)).UTC(), true
}

const (
	minUnix = -62167219200 // 0000-01-01T00:00:00Z
	maxUnix = 253402300799 // 9999-12-31T23:59:59Z
)

func two(b []byte) (int, bool) {
	hi, lo := b[0]-'0', b[1]-'0'
	return int(hi)*10 + int(lo), hi <= 9 && lo <= 9
}

func fraction(b []byte) (nsec int, rest []byte, ok bool) {
	if len(b) == 0 || (b[0] != '.' && b[0] != ',') {
		return 0, b, true
	}
	i, unit := 1, 100_000_000
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		nsec += int(b[i]-'0') * unit
		unit /= 10
	}
	return nsec, b[i:], i > 1
}

// zone gives the offset in seconds east of UTC.
func zone(b []byte) (int, bool) {
	if len(b) == 0 || (len(b) == 1 && b[0]|0x20 == 'z') {
		return 0, true
	}
	if len(b) == 6 && b[3] == ':' {
		b = append(append(make([]byte, 0, 8), b[:3]...), b[4:]...)
	}
	if len(b) != 5 || (b[0] != '+' && b[0] != '-') {
		return 0, false
	}
	h, ok1 := two(b[1:])
	m, ok2 := two(b[3:])
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, false
	}
	offset := h*3600 + m*60
	if b[0] == '-' {
		offset = -offset
	}
	return offset, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts days of the proleptic Gregorian calendar. A year that
// begins in March puts the leap day last, so months have a fixed start.
func daysSince1970(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	if year < 0 {
		era = -1
	}
	yearOfEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return int64(era*146097+dayOfEra) - 719468
}

// dateOf is the inverse of daysSince1970.
func dateOf(days int64) (year, month, day int) {
	d := int(days) + 719468
	era := d / 146097
	if d < 0 {
		era = (d - 146096) / 146097
	}
	dayOfEra := d - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*dayOfYear + 2) / 153
	day = dayOfYear - (153*shifted+2)/5 + 1
	month = shifted + 3
	year = yearOfEra + era*400
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}
