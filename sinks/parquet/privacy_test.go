package parquet_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline/derive"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// planted are texts that no byte of a pseudonymous dataset may hold.
func planted() []string {
	return []string{string(vinA), gcid, "SECRET", "Geheimweg", "München", "+49 170", "PlentyCharge", "48.137", "11.575"}
}

func secretCar() car {
	const nav = "vehicle.cabin.infotainment.navigation."
	return car{
		vin: vinA,
		readings: []schema.ReadingBlock{
			block(vinA, "vehicle.body.chargingPort.isoSessionId", noon, word("SECRETSESSION")),
			block(vinA, nav+"currentLocation.altitude", noon, num(520)),
			block(vinA, nav+"currentLocation.latitude", noon, num(48.137)),
			block(vinA, nav+"currentLocation.longitude", noon, num(11.575)),
			block(vinA, nav+"destinationSet.latitude", noon, num(48.1372), word("48.1372")),
			block(vinA, soc, noon, num(55), word("SECRETMISFIT")),
			block(vinA, status, noon, word("CHARGING"), word("at Geheimweg 1"), word("+49 170 1234567"), word("x"+string(vinA)), word(strings.ToLower(string(vinA)))),
			block(vinA, "vehicle.vehicle.SECRETkey", noon, num(48.137), yes(true), word("SECRET")),
			block(vinA, "vehicle.vehicle.travelledDistance", noon, num(12345)),
			block(vinA, "vehicle.vehicleIdentification.basicVehicleData", noon, word("SECRET")),
		},
		positions: []derive.Position{
			{Time: noon.UnixNano(), Latitude: 48.137154, Longitude: 11.575382, Altitude: 520.25, Heading: 93.5},
			{Time: noon.Add(time.Hour).UnixNano(), Latitude: 49.45678, Longitude: 11.07891, Altitude: 310.75, Heading: math.NaN()},
		},
		rows: map[string][]cells{
			"charging_sessions": {
				{
					"time": noon, "time_zone": "Europe/Berlin", "latitude": 48.137154, "longitude": 11.575382, "municipality": "München", "address": "Geheimweg 1", "street": "Geheimweg",
					"providers": "PlentyCharge", "public_points": "PlentyCharge, Geheimweg", "error_hints": "SECRET", "mileage_km": 12345.0, "grid_kwh": 40, "source": "rest", "currency": "EUR",
				},
				{"time": noon.Add(time.Hour), "time_zone": "SECRET zone", "latitude": 49.45678, "longitude": 11.07891, "source": "at Geheimweg"},
			},
			"vehicles": {
				{
					"time": noon, "kind": "basic_data", "model_name.text": "i0 eDrive00", "construction_date.text": "SECRET", "full_sa_list.text": "SECRET,0001", "colour_description.text": "SECRET BLUE",
					"series.text": string(vinA), "SECRETfact.text": "x", "number_of_doors.number": 5,
				},
				{"time": noon.Add(time.Second), "kind": "settings", "data.0.latitude.number": 48.137154, "data.0.id.text": "SECRET"},
				{"time": noon.Add(2 * time.Second), "kind": "tyres", "passenger_car.mounted_tyres.front_left.part_number.value.text": "SECRET", "passenger_car.mounted_tyres.front_left.season.season.text": "SUMMER"},
			},
			"gaps": {{"time": noon, "gcid": gcid, "cause": "crash", "end": noon.Add(time.Minute)}},
		},
	}
}

func TestNothingOfASecretRemains(t *testing.T) {
	for name, c := range map[string]struct {
		profile parquet.Profile
		level   bool
		places  []string // of positions
	}{
		"omit": {profile: parquet.Profile{Name: parquet.Pseudonymous, Secret: "0123456789abcdef"}, level: true},
		"round with a zone": {
			profile: parquet.Profile{
				Name: parquet.Pseudonymous, Secret: "0123456789abcdef", Positions: parquet.PositionsRound, Decimals: 2,
				Zones: []parquet.Zone{{Latitude: 48.1375, Longitude: 11.5755, RadiusM: 300}},
			},
			places: []string{"latitude=49.46 longitude=11.08"},
		},
		"round without zones": {
			profile: parquet.Profile{Name: parquet.Pseudonymous, Secret: "0123456789abcdef", Positions: parquet.PositionsRound, Decimals: 1, NoZones: true},
			places:  []string{"latitude=48.1 longitude=11.6", "latitude=49.5 longitude=11.1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), parquet.Config{Profile: c.profile, VINLevel: c.level})
			s.export(t, day, "1", secretCar())
			if _, err := s.WriteCatalogue(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.close(t)
			var all []string
			var places []string
			for path, bytes := range contents(t, s.root) {
				noSecret(t, path, path)
				if strings.HasPrefix(path, "catalogue") {
					continue
				}
				noSecret(t, path, bytes)
				if strings.HasSuffix(path, ".parquet") {
					lines := rows(t, s.root, path)
					noSecret(t, path, strings.Join(lines, "\n"))
					all = append(all, lines...)
					if strings.HasPrefix(path, "positions") {
						places = lines
					}
				}
			}
			kept := strings.Join(all, "\n")
			for _, want := range []string{"number=55", "text=CHARGING", "number=12345", "mileage_km=12345", "fact=model_name text=i0 eDrive00", "fact=number_of_doors number=5", "season.season text=SUMMER", "cause=crash", "vin=v_", "gcid=a_", "time_zone=Europe/Berlin"} {
				if !strings.Contains(kept, want) {
					t.Errorf("%q is gone", want)
				}
			}
			for _, gone := range []string{"altitude", "heading", "currentLocation", "destinationSet"} {
				if strings.Contains(kept, gone) {
					t.Errorf("%q is still there", gone)
				}
			}
			if len(places) != len(c.places) {
				t.Fatalf("positions are %q, want %q", places, c.places)
			}
			for i := range places {
				if !strings.Contains(places[i], c.places[i]) {
					t.Errorf("position %q, want %q", places[i], c.places[i])
				}
			}
			clean(t, s.root)
		})
	}
}

func noSecret(t *testing.T, path, content string) {
	t.Helper()
	for _, p := range planted() {
		if strings.Contains(strings.ToLower(content), strings.ToLower(p)) {
			t.Errorf("%s holds %q", path, p)
		}
	}
}

func TestTokensAreStable(t *testing.T) {
	tokens := func() []string {
		s := open(t, t.TempDir(), parquet.Config{Profile: parquet.Profile{Name: parquet.Pseudonymous, Secret: "0123456789abcdefx"}})
		s.export(t, day, "1", append(dayOf(1), car{vin: vinB, readings: []schema.ReadingBlock{block(vinB, soc, noon, num(1))}})...)
		s.close(t)
		var out []string
		for _, line := range rows(t, s.root, part("readings")) {
			vin, _, _ := strings.Cut(line, " ")
			out = append(out, vin)
		}
		return out
	}
	a, b := tokens(), tokens()
	if !slices.Equal(a, b) || len(a) != 2 || a[0] == a[1] || !slices.IsSorted(a) || len(a[0]) != len("vin=v_")+26 {
		t.Errorf("tokens are %q and %q, want the same two, sorted", a, b)
	}
}

func TestProfilesAreChecked(t *testing.T) {
	const secret = "0123456789abcdef"
	for name, p := range map[string]parquet.Profile{
		"no name":             {},
		"another name":        {Name: "secret"},
		"full with a secret":  {Name: parquet.Full, Secret: secret},
		"no secret":           {Name: parquet.Pseudonymous},
		"a short secret":      {Name: parquet.Pseudonymous, Secret: "0123456789"},
		"an unknown rule":     {Name: parquet.Pseudonymous, Secret: secret, Positions: "blur"},
		"zones without round": {Name: parquet.Pseudonymous, Secret: secret, Zones: []parquet.Zone{{RadiusM: 100}}},
		"round, zones unsaid": {Name: parquet.Pseudonymous, Secret: secret, Positions: parquet.PositionsRound, Decimals: 2},
		"zones and none":      {Name: parquet.Pseudonymous, Secret: secret, Positions: parquet.PositionsRound, NoZones: true, Zones: []parquet.Zone{{RadiusM: 100}}},
		"too exact":           {Name: parquet.Pseudonymous, Secret: secret, Positions: parquet.PositionsRound, NoZones: true, Decimals: 4},
		"a zone off the map":  {Name: parquet.Pseudonymous, Secret: secret, Positions: parquet.PositionsRound, Zones: []parquet.Zone{{Latitude: math.NaN(), RadiusM: 100}}},
		"a zone too small":    {Name: parquet.Pseudonymous, Secret: secret, Positions: parquet.PositionsRound, Zones: []parquet.Zone{{RadiusM: 1}}},
	} {
		if err := p.Validate(); err == nil {
			t.Errorf("%s: Validate = nil", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}

// Each key whose text is free, or whose type BMW does not tell, has a ruling.
func TestEachFreeDescriptorIsDecided(t *testing.T) {
	for e := range schema.Default().All() {
		if e.Type == schema.TypeNumber || e.Type == schema.TypeBool || len(e.Words) > 0 {
			continue
		}
		if !slices.ContainsFunc(parquet.DescriptorRulings(), func(r parquet.Ruling) bool {
			return r.Name == string(e.Descriptor) || strings.HasSuffix(r.Name, ".") && strings.HasPrefix(string(e.Descriptor), r.Name)
		}) {
			t.Errorf("%s has no ruling", e.Descriptor)
		}
	}
	for _, d := range []string{"latitude", "longitude", "altitude", "heading"} {
		e, ok := schema.Default().Lookup(schema.Descriptor("vehicle.cabin.infotainment.navigation.currentLocation." + d))
		if !ok || parquet.KeepsDescriptor(&e, ok) {
			t.Errorf("%s is kept", d)
		}
	}
}
