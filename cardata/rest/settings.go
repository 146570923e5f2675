package rest

import (
	"context"
	"encoding/json"
	"iter"
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
// for the first one, else Next of the page before. KindNoData says that the car has none.
func (c *Client) LocationSettings(ctx context.Context, vin schema.VIN, pageToken string) (SettingsPage, error) {
	return SettingsPage{}, nil
}

// SettingsPages asks for page after page and ends after the last, or with the
// first error; pages given before it stay good.
func (c *Client) SettingsPages(ctx context.Context, vin schema.VIN) iter.Seq2[SettingsPage, error] {
	return func(func(SettingsPage, error) bool) {}
}

// DecodeSettings reads an answer of the settings. The error is of KindProtocol.
func DecodeSettings(body []byte) (SettingsPage, error) { return SettingsPage{}, nil }
