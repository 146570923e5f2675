package schema_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func TestDefaultCatalogue(t *testing.T) {
	c := schema.Default()
	if c.Len() != 295 {
		t.Errorf("Len() = %d, want 295", c.Len())
	}
	if v := c.Version(); !strings.HasPrefix(v, "2026-07 295 descriptors sha256:") || len(v) != len("2026-07 295 descriptors sha256:1a2b3c4d") {
		t.Errorf("Version() = %q, want name, count and 8 hex digits", v)
	}
	var last schema.Descriptor
	n, streamable := 0, 0
	for e := range c.All() {
		if e.Descriptor <= last {
			t.Errorf("All() gives %q after %q", e.Descriptor, last)
		}
		if last = e.Descriptor; e.Streamable {
			streamable++
		}
		if again, ok := c.Lookup(e.Descriptor); !ok || again.Descriptor != e.Descriptor || again.Type != e.Type {
			t.Errorf("Lookup(%q) = %+v, %t", e.Descriptor, again, ok)
		}
		n++
	}
	if n != 295 || streamable != 245 {
		t.Errorf("All() gives %d entries, %d streamable, want 295 and 245", n, streamable)
	}
	for range c.All() { // stopping early must be fine
		break
	}
	if _, ok := c.Lookup("vehicle.not.there"); ok {
		t.Error("Lookup of an unknown descriptor says it is there")
	}
}

func TestCatalogueTypesAndUnits(t *testing.T) {
	c := schema.Default()
	tests := map[schema.Descriptor]struct {
		typ  schema.Type
		unit string
	}{
		"vehicle.vehicle.travelledDistance":                                        {schema.TypeNumber, "km"},
		"vehicle.trip.segment.end.travelledDistance":                               {schema.TypeNumber, "km"},
		"vehicle.drivetrain.electricEngine.kombiRemainingElectricRange":            {schema.TypeNumber, "km"},
		"vehicle.vehicle.averageWeeklyDistanceShortTerm":                           {schema.TypeNumber, "km"},
		"vehicle.status.serviceDistance.next":                                      {schema.TypeNumber, "km"},
		"vehicle.drivetrain.avgElectricRangeConsumption":                           {schema.TypeNumber, ""},
		"vehicle.vehicle.speedRange.lowerBound":                                    {schema.TypeNumber, "km/h"},
		"vehicle.drivetrain.batteryManagement.header":                              {schema.TypeNumber, "%"},
		"vehicle.drivetrain.electricEngine.charging.level":                         {schema.TypeNumber, "%"},
		"vehicle.chassis.axle.row1.wheel.left.tire.temperature":                    {schema.TypeNumber, "degC"},
		"vehicle.cabin.infotainment.navigation.currentLocation.latitude":           {schema.TypeNumber, "deg"},
		"vehicle.electricalSystem.battery.stateOfCharge":                           {schema.TypeUnknown, "%"},
		"vehicle.status.conditionBasedServices":                                    {schema.TypeUnknown, ""},
		"vehicle.drivetrain.electricEngine.charging.status":                        {schema.TypeText, ""},
		"vehicle.body.flap.isPermanentlyUnlocked":                                  {schema.TypeText, ""}, // three words
		"vehicle.drivetrain.electricEngine.charging.acRestriction.isChosen":        {schema.TypeText, ""}, // five words
		"vehicle.powertrain.electric.battery.stateOfCharge.displayed":              {schema.TypeNumber, "%"},
		"vehicle.cabin.infotainment.displayUnit.distance":                          {schema.TypeText, ""},
		"vehicle.cabin.infotainment.hmi.distanceUnit":                              {schema.TypeText, ""},
		"vehicle.drivetrain.fuelSystem.consumptionOverLifeTime.overall.fuel":       {schema.TypeNumber, "l"},
		"vehicle.drivetrain.electricEngine.charging.timeRemaining":                 {schema.TypeNumber, "min"},
		"vehicle.powertrain.electric.battery.charging.preferenceSmartCharging":     {schema.TypeText, ""},
		"vehicle.vehicle.antiTheftAlarmSystem.alarm.isOn":                          {schema.TypeBool, ""},
		"vehicle.privacySettings.dataCollection.regulations.obfcm":                 {schema.TypeBool, ""},
		"vehicle.drivetrain.fuelSystem.remainingFuel":                              {schema.TypeNumber, ""},
		"vehicle.cabin.infotainment.navigation.destinationSet.latitude":            {schema.TypeUnknown, ""},
		"vehicle.trip.segment.accumulated.chassis.brake.starsAverage":              {schema.TypeNumber, "stars"},
		"vehicle.chassis.axle.row1.wheel.left.tire.pressure":                       {schema.TypeNumber, "kPa"},
		"vehicle.cabin.infotainment.navigation.currentLocation.altitude":           {schema.TypeNumber, ""},
		"vehicle.cabin.infotainment.navigation.destinationSet.distance":            {schema.TypeNumber, "km"},
		"vehicle.status.conditionBasedServicesAverageDistancePerDay":               {schema.TypeNumber, "km"},
		"vehicle.powertrain.electric.range.displayControl":                         {schema.TypeText, ""},
		"vehicle.drivetrain.electricEngine.charging.isSingleImmediateCharging":     {schema.TypeBool, ""},
		"vehicle.vehicle.preConditioning.isRemoteEngineStartAllowed":               {schema.TypeBool, ""},
		"vehicle.powertrain.tractionBattery.charging.port.anyPosition.flap.isOpen": {schema.TypeBool, ""},
	}
	for d, want := range tests {
		e, ok := c.Lookup(d)
		if !ok || e.Type != want.typ || e.Unit != want.unit {
			t.Errorf("Lookup(%q) = %v %q (%t), want %v %q", d, e.Type, e.Unit, ok, want.typ, want.unit)
		}
	}
	e, _ := c.Lookup("vehicle.body.chargingPort.status")
	if !slices.Equal(e.Words, []string{"CONNECTED", "DISCONNECTED"}) || !slices.Equal(e.Sentinels, []string{"INVALID", "-NA-"}) {
		t.Errorf("words %q, sentinels %q: want the sentinels told from the words", e.Words, e.Sentinels)
	}
}

// TestPolarity writes down, for each boolean with a vocabulary of its own, which
// word the name of the descriptor calls true. The rest say true and false.
func TestPolarity(t *testing.T) {
	own := map[schema.Descriptor]string{
		"vehicle.body.chargingPort.isHospitalityActive":                        "HOSPITALITY_ACTIVE",     // asks: active
		"vehicle.body.flap.isLocked":                                           "FLAP_LOCKED",            // asks: locked
		"vehicle.body.hood.isOpen":                                             "OPEN",                   // asks: open
		"vehicle.body.trunk.isOpen":                                            "OPEN",                   // asks: open
		"vehicle.body.trunk.window.isOpen":                                     "OPEN",                   // asks: open
		"vehicle.cabin.door.row1.driver.isOpen":                                "OPEN",                   // asks: open
		"vehicle.cabin.door.row1.passenger.isOpen":                             "OPEN",                   // asks: open
		"vehicle.cabin.door.row2.driver.isOpen":                                "OPEN",                   // asks: open
		"vehicle.cabin.door.row2.passenger.isOpen":                             "OPEN",                   // asks: open
		"vehicle.body.lights.isRunningOn":                                      "ASN_isTrue",             // truth value
		"vehicle.cabin.infotainment.isMobilePhoneConnected":                    "ASN_isTrue",             // truth value
		"vehicle.drivetrain.engine.isActive":                                   "ASN_isTrue",             // truth value
		"vehicle.drivetrain.engine.isIgnitionOn":                               "ASN_isTrue",             // truth value
		"vehicle.isMoving":                                                     "ASN_isTrue",             // truth value
		"vehicle.drivetrain.electricEngine.charging.isSingleImmediateCharging": "DIRECT_CHG_ONCE_ACTIVE", // charging once = active
		"vehicle.powertrain.electric.battery.charging.acLimit.isActive":        "AC_LIMIT_ACTIVE",        // asks: active
		"vehicle.privacySettings.dataCollection.regulations.obfcm":             "True",                   // truth value
	}
	booleans := 0
	for e := range schema.Default().All() {
		if e.Type != schema.TypeBool {
			continue
		}
		booleans++
		want, listed := own[e.Descriptor]
		if !listed {
			want = "true"
		}
		if e.TrueWord != want {
			t.Errorf("%s: true word %q, want %q", e.Descriptor, e.TrueWord, want)
		}
		if len(e.Words) == 2 && (e.FalseWord == e.TrueWord || !slices.Contains(e.Words, e.FalseWord)) {
			t.Errorf("%s: false word %q of %q", e.Descriptor, e.FalseWord, e.Words)
		}
		for word, truth := range map[string]bool{
			e.TrueWord: true, e.FalseWord: false, strings.ToLower(e.TrueWord): true, strings.ToUpper(e.FalseWord): false,
			"true": true, "FALSE": false, "ASN_isTrue": true, "asn_ISFALSE": false, "1": true, "0": false,
		} {
			r := normalizeOne(t, string(e.Descriptor), `"`+word+`"`, "")
			if r.Value != (schema.Value{Kind: schema.KindBool, Bool: truth}) {
				t.Errorf("%s %q = %+v, want bool %t", e.Descriptor, word, r.Value, truth)
			}
		}
	}
	if booleans != 59 {
		t.Errorf("%d booleans with two words, want 59 of the 61", booleans)
	}
}

const catalogueHeader = "descriptor,unit,datatype,streamable,category,enum_values,sentinels\n"

func TestLoadCatalogueFindsColumnsByName(t *testing.T) {
	c, err := schema.LoadCatalogue(strings.NewReader("\ufeffstreamable,extra,enum_values,descriptor,datatype,unit\r\n"+
		"TRUE,x,SHUT_UNLOCKED|SHUT_LOCKED|WEIRD,my.door.isUnlocked,boolean,\r\n"+
		"false,x,,my.\u200bmile\u00a0age,float,miles\r\n"), "mine.csv")
	if err != nil {
		t.Fatal(err)
	}
	e, _ := c.Lookup("my.door.isUnlocked")
	if e.Type != schema.TypeText || !e.Streamable {
		t.Errorf("three words: %v, streamable %t", e.Type, e.Streamable)
	}
	e, ok := c.Lookup("my.mileage")
	if !ok || e.Unit != "km" || e.Type != schema.TypeNumber || !e.Distance {
		t.Errorf("descriptor with invisible characters: %+v, %t", e, ok)
	}
	if !strings.HasPrefix(c.Version(), "mine.csv 2 descriptors sha256:") {
		t.Errorf("Version() = %q", c.Version())
	}
}

func TestPolarityFollowsTheName(t *testing.T) {
	c, err := schema.LoadCatalogue(strings.NewReader(catalogueHeader+
		"a.isUnlocked,,boolean,true,X,SHUT_UNLOCKED|SHUT_LOCKED,\n"+
		"a.isClosed,,boolean,true,X,OPEN|CLOSED|BROKEN,BROKEN\n"+
		"a.isInactive,,boolean,true,X,INACTIVE|ACTIVE,\n"+
		"a.windowSelection,,boolean,true,X,CHOSEN|NOTCHOSEN,\n"), "t")
	if err != nil {
		t.Fatal(err)
	}
	for d, want := range map[schema.Descriptor]string{
		"a.isUnlocked": "SHUT_UNLOCKED", "a.isClosed": "CLOSED", "a.isInactive": "INACTIVE", "a.windowSelection": "CHOSEN",
	} {
		if e, _ := c.Lookup(d); e.Type != schema.TypeBool || e.TrueWord != want {
			t.Errorf("%s: %v, true word %q, want %q", d, e.Type, e.TrueWord, want)
		}
	}
}

func TestLoadCatalogueReportsAllFaultsWithLines(t *testing.T) {
	_, err := schema.LoadCatalogue(strings.NewReader(catalogueHeader+
		"a.good,km,float,true,X,,\n"+
		"a.good,km,float,true,X,,\n"+
		"a.type,km,decimal,true,X,,\n"+
		"a.words,,boolean,true,X,RED|GREEN,\n"+
		"a.word,,boolean,true,X,ON,\n"+
		"a.flag,,float,maybe,X,,\n"+
		",,float,true,X,,\n"+
		"a.short,km\n"+
		strings.Repeat("d", 257)+",,float,true,X,,\n"), "bad.csv")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`bad.csv:3: descriptor "a.good" is on line 2 already`, `bad.csv:4: datatype "decimal"`, `bad.csv:5: boolean "a.words"`,
		`bad.csv:6: boolean "a.word" has one word`, `bad.csv:7: streamable of "a.flag"`, `bad.csv:8: descriptor must be`,
		`bad.csv:9: 2 columns, want 7`, `bad.csv:10: descriptor must be`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestLoadCatalogueRefuses(t *testing.T) {
	tests := map[string]struct{ csv, want string }{
		"nothing":          {"", "t:1: no header"},
		"header alone":     {catalogueHeader, "no descriptors"},
		"column missing":   {"descriptor,unit\na,b\n", `column "datatype" is missing`},
		"column twice":     {"descriptor,descriptor\na,b\n", `column "descriptor" occurs twice`},
		"quote not closed": {catalogueHeader + "a,\"b\n", "t:"},
		"other file":       {"\x89PNG\r\n\x1a\n", "is missing"},
	}
	for name, tt := range tests {
		_, err := schema.LoadCatalogue(strings.NewReader(tt.csv), "t")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
}

func TestCanonicalUnit(t *testing.T) {
	tests := map[string]string{
		"percent": "%", "%": "%", " Percent ": "%", "km": "km", "KM": "km", "miles": "mi", "mi": "mi", "Miles": "mi",
		"kPa": "kPa", "kpa": "kPa", "kWh": "kWh", "kwh": "kWh", "Celsius": "degC", "celsius": "degC", "°C": "degC",
		"Â°C": "degC", "\ufffdC": "degC", "°F": "degF", "degrees": "deg", "°": "deg", "Â°": "deg",
		"min": "min", "h": "h", "s": "s", "V": "V", "A": "A", "W": "W", "kW": "kW", "l": "l", "L": "l", "km/h": "km/h",
		"months": "months", "weeks": "weeks", "stars": "stars", "m": "m", "kWh/100km": "kWh/100km", "kWh/100 km": "kWh/100km",
		"-": "", "": "", " ": "", "null": "", "\u200bkm\u00a0": "km", "parsec ": "parsec", "mph": "mi/h", "m\u200bi": "mi",
	}
	for in, want := range tests {
		if got := schema.CanonicalUnit(in); got != want {
			t.Errorf("CanonicalUnit(%q) = %q, want %q", in, got, want)
		}
		if got := schema.CanonicalUnit(want); got != want {
			t.Errorf("CanonicalUnit(%q) = %q: not stable", want, got)
		}
	}
}
