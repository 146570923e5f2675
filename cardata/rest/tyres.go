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
	const op = "fetch tyre diagnosis"
	doc, err := c.vehicle(ctx, aboutVehicle, op, vin, "smartMaintenanceTyreDiagnosis", nil)
	if err != nil {
		return TyreDiagnosis{}, err
	}
	d, err := tyreDiagnosis(op, doc)
	c.noteProblems(op, d.Problems)
	return d, err
}

// DecodeTyres reads an answer with tyres, or that file of the portal's archive.
// The error is of KindProtocol.
func DecodeTyres(body []byte) (TyreDiagnosis, error) {
	const op = "decode tyre diagnosis"
	doc, err := document(body)
	if err != nil {
		return TyreDiagnosis{}, undecodable(op, err)
	}
	return tyreDiagnosis(op, doc)
}

func tyreDiagnosis(op string, doc json.RawMessage) (TyreDiagnosis, error) {
	n := new(notes)
	o, err := topObject(op, doc, n)
	if err != nil {
		return TyreDiagnosis{}, err
	}
	d := TyreDiagnosis{Raw: doc}
	if car, ok := o.child("passengerCar"); ok {
		d.Mounted, d.Unmounted = tyreSet(car, "mountedTyres"), tyreSet(car, "unmountedTyres")
	}
	o.objects("errors", func(e object) {
		message := string(e.members["message"])
		if form(e.members["message"]) == "text" {
			message = e.text("message")
		}
		d.Errors = append(d.Errors, TyreError{EventID: e.text("eventId"), Type: e.text("type"), Message: clean(message)})
	})
	d.Problems = n.list
	return d, nil
}

func tyreSet(o object, name string) *TyreSet {
	s, ok := o.child(name)
	if !ok {
		return nil
	}
	quality, _ := s.child("aggregatedQualityStatus")
	return &TyreSet{
		Label: s.text("label"), Quality: quality.text("qualityStatus"),
		FrontLeft: tyre(s, "frontLeft"), FrontRight: tyre(s, "frontRight"),
		RearLeft: tyre(s, "rearLeft"), RearRight: tyre(s, "rearRight"),
	}
}

// leaf opens one fact of a tyre. Without a display text its zeroes are fillers:
// then filled is false (CarData API, section 3.4).
func leaf(o object, name string) (l object, filled bool) {
	l, _ = o.child(name)
	return l, l.text("value") != ""
}

func tyre(set object, name string) *Tyre {
	o, ok := set.child(name)
	if !ok {
		return nil
	}
	t := &Tyre{Label: o.text("label")}
	dimension, filled := leaf(o, "dimension")
	t.Registered = filled
	t.Dimension = dimension.text("value")
	t.SectionWidthMM = fact(dimension, "sectionWidth", filled)
	t.AspectRatio = fact(dimension, "aspectRatio", filled)
	t.RimDiameterInches = fact(dimension, "rimDiameter", filled)
	t.LoadIndex = fact(dimension, "loadIndex", filled)
	t.ConstructionType = dimension.text("constructionType")
	t.SpeedRating = dimension.text("speedRating")
	named := func(name string) (l object) {
		l, filled := leaf(o, name)
		t.Registered = t.Registered || filled
		return l
	}
	t.MountingDate = named("mountingDate").text("mountingDate")
	t.OptimizedForOEM = named("optimizedForOem").text("optimizedForOem")
	t.PartNumber = named("partNumber").text("partNumber")
	t.Quality = named("qualityStatus").text("qualityStatus")
	t.Season = named("season").text("season")
	tread := named("tread")
	t.Manufacturer, t.TreadDesign, t.Carcass = tread.text("manufacturer"), tread.text("treadDesign"), tread.text("carcass")
	defect := named("tyreDefect")
	t.DefectStatus, t.DefectColour = defect.text("status"), defect.text("statusColor")
	production := named("tyreProductionDate")
	t.ProductionDate, t.ProductionColour = production.text("value"), production.text("statusColor")
	wear := named("tyreWear")
	t.DueMileage = fact(wear, "dueMileage", wear.text("value") != "" || wear.text("status") != "")
	t.DueUnit, t.WearStatus, t.WearColour = wear.text("unit"), wear.text("status"), wear.text("statusColor")
	runFlat := named("runFlat")
	if flag := runFlat.flag("runFlat"); flag != nil && (*flag || runFlat.text("value") != "") {
		t.RunFlat = flag
	}
	return t
}

// fact reads a number of a leaf; a zero of a leaf that is not filled says nothing.
func fact(l object, name string, filled bool) *float64 {
	f := l.number(name)
	if f != nil && *f == 0 && !filled {
		return nil
	}
	return f
}
