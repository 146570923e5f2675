package simulator

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// everyKey is what may be in a container: the whole catalogue, in two halves
// that the limit lets pass.
func everyKey(s *Simulator) [][]schema.Descriptor {
	var all []schema.Descriptor
	for e := range s.rest.catalogue.All() {
		if s.rest.knows(e.Descriptor) {
			all = append(all, e.Descriptor)
		}
	}
	return [][]schema.Descriptor{all[:len(all)/2], all[len(all)/2:]}
}

func TestTelematicDataIsInTheWireShape(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 6, Quota: 1000})
	c := newRESTClient(t, s)
	nulls, told := 0, 0
	for _, half := range everyKey(s) {
		id := c.container(half...)
		for _, vin := range s.Accounts()[0].VINs {
			var body struct {
				Data map[schema.Descriptor]map[string]json.RawMessage `json:"telematicData"`
			}
			before := time.Now()
			a := c.get(vinPath(vin, "telematicData?containerId="+id))
			a.into(t, &body)
			for _, d := range half {
				p, ok := body.Data[d]
				if e, _ := s.rest.catalogue.Lookup(d); ok == s.rest.leftOut(d, false) {
					t.Errorf("%s of category %s: there %v", d, e.Category, ok)
				}
				if !ok {
					continue
				}
				if len(p) != 3 {
					t.Fatalf("%s: members %v, want timestamp, unit and value", d, p)
				}
				for name, raw := range p {
					if string(raw) != "null" && raw[0] != '"' {
						t.Errorf("%s: %s is %s, want text or null", d, name, raw)
					}
				}
				if string(p["timestamp"]) == "null" {
					if nulls++; string(p["value"]) != "null" {
						t.Errorf("%s: value %s without a time", d, p["value"])
					}
					continue
				}
				told++
				at, err := time.Parse(`"2006-01-02T15:04:05.000Z"`, string(p["timestamp"]))
				if err != nil || at.After(before.Add(5*time.Second)) {
					t.Errorf("%s: time %s: %v", d, p["timestamp"], err)
				}
			}
		}
	}
	if told < 6*60 || nulls == 0 {
		t.Errorf("%d values told, %d never reported; want most of each car's 76 and some of both", told, nulls)
	}
}

func TestTelematicDataIsWhatStreamedLast(t *testing.T) {
	for name, cfg := range map[string]Config{
		"at the pace of the clock": {Seed: 1, Cars: 6, History: 26 * time.Hour},
		"at speed 60":              {Seed: 2, Cars: 3, History: 26 * time.Hour, Speed: 60},
	} {
		t.Run(name, func(t *testing.T) {
			s := startTest(t, cfg)
			account := s.Accounts()[0]
			set := login(t, s, account)
			if _, err := listenTo(t, s, account.GCID, set["id_token"].(string), string(account.GCID)+"/+"); err != nil {
				t.Fatal(err)
			}
			<-s.HistoryDone()
			s.Pause()
			cut := time.Now()
			type key struct {
				vin schema.VIN
				d   schema.Descriptor
			}
			last := make(map[key]Entry)
			for e := range s.Ledger().Entries(account.GCID) {
				k := key{e.VIN, e.Descriptor}
				if e.Truth.Kind != schema.KindNull && !e.Measured.Before(last[k].Measured) {
					last[k] = e
				}
			}
			compared := 0
			for _, vin := range account.VINs {
				for d, p := range s.Latest(vin) {
					e, ok := last[key{vin, d}]
					if !ok || p.Truth.Kind == schema.KindNull || p.Measured.After(cut.Add(-10*time.Second)) {
						continue
					}
					compared++
					if !p.Measured.Equal(e.Measured) || p.Truth != e.Truth || p.TruthUnit != e.Unit {
						t.Errorf("%s %s: %v at %v by REST, %v at %v streamed", vin, d, p.Truth, p.Measured, e.Truth, e.Measured)
					}
				}
			}
			if compared < 60*len(account.VINs) {
				t.Errorf("%d values compared", compared)
			}
		})
	}
}

func TestPortsOfUKCarsAreInMiles(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 5})
	vin := s.Accounts()[0].VINs[4]
	p := s.Latest(vin)["vehicle.vehicle.travelledDistance"]
	if p.HasUnit && p.Unit != "miles" {
		t.Errorf("mileage of a car of the United Kingdom %+v, want miles", p)
	}
	sessions := s.Sessions(vin, time.Now().AddDate(0, 0, -40), time.Now())
	if len(sessions) == 0 || !sessions[0].Miles {
		t.Errorf("%d sessions, the first in miles: want some, in miles", len(sessions))
	}
}

// history pages through a range.
func (c *restClient) history(vin schema.VIN, from, to time.Time) (all []sessionBody, pages int) {
	c.tb.Helper()
	q := url.Values{"from": {isoMillis(from)}, "to": {isoMillis(to)}}
	for {
		var body historyBody
		a := c.get(vinPath(vin, "chargingHistory?"+q.Encode()))
		a.into(c.tb, &body)
		all = append(all, body.Data...)
		pages++
		if body.Next == "" {
			return all, pages
		}
		if len(body.Data) != pageSize {
			c.tb.Errorf("%d sessions on a page before the last, want 10", len(body.Data))
		}
		q.Set("nextToken", body.Next)
	}
}

func TestHistoryIsTheTruthNewestFirst(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 6, Quota: 1000})
	c := newRESTClient(t, s)
	to := time.Now().UTC()
	from := to.AddDate(0, 0, -44).Truncate(time.Second)
	public, failed, paged := 0, 0, 0
	for _, vin := range s.Accounts()[0].VINs {
		truth := s.Sessions(vin, from, to)
		got, pages := c.history(vin, from, to)
		if len(got) != len(truth) || pages != max(1, (len(truth)+pageSize-1)/pageSize) {
			t.Fatalf("%s: %d sessions on %d pages, want %d", vin, len(got), pages, len(truth))
		}
		slices.Reverse(got)
		for i := range truth {
			checkSessionBody(t, &got[i], &truth[i])
			if got[i].Public != nil {
				public++
			}
			failed += len(got[i].Errors)
		}
		paged = max(paged, pages)
	}
	if public == 0 || failed == 0 || paged < 2 {
		t.Errorf("%d public, %d with errors, %d pages at most: want some of each, and two pages", public, failed, paged)
	}
}

func checkSessionBody(t *testing.T, b *sessionBody, s *cars.Session) {
	t.Helper()
	if b.Start != float64(s.Start.Unix()) || float64(b.StartSOC) != s.StartSOC || float64(b.SOC) != s.EndSOC || b.TimeZone != s.TimeZone ||
		b.Seconds != s.ChargingSeconds() || b.Preconditioning != s.Preconditioned || b.Location.Latitude != s.Latitude || b.Location.Street != s.Street {
		t.Fatalf("session %+v, truth %+v", b, s)
	}
	km := float64(b.Mileage)
	if s.Miles {
		km *= 1.609344
	}
	if km != s.MileageKm || s.Miles != (b.MileageUnits != "KM") {
		t.Errorf("mileage %d %s, truth %v km", b.Mileage, b.MileageUnits, s.MileageKm)
	}
	if s.End.IsZero() != (b.End == nil) || s.End.IsZero() != (b.Energy == nil) {
		t.Errorf("end %v and energy %v, truth %v", b.End, b.Energy, s.End)
	}
	if !s.End.IsZero() && (b.End != float64(s.End.Unix()) || *b.Energy != s.EnergyGridKWh) {
		t.Errorf("end %v and energy %v, truth %v and %v", b.End, *b.Energy, s.End, s.EnergyGridKWh)
	}
	if len(b.Blocks) != len(s.Blocks) {
		t.Fatalf("%d blocks, truth %d", len(b.Blocks), len(s.Blocks))
	}
	for i, p := range s.Blocks {
		if b.Blocks[i] != (blockBody{p.Start.Unix(), p.End.Unix(), p.PowerKW}) {
			t.Errorf("block %+v, truth %+v", b.Blocks[i], p)
		}
	}
}

func TestPagesFail(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 6, Quota: 1000})
	c := newRESTClient(t, s)
	to := time.Now().UTC()
	from := to.AddDate(0, 0, -45)
	vin := s.Accounts()[0].VINs[1] // a hybrid charges each night
	q := url.Values{"from": {isoMillis(from)}, "to": {isoMillis(to)}}
	page := func() (restAnswer, string) {
		a := c.get(vinPath(vin, "chargingHistory?"+q.Encode()))
		var body historyBody
		_ = json.Unmarshal(a.text, &body)
		return a, body.Next
	}
	_, second := page()
	if second == "" {
		t.Fatal("one page only")
	}
	q.Set("nextToken", second)
	s.SetFaults(Faults{PageAlways500: 2})
	for range 2 {
		if a, _ := page(); a.status != http.StatusInternalServerError || a.code != "CU-500" {
			t.Errorf("page 2: %d %s, want 500 CU-500 every time", a.status, a.code)
		}
	}
	s.SetFaults(Faults{PageTokenLife: time.Nanosecond})
	if a, _ := page(); a.status != http.StatusBadRequest || a.code != "CU-125" {
		t.Errorf("expired token: %d %s, want 400 CU-125", a.status, a.code)
	}
	s.SetFaults(Faults{PageTokenRepeats: true})
	if _, next := page(); next != second {
		t.Errorf("repeating token: %q, want %q again", next, second)
	}
	s.SetFaults(Faults{})
	q.Set("to", isoMillis(to.Add(-time.Hour)))
	if a, _ := page(); a.code != "CU-401" {
		t.Errorf("token of another range: %s, want CU-401", a.code)
	}
	q.Set("nextToken", "bm9uc2Vuc2U=")
	if a, _ := page(); a.code != "CU-401" {
		t.Errorf("forged token: %s, want CU-401", a.code)
	}
}

// running finds a moment at which a session runs.
func running(t *testing.T, s *Simulator) (schema.VIN, cars.Session, time.Time) {
	t.Helper()
	for _, vin := range s.Accounts()[0].VINs {
		all := s.Sessions(vin, time.Now().AddDate(0, 0, -30), time.Now())
		for i := range all {
			if n := len(all[i].Blocks); n > 1 && !all[i].End.IsZero() {
				return vin, all[i], all[i].Blocks[1].Start.Add(30 * time.Second)
			}
		}
	}
	t.Fatal("no session of two blocks in a month")
	return "", cars.Session{}, time.Time{}
}

func TestARunningSessionIsCutAndCompletedLater(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 6})
	vin, whole, at := running(t, s)
	cut := s.owner(vin).sessions(vin, whole.Start, whole.Start.Add(time.Second), at)
	if len(cut) != 1 {
		t.Fatalf("%d sessions", len(cut))
	}
	r := cut[0]
	if !r.End.IsZero() || r.EnergyGridKWh != 0 || !r.Start.Equal(whole.Start) || len(r.Blocks) != 2 || !r.Blocks[1].End.Equal(at) {
		t.Errorf("running session %+v; want no end, two blocks up to %v", r, at)
	}
	if r.EndSOC < r.StartSOC || r.EndSOC > whole.EndSOC || r.ChargingSeconds() >= whole.ChargingSeconds() {
		t.Errorf("running session reached %v %% in %d s, the whole one %v %% in %d s", r.EndSOC, r.ChargingSeconds(), whole.EndSOC, whole.ChargingSeconds())
	}
	if n := len(s.owner(vin).sessions(vin, whole.Start, whole.Start.Add(time.Second), whole.Start.Add(-time.Second))); n != 0 {
		t.Errorf("a session is told before it began")
	}
}

func TestHistoryAgreesWithTheStream(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 6, History: 4 * 24 * time.Hour})
	account := s.Accounts()[0]
	set := login(t, s, account)
	if _, err := listenTo(t, s, account.GCID, set["id_token"].(string), string(account.GCID)+"/+"); err != nil {
		t.Fatal(err)
	}
	<-s.HistoryDone()
	compared := 0
	for _, vin := range account.VINs {
		for _, session := range s.Sessions(vin, time.Now().AddDate(0, 0, -3), time.Now()) {
			if session.End.IsZero() {
				continue
			}
			for e := range s.Ledger().Entries(account.GCID) {
				name := string(e.Descriptor)
				inside := e.VIN == vin && !e.Measured.Before(session.Start) && !e.Measured.After(session.End.Add(10*time.Second))
				if !inside || e.Truth.Kind != schema.KindNumber {
					continue
				}
				switch {
				case strings.HasSuffix(name, "batteryManagement.header"), strings.HasSuffix(name, "stateOfCharge.displayed"):
					compared++
					if e.Truth.Number < session.StartSOC-1 || e.Truth.Number > session.EndSOC+1 {
						t.Errorf("%s: %v %% streamed at %v in a session of %v to %v %%", vin, e.Truth.Number, e.Measured, session.StartSOC, session.EndSOC)
					}
				case name == "vehicle.vehicle.travelledDistance":
					if math.Abs(e.Truth.Number-session.MileageKm) > 2 {
						t.Errorf("%s: %v km streamed, %v km in the history", vin, e.Truth.Number, session.MileageKm)
					}
				}
			}
		}
	}
	if compared == 0 {
		t.Error("nothing streamed in any session")
	}
}

func TestSessionForms(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 6, Quota: 1000})
	c := newRESTClient(t, s)
	vin := s.Accounts()[0].VINs[1]
	to := time.Now()
	s.SetFaults(Faults{RESTStrict: true, SessionTimesISO: true, SessionCosts: true})
	all, _ := c.history(vin, to.AddDate(0, 0, -10), to)
	if len(all) == 0 {
		t.Fatal("no session in ten days")
	}
	oldest := all[len(all)-1]
	if text, ok := oldest.Start.(string); !ok || !strings.HasSuffix(text, ".000Z") || oldest.MileageUnits != "MileageUnits.KM" || oldest.Cost == nil {
		t.Errorf("session %+v; want ISO times, dotted units and costs", oldest)
	}
}

// TestOurNormaliserReadsTheTruth holds telematicData against the code that has
// to read it, and both against what the cars meant.
func TestOurNormaliserReadsTheTruth(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 6, Quota: 1000})
	c := newRESTClient(t, s)
	n := schema.NewNormalizer(schema.Default())
	var res schema.Result
	for _, half := range everyKey(s) {
		id := c.container(half...)
		for _, vin := range s.Accounts()[0].VINs {
			truth := s.Latest(vin)
			a := c.get(vinPath(vin, "telematicData?containerId="+id))
			after := s.Latest(vin)
			n.Telematic(&res, schema.Input{VIN: vin, Received: time.Now(), Payload: a.text})
			if len(res.Faults) > 0 || len(res.Readings) < 5 {
				t.Fatalf("%s: %d readings, %d misfits, faults %v", vin, len(res.Readings), res.Misfits, res.Faults)
			}
			for i := range res.Readings {
				r := &res.Readings[i]
				p, known := truth[r.Descriptor]
				if !known {
					t.Errorf("%s %s: read but never reported", vin, r.Descriptor)
				}
				if !p.Measured.Equal(after[r.Descriptor].Measured) {
					continue // the car sent it meanwhile, or it is stamped when asked for
				}
				if !r.Time.Equal(p.Measured) || r.Value != p.Truth && !alike(r.Value, p.Truth) || r.Value.Kind != schema.KindNull && r.Unit != p.TruthUnit {
					t.Errorf("%s %s: read %+v %q at %v, truth %+v %q at %v", vin, r.Descriptor, r.Value, r.Unit, r.Time, p.Truth, p.TruthUnit, p.Measured)
				}
			}
		}
	}
}

// alike allows for the last digit of a conversion.
func alike(a, b schema.Value) bool {
	return a.Kind == schema.KindNumber && b.Kind == a.Kind && math.Abs(a.Number-b.Number) < 1e-9*math.Abs(b.Number)
}
