package simulator

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// leaf is one item of a tyre or a setting: a caption, a text to display, and
// fields of its own.
type leaf map[string]any

func label(caption string) leaf { return leaf{"label": caption} }

// tyres answers smartMaintenanceTyreDiagnosis.
func (c *call) tyres() *restError {
	clock := c.account.feed.state.times()
	known := c.account.still(c.vin).Known(c.now.Add(clock.leadAt(c.now)))
	set := func(caption string, mounted bool) leaf {
		s := label(caption)
		if slices.Contains(c.faults.UnregisteredTyres, c.vin) {
			s["aggregatedQualityStatus"] = label("Data source")
			for _, w := range wheels {
				s[w.name] = unregistered(w.caption)
			}
			return s
		}
		s["aggregatedQualityStatus"] = leaf{"label": "Data source", "qualityStatus": "GOOD", "value": "Good"}
		for i, w := range wheels {
			s[w.name] = tyre(w.caption, wheelOf(c.vin, i, mounted, c.now, known.MileageKm))
		}
		return s
	}
	c.json(http.StatusOK, map[string]any{
		"passengerCar": leaf{"mountedTyres": set("Mounted", true), "unmountedTyres": set("Unmounted", false)},
		"errors":       []any{},
	})
	return nil
}

//nolint:gochecknoglobals // constant table
var wheels = [...]struct{ name, caption string }{
	{"frontLeft", "Front left tyre"},
	{"frontRight", "Front right tyre"},
	{"rearLeft", "Rear left tyre"},
	{"rearRight", "Rear right tyre"},
}

// unregistered is a tyre nobody has entered: captions and fillers alone.
func unregistered(caption string) leaf {
	return leaf{
		"label":              caption,
		"dimension":          leaf{"label": "Dimension", "aspectRatio": 0, "loadIndex": 0, "rimDiameter": 0, "sectionWidth": 0},
		"mountingDate":       label("Mounting date"),
		"optimizedForOem":    label("Optimised for OEM"),
		"partNumber":         label("Part number"),
		"qualityStatus":      label("Data source"),
		"runFlat":            leaf{"label": "Run-flat tyres", "runFlat": false},
		"season":             label("Season"),
		"tread":              label("Tyre tread"),
		"tyreDefect":         label("Tyre pressure status"),
		"tyreProductionDate": label("Production date"),
		"tyreWear":           leaf{"label": "Service due in", "dueMileage": 0},
	}
}

// wheel is a registered tyre.
type wheel struct {
	season  string
	mounted time.Time
	due     int // km left
	week    int // of production
	year    int
}

// wheelOf follows from the car, the season and what it has driven.
func wheelOf(vin schema.VIN, n int, mounted bool, now time.Time, odo float64) wheel {
	const life = 42_000 // km
	summer := now.Month() >= time.April && now.Month() <= time.October
	w := wheel{season: "WINTER", mounted: time.Date(now.Year(), time.October, 25, 0, 0, 0, 0, time.UTC), week: 20 + n, year: 2024}
	if summer == mounted {
		w.season, w.mounted = "SUMMER", time.Date(now.Year(), time.April, 2, 0, 0, 0, 0, time.UTC)
	}
	if w.mounted.After(now) {
		w.mounted = w.mounted.AddDate(-1, 0, 0)
	}
	w.due = life - (int(odo/2)+int(vin[len(vin)-1])*97+n*150)%life
	return w
}

func tyre(caption string, w wheel) leaf {
	state, shade := "OK", "GREEN"
	if w.due < 3000 {
		state, shade = "DUE_SOON", "YELLOW"
	}
	display := map[string]string{"SUMMER": "Summer", "WINTER": "Winter"}
	return leaf{
		"label": caption,
		"dimension": leaf{
			"label": "Dimension", "value": "245/45 R19 99Y", "aspectRatio": 45, "constructionType": "R", "loadIndex": 99,
			"rimDiameter": 19, "sectionWidth": 245, "speedRating": "Y",
		},
		"mountingDate":       leaf{"label": "Mounting date", "mountingDate": w.mounted.Format(time.DateOnly), "value": w.mounted.Format("02.01.2006")},
		"optimizedForOem":    leaf{"label": "Optimised for OEM", "optimizedForOem": "YES", "value": "Yes"},
		"partNumber":         leaf{"label": "Part number", "partNumber": "00000000000", "value": "00000000000"},
		"qualityStatus":      leaf{"label": "Data source", "qualityStatus": "GOOD", "value": "Good"},
		"runFlat":            leaf{"label": "Run-flat tyres", "runFlat": true, "value": "Yes"},
		"season":             leaf{"label": "Season", "season": w.season, "value": display[w.season]},
		"tread":              leaf{"label": "Tyre tread", "manufacturer": "SYNTHETIC", "treadDesign": "EXAMPLE 1", "value": "SYNTHETIC EXAMPLE 1"},
		"tyreDefect":         leaf{"label": "Tyre pressure status", "status": "NO_DEFECT", "statusColor": "GREEN", "value": "OK"},
		"tyreProductionDate": leaf{"label": "Production date", "statusColor": "GREEN", "value": fmt.Sprintf("%d/%d", w.week, w.year)},
		"tyreWear": leaf{
			"label": "Service due in", "dueMileage": w.due, "status": state, "statusColor": shade, "unit": "KILOMETER",
			"value": fmt.Sprintf("%d km", w.due),
		},
	}
}

// settings answers locationBasedChargingSettings.
func (c *call) settings() *restError {
	t, fail := c.page()
	if fail != nil {
		return fail
	}
	clock := c.account.feed.state.times()
	car := c.account.still(c.vin)
	haunts := car.Haunts()
	if len(haunts) == 0 || slices.Contains(c.faults.NoSettings, c.vin) {
		return refusal(http.StatusNotFound, "CU-127", "No location based charging settings available")
	}
	visited := car.Known(c.now.Add(clock.leadAt(c.now))).Uploaded
	all := make([]leaf, len(haunts))
	for i, h := range haunts {
		window := leaf{
			"startChargingTimePeriodHour": 22, "startChargingTimePeriodMinute": 0, "stopChargingTimePeriodHour": 6, "stopChargingTimePeriodMinute": 30,
		}
		all[i] = leaf{
			"id": uuid(c.s.cfg.Seed, string(c.vin), i), "lastUpdated": isoMillis(mappedSince(c.vin)),
			"clusterLocationId": fmt.Sprintf("cluster-%04d", i+1), "latitude": h.Latitude, "longitude": h.Longitude,
			"lastVisit": isoMillis(clock.real(visited)), "visits": 42 - 30*i, "chargingMode": "IMMEDIATE_CHARGING",
			"optimizedChargingPreference": "PRICE_OPTIMIZED", "vehicleIdWithGcid": string(c.vin) + "_" + string(c.account.GCID),
			"chargingTimeWindows": []leaf{window}, "acCurrentLimitFlag": "ACTIVE", "acCurrentLimit": 16.0,
			"acousticLimit": "NO_ACTION", "flapLock": "FLAP_LOCKED", "chargingPlug": "AUTOMATIC",
		}
		maps.Copy(all[i], window)
	}
	all = all[min(len(all), int(t.Before)):]
	shown := all[:min(len(all), c.pageSize())]
	body := map[string]any{"data": shown}
	if len(shown) < len(all) {
		body["nextToken"] = c.next(t, t.Before+int64(len(shown))) // here it is the same name as in the request
	}
	c.json(http.StatusOK, body)
	return nil
}

// image answers with a drawing of a car.
func (c *call) image() *restError {
	if slices.Contains(c.faults.NoImage, c.vin) {
		return refusal(http.StatusNotFound, "CU-126", "No image available")
	}
	if c.faults.RESTHugeBytes > 0 {
		c.w.Header().Set("Content-Type", "image/png")
		c.huge(http.StatusOK)
		return nil
	}
	c.w.Header().Set("Content-Type", "image/png")
	_ = png.Encode(c.w, draw(c.vin)) // the client is gone if this fails
	return nil
}

// draw gives a silhouette in a colour that follows from the VIN.
func draw(vin schema.VIN) image.Image {
	const width, height = 64, 28
	paint := color.Palette{
		color.Transparent,
		color.RGBA{0x10, 0x10, 0x10, 0xff},
		color.RGBA{0xb8, 0xd4, 0xe8, 0xff},
		color.RGBA{0x30 + vin[len(vin)-1]*3, 0x50 + vin[len(vin)-2]*2, 0xa0, 0xff},
	}
	const tyreColor, glass, body = 1, 2, 3
	m := image.NewPaletted(image.Rect(0, 0, width, height), paint)
	fill := func(x0, y0, x1, y1, slant int, c uint8) {
		for y := y0; y < y1; y++ {
			in := slant * (y1 - 1 - y) / max(1, y1-y0)
			for x := x0 + in; x < x1-in; x++ {
				m.SetColorIndex(x, y, c)
			}
		}
	}
	fill(13, 4, 51, 12, 9, body)
	fill(18, 6, 46, 11, 6, glass)
	fill(31, 5, 33, 12, 0, body)
	fill(3, 12, 61, 22, 2, body)
	for _, x := range [...]int{15, 48} {
		for y := -5; y <= 5; y++ {
			for d := -5; d <= 5; d++ {
				if d*d+y*y <= 25 {
					m.SetColorIndex(x+d, 21+y, tyreColor)
				}
			}
		}
	}
	return m
}
