package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// ChargingSession is one plug-in to plug-out (CarData API, section 3.4,
// "chargingHistory"). There is no id: a session is its car and its start. What
// BMW left out, or sent in a form that cannot be read, is nil, "" or zero.
type ChargingSession struct {
	Start              time.Time // UTC
	End                time.Time // UTC, zero while it runs
	TimeZone           string    // IANA name of the place's zone
	StartSOC           *float64  // displayed state of charge before, percent
	EndSOC             *float64  // after, or at the time of asking, percent
	ChargingSeconds    *float64  // active charging alone
	GridKWh            *float64  // drawn from the grid
	BatteryIncreaseKWh *float64  // into the battery; the portal's archive alone has it
	BatteryDecreaseKWh *float64  // bidirectional charging
	DischargedKWh      *float64  // bidirectional charging
	Mileage            *float64  // in MileageUnit
	MileageUnit        string    // "km", "mi", or BMW's word when it is neither
	Preconditioning    *bool
	Place              *ChargingPlace
	Public             []ChargingPoint // what a public charger may have been
	Cost               *ChargingCost   // until 2025
	Errors             []ChargingError
	Blocks             []ChargingBlock // one per change of power
	Raw                json.RawMessage // the session as it came
	Problems           []string        // fields that could not be read, without their values
}

// ChargingPlace is where a session was. It is personal data.
type ChargingPlace struct {
	Municipality, Address, Street string
	Latitude, Longitude           *float64 // degrees, matched to the map
}

// ChargingPoint is a public charger near the place.
type ChargingPoint struct{ Provider, Street, PostalCode, City string }

// ChargingCost is what BMW reckoned from the tariff in the car.
type ChargingCost struct {
	Currency            string
	Calculated, Savings *float64
}

// ChargingError is what the car or the charger reported in a session.
type ChargingError struct {
	Time time.Time // UTC, zero when it could not be read
	Hint string
}

// ChargingBlock is a stretch of a session with about one power.
type ChargingBlock struct {
	Start, End    time.Time // UTC; End zero while it runs
	AverageGridKW *float64
}

// ChargingPage is one answer of the history: about ten sessions, newest first.
type ChargingPage struct {
	Sessions []ChargingSession
	Next     string            // token of the page that follows, "" for none
	Rejected []json.RawMessage // elements without a readable start, which have no identity
	Raw      json.RawMessage   // the answer as it came
	Problems []string          // of the page; a session's own stand at the session
}

const (
	kmPerMile  = 1.609344
	timeLayout = "2006-01-02T15:04:05.000Z" // of from and to
)

// MileageKm gives the mileage in kilometres, nil when it or its unit is unknown.
func (s *ChargingSession) MileageKm() *float64 {
	if s.Mileage == nil {
		return nil
	}
	km := *s.Mileage
	switch s.MileageUnit {
	case "km":
	case "mi":
		km *= kmPerMile
	default:
		return nil
	}
	return &km
}

// ChargingHistory asks for one page of a car's sessions from..to, at most about
// 45 days (CarData API, section 3.4); pageToken is "" for the first page, else
// Next of the page before. Each page is one call. When Next repeats pageToken the
// page comes together with an Error of KindProtocol.
func (c *Client) ChargingHistory(ctx context.Context, vin schema.VIN, from, to time.Time, pageToken string) (ChargingPage, error) {
	const op = "fetch charging history"
	if !from.Before(to) {
		return ChargingPage{}, &Error{Op: op, Kind: KindRange, Remedy: "give a start before the end"}
	}
	query := url.Values{"from": {from.UTC().Format(timeLayout)}, "to": {to.UTC().Format(timeLayout)}}
	if pageToken != "" {
		query.Set("nextToken", pageToken)
	}
	doc, err := c.vehicle(ctx, aboutHistory, op, vin, "chargingHistory", query)
	if err != nil {
		return ChargingPage{}, err
	}
	page, err := sessions(op, doc)
	if err != nil {
		return ChargingPage{}, err
	}
	for i := range page.Sessions {
		c.noteProblems(op, page.Sessions[i].Problems)
	}
	c.noteProblems(op, page.Problems)
	if pageToken != "" && page.Next == pageToken {
		return page, repeated(op)
	}
	return page, nil
}

// ChargingPages asks for page after page from pageToken on and ends after the
// last, or with the first error; pages given before it stay good.
func (c *Client) ChargingPages(ctx context.Context, vin schema.VIN, from, to time.Time, pageToken string) iter.Seq2[ChargingPage, error] {
	return pages("fetch charging history", pageToken, func(token string) (ChargingPage, string, error) {
		page, err := c.ChargingHistory(ctx, vin, from, to, token)
		return page, page.Next, err
	})
}

// pages walks from one page token to the next. A token that came before would
// spend the quota on a circle: that ends with an error after its page.
func pages[P any](op, token string, fetch func(token string) (page P, next string, err error)) iter.Seq2[P, error] {
	return func(yield func(P, error) bool) {
		seen := map[string]bool{token: true}
		for {
			page, next, err := fetch(token)
			if !yield(page, err) || err != nil || next == "" {
				return
			}
			if seen[next] {
				var none P
				yield(none, repeated(op))
				return
			}
			seen[next] = true
			token = next
		}
	}
}

func repeated(op string) error {
	return &Error{
		Op: op, Kind: KindProtocol, Err: errors.New("the page token repeats"),
		Remedy: "what was fetched is good; ask for a shorter time range to get at the rest",
	}
}

// DecodeSessions reads an answer of the history, or the bare array of sessions in
// the portal's archive. The error is of KindProtocol.
func DecodeSessions(body []byte) (ChargingPage, error) {
	const op = "decode charging sessions"
	doc, err := document(body)
	if err != nil {
		return ChargingPage{}, undecodable(op, err)
	}
	return sessions(op, doc)
}

func sessions(op string, doc json.RawMessage) (ChargingPage, error) {
	n := new(notes)
	list, next, err := paged(op, doc, n)
	if err != nil {
		return ChargingPage{}, err
	}
	page := ChargingPage{Next: next, Raw: doc}
	for i, raw := range list {
		own := new(notes)
		s, ok := session(raw, own)
		if !ok {
			page.Rejected = append(page.Rejected, raw)
			for _, problem := range own.list {
				n.add(fmt.Sprintf("data[%d]", i), problem)
			}
			continue
		}
		page.Sessions = append(page.Sessions, s)
	}
	page.Problems = n.list
	return page, nil
}

// paged opens {"data": […], "next_token": …}, or a bare array. The token is
// next_token in the history and nextToken in the settings (CarData API, section 3.4).
func paged(op string, doc json.RawMessage, n *notes) (list []json.RawMessage, next string, err error) {
	switch what := form(doc); what {
	case "list":
		return elements(doc, "data", n), "", nil
	case "object":
	default:
		return nil, "", &Error{Op: op, Kind: KindProtocol, Remedy: remedyAnswer, Err: errors.New("object expected, got " + what)}
	}
	o, _ := newObject(doc, "", n)
	data, there := o.members["data"]
	if what := form(data); what != "list" && what != "object" && what != "null" {
		return nil, "", &Error{Op: op, Kind: KindProtocol, Remedy: remedyAnswer, Err: errors.New("data: list expected, got " + what)}
	}
	if !there {
		n.add("data", "missing")
	}
	next = o.text("next_token")
	if next == "" {
		next = o.text("nextToken")
	}
	return elements(data, "data", n), next, nil
}

// session reads one session; without a start it is none.
func session(raw json.RawMessage, n *notes) (s ChargingSession, ok bool) {
	o, ok := newObject(raw, "", n)
	if !ok {
		return s, false
	}
	// A session's identity is its start: whole seconds, whichever form it came in.
	s.Start = o.time("startTime").Truncate(time.Second)
	if s.Start.IsZero() {
		n.add("startTime", "without it a session has no identity")
		return s, false
	}
	s.End = o.time("endTime").Truncate(time.Second)
	if !s.End.IsZero() && s.End.Before(s.Start) {
		n.add("endTime", "before startTime")
		s.End = time.Time{}
	}
	s.TimeZone = o.text("timeZone")
	s.StartSOC = o.within("displayedStartSoc", 0, 100)
	s.EndSOC = o.within("displayedSoc", 0, 100)
	s.ChargingSeconds = o.within("totalChargingDurationSec", 0, 1e9)
	s.GridKWh = o.number("energyConsumedFromPowerGridKwh")
	s.BatteryIncreaseKWh = o.number("energyIncreaseHvbKwh")
	s.BatteryDecreaseKWh = o.number("energyDecreaseHvbKwh")
	s.DischargedKWh = o.number("energyDischargedKwh")
	s.Mileage = o.within("mileage", 0, 1e8)
	s.MileageUnit = mileageUnit(o.text("mileageUnits"))
	s.Preconditioning = o.flag("isPreconditioningActivated")
	s.Place = place(o)
	s.Public = chargingPoints(o)
	s.Cost = cost(o)
	o.objects("businessErrors", func(e object) {
		s.Errors = append(s.Errors, ChargingError{Time: e.time("creationTime"), Hint: e.text("hint")})
	})
	o.objects("chargingBlocks", func(e object) {
		b := ChargingBlock{
			Start: e.time("startTime").Truncate(time.Second), End: e.time("endTime").Truncate(time.Second),
			AverageGridKW: e.number("averagePowerGridKw"),
		}
		if b.Start.IsZero() {
			e.unreadable("startTime", "time, which a block needs")
			return
		}
		s.Blocks = append(s.Blocks, b)
	})
	s.Raw, s.Problems = raw, n.list
	return s, true
}

// mileageUnit takes the part after the last dot: BMW writes KM, MI, MILES and
// MileageUnits.KM (CarData API, sections 3.4 and 12).
func mileageUnit(s string) string {
	word := s[strings.LastIndexByte(s, '.')+1:]
	switch strings.ToUpper(strings.TrimSpace(word)) {
	case "KM", "KILOMETER", "KILOMETERS":
		return "km"
	case "MI", "MILE", "MILES":
		return "mi"
	default:
		return s
	}
}

func place(o object) *ChargingPlace {
	l, ok := o.child("chargingLocation")
	if !ok {
		return nil
	}
	p := ChargingPlace{
		Municipality: l.text("municipality"), Address: l.text("formattedAddress"), Street: l.text("streetAddress"),
		Latitude: l.within("mapMatchedLatitude", -90, 90), Longitude: l.within("mapMatchedLongitude", -180, 180),
	}
	if p == (ChargingPlace{}) {
		return nil
	}
	return &p
}

func chargingPoints(o object) []ChargingPoint {
	p, ok := o.child("publicChargingPoint")
	if !ok {
		return nil
	}
	var list []ChargingPoint
	p.objects("potentialChargingPointMatches", func(e object) {
		list = append(list, ChargingPoint{
			Provider: e.text("providerName"), Street: e.text("streetAddress"),
			PostalCode: e.text("postalCode"), City: e.text("city"),
		})
	})
	return list
}

func cost(o object) *ChargingCost {
	c, ok := o.child("chargingCostInformation")
	if !ok {
		return nil
	}
	cost := ChargingCost{Currency: c.text("currency"), Calculated: c.number("calculatedChargingCost"), Savings: c.number("calculatedSavings")}
	if cost == (ChargingCost{}) {
		return nil
	}
	return &cost
}
