package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// LocationSetting is how a car charges at one place (CarData API, section 3.4,
// "locationBasedChargingSettings"). Place and id are personal data.
type LocationSetting struct {
	ID                  string
	Cluster             string
	Latitude, Longitude *float64 // degrees
	LastUpdated         time.Time
	LastVisit           time.Time
	Visits              *float64
	ChargingMode        string
	OptimizedPreference string
	Window              TimeWindow // the preferred one
	Windows             []TimeWindow
	CurrentLimitFlag    string
	CurrentLimitA       *float64
	AcousticLimit       string
	FlapLock            string
	ChargingPlug        string
	Raw                 json.RawMessage // the element as it came
	Problems            []string        // fields that could not be read, without their values
}

// TimeWindow is a daily stretch of time in the place's own time.
type TimeWindow struct {
	StartHour, StartMinute, StopHour, StopMinute *float64
}

// SettingsPage is one answer of the settings.
type SettingsPage struct {
	Settings []LocationSetting
	Next     string          // token of the page that follows, "" for none
	Raw      json.RawMessage // the answer as it came
	Problems []string        // of the page; an element's own stand at the element
}

// LocationSettings asks for one page of a car's charging settings; pageToken is ""
// for the first one, else Next of the page before. KindNoData says that the car
// has none. When Next repeats pageToken the page comes together with an Error of
// KindProtocol.
func (c *Client) LocationSettings(ctx context.Context, vin schema.VIN, pageToken string) (SettingsPage, error) {
	const op = "fetch charging settings"
	query := url.Values{}
	if pageToken != "" {
		query.Set("nextToken", pageToken)
	}
	doc, err := c.vehicle(ctx, aboutExtra, op, vin, "locationBasedChargingSettings", query)
	if err != nil {
		return SettingsPage{}, err
	}
	page, err := settings(op, doc)
	if err != nil {
		return SettingsPage{}, err
	}
	for i := range page.Settings {
		c.noteProblems(op, page.Settings[i].Problems)
	}
	c.noteProblems(op, page.Problems)
	if pageToken != "" && page.Next == pageToken {
		return page, repeated(op)
	}
	return page, nil
}

// SettingsPages asks for page after page and ends after the last, or with the
// first error; pages given before it stay good.
func (c *Client) SettingsPages(ctx context.Context, vin schema.VIN) iter.Seq2[SettingsPage, error] {
	return pages("fetch charging settings", "", func(token string) (SettingsPage, string, error) {
		page, err := c.LocationSettings(ctx, vin, token)
		return page, page.Next, err
	})
}

// DecodeSettings reads an answer of the settings. The error is of KindProtocol.
func DecodeSettings(body []byte) (SettingsPage, error) {
	const op = "decode charging settings"
	doc, err := document(body)
	if err != nil {
		return SettingsPage{}, undecodable(op, err)
	}
	return settings(op, doc)
}

func settings(op string, doc json.RawMessage) (SettingsPage, error) {
	n := new(notes)
	list, next, err := paged(op, doc, n)
	if err != nil {
		return SettingsPage{}, err
	}
	page := SettingsPage{Next: next, Raw: doc}
	for i, raw := range list {
		path := fmt.Sprintf("data[%d]", i)
		if form(raw) == "null" {
			n.add(path, "object expected, got null")
			continue
		}
		own := new(notes)
		if s, ok := setting(raw, own); ok {
			page.Settings = append(page.Settings, s)
			continue
		}
		n.add(path, "object expected, got "+form(raw))
	}
	page.Problems = n.list
	return page, nil
}

func setting(raw json.RawMessage, n *notes) (s LocationSetting, ok bool) {
	o, ok := newObject(raw, "", n)
	if !ok {
		return s, false
	}
	s = LocationSetting{
		ID:                  o.text("id"),
		Cluster:             o.text("clusterLocationId"),
		Latitude:            o.within("latitude", -90, 90),
		Longitude:           o.within("longitude", -180, 180),
		LastUpdated:         o.time("lastUpdated"),
		LastVisit:           o.time("lastVisit"),
		Visits:              o.number("visits"),
		ChargingMode:        o.text("chargingMode"),
		OptimizedPreference: o.text("optimizedChargingPreference"),
		Window:              window(o),
		CurrentLimitFlag:    o.text("acCurrentLimitFlag"),
		CurrentLimitA:       o.number("acCurrentLimit"),
		AcousticLimit:       o.text("acousticLimit"),
		FlapLock:            o.text("flapLock"),
		ChargingPlug:        o.text("chargingPlug"),
	}
	o.objects("chargingTimeWindows", func(e object) { s.Windows = append(s.Windows, window(e)) })
	s.Raw, s.Problems = raw, n.list
	return s, true
}

func window(o object) TimeWindow {
	return TimeWindow{
		StartHour:   o.within("startChargingTimePeriodHour", 0, 24),
		StartMinute: o.within("startChargingTimePeriodMinute", 0, 59),
		StopHour:    o.within("stopChargingTimePeriodHour", 0, 24),
		StopMinute:  o.within("stopChargingTimePeriodMinute", 0, 59),
	}
}
