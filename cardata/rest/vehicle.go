package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
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

// vehicle asks for JSON of one car.
func (c *Client) vehicle(ctx context.Context, about subject, op string, vin schema.VIN, what string, query url.Values) (json.RawMessage, error) {
	path, err := vehiclePath(op, vin, what)
	if err != nil {
		return nil, err
	}
	return c.get(ctx, about, op, path, query)
}

// vehiclePath checks the VIN first: CU-120 would cost a call.
func vehiclePath(op string, vin schema.VIN, what string) (string, error) {
	if _, err := schema.ParseVIN(string(vin)); err != nil {
		return "", &Error{Op: op, Kind: KindBug, Remedy: "give the 17 characters of the VIN in capitals", Err: err}
	}
	return "/customers/vehicles/" + string(vin) + "/" + what, nil
}

// noteProblems counts and logs what could not be read.
func (c *Client) noteProblems(op string, problems []string) {
	if len(problems) == 0 {
		return
	}
	c.stats.RESTProblems.Add(int64(len(problems)))
	c.cfg.Log.Warn("parts of an answer cannot be read and were left out", "op", op, "problems", problems)
}

func undecodable(op string, cause error) error {
	return &Error{Op: op, Kind: KindProtocol, Remedy: "check that the file is whole and is what it should be", Err: cause}
}

// Mappings asks for the cars of the account, SECONDARY ones included.
func (c *Client) Mappings(ctx context.Context) ([]Mapping, error) {
	const op = "list mapped cars"
	doc, err := c.get(ctx, aboutAccount, op, "/customers/vehicles/mappings", nil)
	if err != nil {
		return nil, err
	}
	list, problems, err := mappings(op, doc)
	c.noteProblems(op, problems)
	for i := range list {
		c.noteProblems(op, list[i].Problems)
	}
	return list, err
}

// DecodeMappings reads an answer with mappings, an array or one object. The error
// is of KindProtocol. Elements without a VIN are left out.
func DecodeMappings(body []byte) ([]Mapping, error) {
	const op = "decode mappings"
	doc, err := document(body)
	if err != nil {
		return nil, undecodable(op, err)
	}
	list, _, err := mappings(op, doc)
	return list, err
}

func mappings(op string, doc json.RawMessage) (list []Mapping, problems []string, err error) {
	n := new(notes)
	all := elements(doc, "mappings", n)
	for i, raw := range all {
		own := new(notes)
		o, ok := newObject(raw, "", own)
		m := Mapping{
			VIN: vin(o), Type: strings.ToUpper(strings.TrimSpace(o.text("mappingType"))),
			Since: o.time("mappedSince"), Raw: raw,
		}
		m.Problems = own.list
		if !ok || m.VIN == "" {
			n.add(fmt.Sprintf("[%d].vin", i), "missing or malformed")
			continue
		}
		list = append(list, m)
	}
	if len(list) == 0 && len(n.list) > 0 {
		return nil, n.list, &Error{Op: op, Kind: KindProtocol, Remedy: remedyAnswer, Err: errors.New(n.list[0])}
	}
	return list, n.list, nil
}

// vin reads the member "vin"; "" when it is missing or malformed, which is noted.
func vin(o object) schema.VIN {
	text := strings.ToUpper(strings.TrimSpace(o.text("vin")))
	if text == "" {
		return ""
	}
	v, err := schema.ParseVIN(text)
	if err != nil {
		o.unreadable("vin", "VIN")
	}
	return v
}

// BasicData asks for what BMW knows of a car itself.
func (c *Client) BasicData(ctx context.Context, vin schema.VIN) (BasicData, error) {
	const op = "fetch basic data"
	doc, err := c.vehicle(ctx, aboutVehicle, op, vin, "basicData", nil)
	if err != nil {
		return BasicData{}, err
	}
	d, err := basicData(op, doc)
	c.noteProblems(op, d.Problems)
	return d, err
}

// DecodeBasicData reads an answer with basic data. The error is of KindProtocol.
func DecodeBasicData(body []byte) (BasicData, error) {
	const op = "decode basic data"
	doc, err := document(body)
	if err != nil {
		return BasicData{}, undecodable(op, err)
	}
	return basicData(op, doc)
}

// topObject opens an answer that has to be an object.
func topObject(op string, doc json.RawMessage, n *notes) (object, error) {
	o, ok := newObject(doc, "", n)
	if !ok {
		return o, &Error{Op: op, Kind: KindProtocol, Remedy: remedyAnswer, Err: errors.New("object expected, got " + form(doc))}
	}
	return o, nil
}

func basicData(op string, doc json.RawMessage) (BasicData, error) {
	n := new(notes)
	o, err := topObject(op, doc, n)
	if err != nil {
		return BasicData{}, err
	}
	d := BasicData{
		VIN:               vin(o),
		Brand:             o.text("brand"),
		ModelName:         o.text("modelName"),
		ModelKey:          o.text("modelKey"),
		ModelRange:        o.text("modelRange"),
		Series:            o.text("series"),
		SeriesDevelopment: o.text("seriesDevt"),
		BodyType:          o.text("bodyType"),
		DriveTrain:        o.text("driveTrain"),
		PropulsionType:    o.text("propulsionType"),
		Engine:            o.text("engine"),
		HeadUnit:          o.text("headUnit"),
		Steering:          o.text("steering"),
		SIMStatus:         o.text("simStatus"),
		CountryCode:       first(o, "countryCode", "countryCodeISO"),
		PuStep:            o.text("puStep"),
		ColourCode:        first(o, "colourCodeRaw", "colourCode"),
		ColourDescription: o.text("colourDescription"),
		ConstructionDate:  o.time("constructionDate"),
		Doors:             o.number("numberOfDoors"),
		HasNavi:           o.flag("hasNavi"),
		HasSunRoof:        o.flag("hasSunRoof"),
		TelematicsCapable: o.flag("isTelematicsCapable"),
		CapacityAh:        o.number("reessNominalCapacityGross"),
		MaxEnergy:         o.number("hvsMaxEnergyAbsolute"),
		ChargingModes:     o.texts("chargingModes"),
		Equipment:         o.texts("fullSAList"),
	}
	d.Raw, d.Problems = doc, n.list
	return d, nil
}

// first gives the first of the members that has text: the real answers and BMW's
// document disagree on names (CarData API, section 3.4).
func first(o object, names ...string) string {
	for _, name := range names {
		if s := o.text(name); s != "" {
			return s
		}
	}
	return ""
}

// Image asks for the picture of a car, at most 16 MiB. KindNoData says that there is none.
func (c *Client) Image(ctx context.Context, vin schema.VIN) (Image, error) {
	const op = "fetch image"
	path, err := vehiclePath(op, vin, "image")
	if err != nil {
		return Image{}, err
	}
	a, err := c.call(ctx, request{
		op: op, method: http.MethodGet, path: path, accept: acceptImage, limit: maxImageBytes, about: aboutExtra,
	})
	if err != nil {
		return Image{}, err
	}
	// The bytes decide: a header of application/json was asked for everywhere else.
	kind := http.DetectContentType(a.body)
	switch declared, _, _ := mime.ParseMediaType(a.contentType); {
	case len(a.body) == 0:
		return Image{}, unreadable(op, a.status, errEmpty)
	case strings.HasPrefix(kind, "image/"):
	case strings.HasPrefix(kind, "text/html"):
		return Image{}, unreadable(op, a.status, errHTML)
	case strings.HasPrefix(declared, "image/") && !strings.HasPrefix(kind, "text/"):
		kind = declared // a form that the standard library does not know, such as AVIF
	default:
		return Image{}, unreadable(op, a.status, errors.New("the answer is no image but "+clean(kind)))
	}
	return Image{ContentType: kind, Bytes: a.body}, nil
}
