package rest

import (
	"context"
	"encoding/json"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// TyreDiagnosis is what BMW knows of a car's tyres (CarData API, section 3.4,
// "smartMaintenanceTyreDiagnosis").
type TyreDiagnosis struct {
	Mounted, Unmounted *TyreSet // nil when BMW sent no such set
	Errors             []TyreError
	Raw                json.RawMessage
	Problems           []string // fields that could not be read, without their values
}

// TyreSet is four tyres.
type TyreSet struct {
	Label                                      string // caption in the account's language
	Quality                                    string
	FrontLeft, FrontRight, RearLeft, RearRight *Tyre
}

// Tyre is one tyre. A tyre that is not registered has labels and zeroes alone on
// the wire; its fields are nil and "" here, since a zero there says nothing.
type Tyre struct {
	Label             string // caption in the account's language
	Registered        bool   // some fact of it has a value
	Dimension         string // display text, such as 245/45 R19 99Y
	SectionWidthMM    *float64
	AspectRatio       *float64 // percent
	RimDiameterInches *float64
	LoadIndex         *float64
	ConstructionType  string
	SpeedRating       string
	MountingDate      string // YYYY-MM-DD as sent
	OptimizedForOEM   string
	PartNumber        string
	Quality           string
	RunFlat           *bool
	Season            string
	Manufacturer      string
	TreadDesign       string
	Carcass           string
	DefectStatus      string
	DefectColour      string // RED, YELLOW, GREEN or GREY
	ProductionDate    string // display text, week/year
	ProductionColour  string
	DueMileage        *float64 // distance left, in DueUnit; not tread depth
	DueUnit           string   // KILOMETER or MILE
	WearStatus        string
	WearColour        string
}

// TyreError is a fault of BMW's own lookup.
type TyreError struct{ EventID, Type, Message string }

// TyreDiagnosis asks for a car's tyres.
func (c *Client) TyreDiagnosis(ctx context.Context, vin schema.VIN) (TyreDiagnosis, error) {
	return TyreDiagnosis{}, nil
}

// DecodeTyres reads an answer with tyres, or that file of the portal's archive.
// The error is of KindProtocol.
func DecodeTyres(body []byte) (TyreDiagnosis, error) { return TyreDiagnosis{}, nil }
