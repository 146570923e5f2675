package rest

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Mapping ties a car to the account (CarData API, section 3.4, "mappings").
type Mapping struct {
	VIN      schema.VIN
	Type     string    // PRIMARY or SECONDARY; every call on another than a PRIMARY car is refused
	Since    time.Time // UTC, zero when it could not be read
	Raw      json.RawMessage
	Problems []string // fields that could not be read, without their values
}

// Primary tells whether the car's data are open to this account.
func (m Mapping) Primary() bool { return m.Type == "PRIMARY" }

// BasicData is what BMW knows of a car itself (CarData API, section 3.4,
// "basicData"). Everything is optional; what is missing is "", nil or zero. Raw
// has fields that are not named here.
type BasicData struct {
	VIN               schema.VIN
	Brand             string
	ModelName         string
	ModelKey          string
	ModelRange        string
	Series            string
	SeriesDevelopment string
	BodyType          string
	DriveTrain        string // CONV, BEV, PHEV, …: this one decides, PropulsionType misleads
	PropulsionType    string
	Engine            string
	HeadUnit          string
	Steering          string
	SIMStatus         string
	CountryCode       string // two letters
	PuStep            string
	ColourCode        string
	ColourDescription string
	ConstructionDate  time.Time // UTC
	Doors             *float64
	HasNavi           *bool
	HasSunRoof        *bool
	TelematicsCapable *bool
	CapacityAh        *float64 // gross capacity of the high-voltage battery
	MaxEnergy         *float64 // hvsMaxEnergyAbsolute, unit not documented
	ChargingModes     []string
	Equipment         []string // option codes
	Raw               json.RawMessage
	Problems          []string // fields that could not be read, without their values
}

// Image is a picture of the car.
type Image struct {
	ContentType string // image/png, image/jpeg or another image type
	Bytes       []byte
}

// Mappings asks for the cars of the account.
func (c *Client) Mappings(ctx context.Context) ([]Mapping, error) { return nil, nil }

// BasicData asks for what BMW knows of a car itself.
func (c *Client) BasicData(ctx context.Context, vin schema.VIN) (BasicData, error) {
	return BasicData{}, nil
}

// Image asks for the picture of a car, at most 16 MiB. KindNoData says that there is none.
func (c *Client) Image(ctx context.Context, vin schema.VIN) (Image, error) { return Image{}, nil }

// DecodeMappings reads an answer with mappings, an array or one object. The error
// is of KindProtocol.
func DecodeMappings(body []byte) ([]Mapping, error) { return nil, nil }

// DecodeBasicData reads an answer with basic data. The error is of KindProtocol.
func DecodeBasicData(body []byte) (BasicData, error) { return BasicData{}, nil }
