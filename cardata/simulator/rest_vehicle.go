package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// mapping is an element of mappings.
type mapping struct {
	VIN   schema.VIN `json:"vin"`
	Since string     `json:"mappedSince"`
	Type  string     `json:"mappingType"`
}

func (c *call) mappings() *restError {
	all := make([]mapping, len(c.account.VINs))
	for i, vin := range c.account.VINs {
		all[i] = mapping{vin, isoMillis(mappedSince(vin)), "PRIMARY"}
		if slices.Contains(c.faults.Secondary, vin) {
			all[i].Type = "SECONDARY"
		}
	}
	if c.faults.RESTStrict && len(all) > 0 {
		c.json(http.StatusOK, all[0]) // the document knows one car
		return nil
	}
	c.json(http.StatusOK, all)
	return nil
}

// mappedSince follows from the VIN.
func mappedSince(vin schema.VIN) time.Time {
	ms := 0
	for _, b := range []byte(vin) {
		ms = (ms*31 + int(b)) % (300 * 86_400_000)
	}
	return time.Date(2025, 1, 10, 6, 0, 0, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

// basicBody is the real answer of basicData; what the document has beside it
// is filled in for electric cars and under RESTStrict alone.
type basicBody struct {
	VIN               schema.VIN `json:"vin,omitempty"`
	BodyType          string     `json:"bodyType,omitempty"`
	Brand             string     `json:"brand,omitempty"`
	ChargingModes     []string   `json:"chargingModes,omitempty"`
	ColourCode        string     `json:"colourCode,omitempty"`
	ColourCodeRaw     string     `json:"colourCodeRaw,omitempty"`
	ColourDescription string     `json:"colourDescription,omitempty"`
	ConstructionDate  string     `json:"constructionDate,omitempty"`
	CountryCode       string     `json:"countryCode,omitempty"`
	CountryCodeISO    string     `json:"countryCodeISO,omitempty"`
	DriveTrain        string     `json:"driveTrain,omitempty"`
	Engine            string     `json:"engine,omitempty"`
	FullSAList        string     `json:"fullSAList,omitempty"`
	HasNavi           bool       `json:"hasNavi"`
	HasSunRoof        bool       `json:"hasSunRoof"`
	HeadUnit          string     `json:"headUnit,omitempty"`
	HVSMaxEnergy      string     `json:"hvsMaxEnergyAbsolute,omitempty"`
	TelematicsCapable *bool      `json:"isTelematicsCapable,omitempty"`
	ModelKey          string     `json:"modelKey,omitempty"`
	ModelName         string     `json:"modelName,omitempty"`
	ModelRange        string     `json:"modelRange,omitempty"`
	NumberOfDoors     int        `json:"numberOfDoors"`
	PropulsionType    string     `json:"propulsionType,omitempty"`
	PUStep            string     `json:"puStep,omitempty"`
	REESSCapacity     string     `json:"reessNominalCapacityGross,omitempty"` // Ah, not kWh
	Series            string     `json:"series,omitempty"`
	SeriesDevt        string     `json:"seriesDevt,omitempty"`
	SIMStatus         string     `json:"simStatus,omitempty"`
	Steering          string     `json:"steering,omitempty"`
}

func (c *call) basicData() *restError {
	f := c.account.still(c.vin).Facts()
	b := basicBody{
		BodyType: f.BodyType, Brand: f.Brand, ColourCodeRaw: f.ColourCode, ColourDescription: f.Colour,
		ConstructionDate: isoOffset(f.Built), CountryCode: f.Country, DriveTrain: f.DriveTrain, Engine: f.Engine,
		FullSAList: strings.Join(f.Options, ","), HasNavi: f.Navi, HasSunRoof: f.SunRoof, HeadUnit: f.HeadUnit,
		ModelKey: f.ModelKey, ModelName: f.ModelName, NumberOfDoors: f.Doors, PropulsionType: f.PropulsionType,
		Series: f.Series, SeriesDevt: f.SeriesDevt, SIMStatus: "ACTIVE", Steering: "LL",
	}
	if f.RightHand {
		b.Steering = "RL"
	}
	if f.DriveTrain == "BEV" || c.faults.RESTStrict {
		yes := true
		b.VIN, b.TelematicsCapable = c.vin, &yes
	}
	if f.BatteryKWh > 0 {
		b.REESSCapacity = fmt.Sprintf("%.1f", f.BatteryAh)
		b.ChargingModes = []string{"AC_LOW", "AC_HIGH"}
		if f.DriveTrain == "BEV" {
			b.ChargingModes = append(b.ChargingModes, "DC")
		}
	}
	if c.faults.RESTStrict {
		b.CountryCodeISO, b.CountryCode = b.CountryCode, ""
		b.ColourCode, b.ColourDescription, b.SeriesDevt = b.ColourCodeRaw, "", ""
		b.PUStep, b.ModelRange = "0722", f.Series
		if f.BatteryKWh > 0 {
			b.HVSMaxEnergy = fmt.Sprintf("%.1f", f.BatteryKWh)
		}
	}
	c.json(http.StatusOK, b)
	return nil
}

// still gives a car to ask for what does not depend on how far it was fed.
func (a *account) still(vin schema.VIN) *cars.Car { return a.memory(vin).still }
