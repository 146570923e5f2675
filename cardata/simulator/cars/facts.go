package cars

import (
	"strings"
	"time"
)

// Facts are what never changes about a car: the content of basicData (CarData
// API, section "Endpoints").
type Facts struct {
	Brand, ModelName, ModelKey, Series, SeriesDevt, BodyType string
	DriveTrain, PropulsionType, Engine, HeadUnit             string
	Colour, ColourCode                                       string
	Country                                                  string // two letters
	RightHand                                                bool   // steering wheel
	Doors                                                    int
	Navi, SunRoof                                            bool
	Built                                                    time.Time // midnight UTC
	Options                                                  []string  // four characters each
	BatteryKWh                                               float64   // usable; 0 without a plug
	BatteryAh                                                float64   // gross; likewise
}

// Facts returns what the backend knows about the car since it was built.
func (c *Car) Facts() Facts {
	l := c.life
	f := Facts{
		Brand: "BMW", HeadUnit: "HU_MGU", Country: l.town.country(), RightHand: l.town.uk, Doors: 5, Navi: true,
		BatteryKWh: l.spec.batteryKWh,
	}
	switch l.model {
	case ICE:
		f.ModelName, f.ModelKey, f.Series, f.SeriesDevt = "X1 sDrive18i", "11EE", "X", "U11"
		f.BodyType, f.DriveTrain, f.PropulsionType, f.Engine = "Sports Activity Vehicle", "CONV", "BE", "B38X"
	case PHEV:
		f.ModelName, f.ModelKey, f.Series, f.SeriesDevt = "330e xDrive", "31FW", "3", "G21"
		f.BodyType, f.DriveTrain, f.PropulsionType, f.Engine = "Touring", "PHEV", "HY", "XB1X"
	case NK:
		f.ModelName, f.ModelKey, f.Series, f.SeriesDevt = "iX3 50 xDrive", "11RA", "X", "NA5"
		f.BodyType, f.DriveTrain, f.PropulsionType, f.Engine, f.HeadUnit = "Sports Activity Vehicle", "BEV", "BEV", "X", "HU_NK"
	case I3:
		f.ModelName, f.ModelKey, f.Series, f.SeriesDevt = "i3 (120 Ah)", "8P21", "i", "I01"
		f.BodyType, f.DriveTrain, f.PropulsionType, f.Engine, f.HeadUnit = "Hatchback", "BEV", "EL", "IB1", "NBTEVO"
	case BEV:
		f.ModelName, f.ModelKey, f.Series, f.SeriesDevt = "i4 eDrive40", "71AW", "4", "G26"
		f.BodyType, f.DriveTrain, f.PropulsionType, f.Engine = "Gran Coupe", "BEV", "BEV", "XE2"
	}
	if f.DriveTrain == "BEV" {
		f.Brand = "BMWi"
	}
	if strings.HasPrefix(string(l.vin), "WMW") {
		f.Brand, f.ModelName, f.ModelKey, f.Series, f.SeriesDevt, f.BodyType, f.Doors = "MINI", "MINI Cooper SE", "31GA", "M", "J01", "Hatch", 3
	}
	if f.BatteryKWh > 0 {
		f.BatteryAh = round(f.BatteryKWh*2.6, 1)
	}
	dice := mix(l.seed, tagFacts, 1)
	color := dice % 4
	f.Colour = [...]string{"ALPINWEISS", "BLACK SAPPHIRE METALLIC", "SKYSCRAPER GREY METALLIC", "PORTIMAO BLUE METALLIC"}[color]
	f.ColourCode = [...]string{"300", "475", "C4P", "C31"}[color]
	f.SunRoof = dice>>8%3 == 0
	f.Built = time.Date(2022, 3, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(dice>>16%900))
	for i, code := range [...]string{"0001", "01DF", "02VB", "0302", "0322", "03AG", "0420", "0459", "04NR", "0534", "05AS", "0654", "06AE", "06U8"} {
		if dice>>(20+uint(i))&1 == 1 || i == 0 {
			f.Options = append(f.Options, code)
		}
	}
	return f
}

// country is where the town lies.
func (t *town) country() string {
	switch t.zone {
	case "Europe/Amsterdam":
		return "NL"
	case "Europe/Paris":
		return "FR"
	case "Europe/Rome":
		return "IT"
	case "Europe/London":
		return "GB"
	default:
		return "DE"
	}
}

// Haunts returns the places where an electric car charges, home first; none for
// a car without a plug.
func (c *Car) Haunts() []Haunt {
	if c.life.spec.batteryKWh == 0 {
		return nil
	}
	var out []Haunt
	for _, r := range []role{home, work} {
		p := &c.life.places[r]
		out = append(out, Haunt{Name: p.name, Latitude: round(p.lat, 6), Longitude: round(p.lon, 6)})
	}
	return out
}

// Haunt is a place the car comes back to.
type Haunt struct {
	Name                string
	Latitude, Longitude float64 // degrees
}
