package cars

import (
	"math"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func TestRESTOnlyKeysNeverStream(t *testing.T) {
	catalogue := schema.Default()
	for m, index := range eachCar {
		t.Run(carName(m, index), func(t *testing.T) {
			c := New(config(m, index, monday))
			streamed := make(map[schema.Descriptor]bool)
			for _, d := range c.Descriptors() {
				streamed[d] = true
			}
			at := monday.AddDate(0, 0, 3).Add(7 * time.Hour)
			points := c.RESTOnly(at)
			if len(points) < 5 {
				t.Errorf("%d values", len(points))
			}
			for _, p := range points {
				e, known := catalogue.Lookup(p.Descriptor)
				if !known || e.Streamable || streamed[p.Descriptor] || e.Category == "BASIC_DATA" {
					t.Errorf("%s: in the catalogue %v, streamable %v, streamed %v", p.Descriptor, known, e.Streamable, streamed[p.Descriptor])
				}
				if p.TruthUnit != e.Unit || p.Measured.After(at.Add(5*time.Second)) || p.Measured.IsZero() {
					t.Errorf("%s: %+v, unit of the catalogue %q", p.Descriptor, p, e.Unit)
				}
				if e.Type == schema.TypeBool && p.Truth.Kind != schema.KindBool || e.Type == schema.TypeNumber && p.Truth.Kind != schema.KindNumber {
					t.Errorf("%s: truth %+v, type %s", p.Descriptor, p.Truth, e.Type)
				}
			}
		})
	}
}

func TestKnownFollowsTheStream(t *testing.T) {
	for m, index := range eachCar {
		cfg := config(m, index, monday)
		cfg.Quirks = Quirks{}
		c := New(cfg)
		mileage := 0.0
		next := monday.Add(30 * time.Hour)
		for _, e := range until(c, monday.AddDate(0, 0, 5)) {
			if e.Descriptor != "vehicle.vehicle.travelledDistance" {
				continue
			}
			if e.Measured.After(next) {
				known := c.Known(next)
				if math.Abs(known.MileageKm-mileage) > 15 || known.Uploaded.After(next.Add(time.Second)) {
					t.Errorf("%s: %v km known at %v since %v, %v km streamed", carName(m, index), known.MileageKm, next, known.Uploaded, mileage)
				}
				next = next.Add(5 * time.Hour)
			}
			mileage = e.Truth.Number
		}
	}
}

func TestHistoryRoundsWhatSessionsSay(t *testing.T) {
	end := monday.AddDate(0, 0, 30)
	for m, index := range eachCar {
		c := New(config(m, index, monday))
		sessions, history := c.Sessions(monday, end), c.History(monday, end, end.AddDate(0, 0, 1))
		if len(sessions) != len(history) {
			t.Fatalf("%d sessions, %d in the history", len(sessions), len(history))
		}
		for i, h := range history {
			s := sessions[i]
			if !h.Start.Equal(s.Start) || !h.End.Equal(s.End) || h.StartSOC != math.Round(s.StartSOC) || h.EndSOC != math.Round(s.EndSOC) ||
				math.Abs(h.EnergyGridKWh-s.EnergyGridKWh) > 1e-4 || math.Abs(h.MileageKm-s.MileageKm) > 2.7 || h.ChargingSeconds() != s.ChargingSeconds() {
				t.Errorf("history %+v of session %+v", h, s)
			}
			if h.DC != (h.Provider != "") || h.DC != (h.PostalCode != "") {
				t.Errorf("public charging point %q of a session that is fast %v", h.Provider, h.DC)
			}
		}
	}
}

func TestHistoryGrowsToTheWhole(t *testing.T) {
	end := monday.AddDate(0, 0, 7)
	c := New(config(PHEV, 1, monday))
	for _, s := range c.History(monday, end, end.AddDate(0, 0, 1)) {
		seconds, soc := int64(0), s.StartSOC
		for at := s.Start; at.Before(s.End); at = at.Add(10 * time.Minute) {
			now := c.History(s.Start, s.Start.Add(time.Second), at)
			if len(now) != 1 || !now[0].End.IsZero() || now[0].EnergyGridKWh != 0 || now[0].ChargingSeconds() < seconds || now[0].EndSOC < soc {
				t.Fatalf("at %v: %+v after %d s and %v %%", at, now, seconds, soc)
			}
			seconds, soc = now[0].ChargingSeconds(), now[0].EndSOC
			for _, b := range now[0].Blocks {
				if b.End.After(at) || !b.Start.Before(b.End) {
					t.Fatalf("block %+v at %v", b, at)
				}
			}
		}
	}
}

func TestPointOf(t *testing.T) {
	for name, row := range map[string]struct {
		wire  string
		truth schema.Value
		want  string
		null  bool
	}{
		"a number becomes text":  {"78.5", schema.Value{Kind: schema.KindNumber, Number: 78.5}, "78.5", false},
		"a quoted number stays":  {`"0.0"`, schema.Value{Kind: schema.KindNumber}, "0.0", false},
		"a boolean becomes text": {"true", schema.Value{Kind: schema.KindBool, Bool: true}, "true", false},
		"a word stays":           {`"ASN_isTrue"`, schema.Value{Kind: schema.KindBool, Bool: true}, "ASN_isTrue", false},
		"text loses its escapes": {`"a\"b"`, schema.Value{Kind: schema.KindText, Text: `a"b`}, `a"b`, false},
		"JSON becomes text":      {`[{"a":1}]`, schema.Value{Kind: schema.KindText, Text: `[{"a":1}]`}, `[{"a":1}]`, false},
		"a sentinel stays":       {`"-NA-"`, schema.Value{}, "-NA-", false},
		"null stays":             {"null", schema.Value{}, "", true},
	} {
		p := PointOf(&Emission{Wire: []byte(row.wire), Truth: row.truth})
		if p.Value != row.want || p.Null != row.null {
			t.Errorf("%s: %q, null %v; want %q", name, p.Value, p.Null, row.want)
		}
	}
	trunk := PointOf(&Emission{Descriptor: "vehicle.body.trunk.isOpen", Wire: []byte("false"), Truth: schema.Value{Kind: schema.KindBool}})
	if trunk.Value != "CLOSED" {
		t.Errorf("trunk %q, want the other channel's word", trunk.Value)
	}
}
