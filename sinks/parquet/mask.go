package parquet

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// mask applies a profile before any value reaches a column. It is for one goroutine.
type mask struct {
	p     *Profile
	facts []Ruling
	vins  map[schema.VIN]string
	kept  map[string]bool // of facts
}

func newMask(p *Profile) *mask {
	return &mask{p: p, facts: FactRulings(), vins: make(map[schema.VIN]string), kept: make(map[string]bool)}
}

func (m *mask) full() bool { return m.p.Name == Full }

const tokenBytes = 16

// keyed is HMAC-SHA256 of a text for one use of the secret.
func (m *mask) keyed(use, text string) []byte {
	h := hmac.New(sha256.New, []byte(m.p.Secret))
	h.Write([]byte(use))
	h.Write([]byte{0})
	h.Write([]byte(text))
	return h.Sum(nil)
}

// vin gives what stands in column vin.
func (m *mask) vin(v schema.VIN) string {
	if m.full() || v == "" {
		return string(v)
	}
	t, known := m.vins[v]
	if !known {
		t = "v_" + token(m.keyed("vin", string(v)))
		m.vins[v] = t
	}
	return t
}

func (m *mask) gcid(g string) string {
	if m.full() || g == "" {
		return g
	}
	return "a_" + token(m.keyed("gcid", g))
}

func token(sum []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:tokenBytes]))
}

// keyID tells one secret from another, and tells nothing of it.
func (m *mask) keyID() string {
	if m.full() {
		return ""
	}
	return hex.EncodeToString(m.keyed("key id", "")[:4])
}

// zonesID tells one set of zones from another, and tells nothing of where they are.
func (m *mask) zonesID() string {
	if m.full() || len(m.p.Zones) == 0 {
		return ""
	}
	b, err := json.Marshal(m.p.Zones)
	if err != nil {
		panic(fmt.Sprintf("BUG: zones were validated: %v", err))
	}
	return hex.EncodeToString(m.keyed("zones", string(b))[:4])
}

const earthRadiusM = 6_371_008.8

// place rounds a position; false when it lies in a zone.
func (m *mask) place(lat, lon float64) (float64, float64, bool) {
	if m.full() {
		return lat, lon, true
	}
	if m.p.Positions != PositionsRound || lat-lat != 0 || lon-lon != 0 {
		return 0, 0, false
	}
	for _, z := range m.p.Zones {
		if distanceM(lat, lon, z.Latitude, z.Longitude) <= z.RadiusM {
			return 0, 0, false
		}
	}
	f := math.Pow10(m.p.Decimals)
	return math.Round(lat*f) / f, math.Round(lon*f) / f, true
}

// distanceM is along the great circle, in metres.
func distanceM(lat1, lon1, lat2, lon2 float64) float64 {
	const rad = math.Pi / 180
	dLat, dLon := (lat2-lat1)*rad/2, (lon2-lon1)*rad/2
	a := math.Pow(math.Sin(dLat), 2) + math.Cos(lat1*rad)*math.Cos(lat2*rad)*math.Pow(math.Sin(dLon), 2)
	return 2 * earthRadiusM * math.Asin(math.Min(1, math.Sqrt(a)))
}

// fact says whether the fact of a vehicle is written.
func (m *mask) fact(kind, name string) bool {
	if m.full() {
		return true
	}
	full := kind + "." + name
	keep, known := m.kept[full]
	if !known {
		keep, _ = ruled(m.facts, full)
		m.kept[full] = keep
	}
	return keep
}

const maxWordBytes = 64

// word says whether a text may be written: with profile pseudonymous only what has
// the form of a word of a fixed set. Digits may not lead, so no telephone number,
// date or coordinate passes, and nothing as long as a VIN without a break.
func (m *mask) word(s string) bool {
	if m.full() {
		return true
	}
	if s == "" || len(s) > maxWordBytes || !letter(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !letter(c) && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return !holdsVIN(s)
}

// label is word for facts, such as "Gran Coupe" or "X0 sDrive00i".
func (m *mask) label(s string) bool {
	if m.full() {
		return true
	}
	if s == "" || len(s) > maxWordBytes || holdsVIN(s) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !letter(c) && (c < '0' || c > '9') && !strings.ContainsRune(" _-,./", rune(c)) {
			return false
		}
	}
	return true
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// holdsVIN says whether any 17 characters of s have the form of a VIN with a digit,
// in either case.
func holdsVIN(s string) bool {
	s = strings.ToUpper(s)
	for i := 0; i+17 <= len(s); i++ {
		if _, err := schema.ParseVIN(s[i : i+17]); err == nil && strings.ContainsAny(s[i:i+17], "0123456789") {
			return true
		}
	}
	return false
}
