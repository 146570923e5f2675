package schema_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	testVIN  = schema.VIN("WBY00000000000001")
	testGCID = schema.GCID("00000000-0000-4000-8000-000000000001")
	mileage  = "vehicle.vehicle.travelledDistance"
)

var (
	received = time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)
	measured = time.Date(2026, 3, 14, 7, 2, 9, 0, time.UTC)
)

func input(payload string) schema.Input {
	return schema.Input{GCID: testGCID, VIN: testVIN, Received: received, Source: schema.SourceStream, Payload: []byte(payload)}
}

func streamPayload(points string) string {
	return `{"vin":"` + string(testVIN) + `","entityId":"` + string(testGCID) + `","topic":"` + string(testVIN) +
		`","timestamp":"2026-03-14T07:02:11.418Z","data":{` + points + `}}`
}

// streamPoint is one point; value is JSON, unit without quotes, empty leaves it out.
func streamPoint(descriptor, value, unit string) string {
	d, _ := json.Marshal(descriptor)
	if unit != "" {
		u, _ := json.Marshal(unit)
		unit = `,"unit":` + string(u)
	}
	return string(d) + `:{"timestamp":"2026-03-14T07:02:09Z","value":` + value + unit + `}`
}

func stream(payload string) *schema.Result {
	res := new(schema.Result)
	schema.NewNormalizer(schema.Default()).Stream(res, input(payload))
	return res
}

func normalizeOne(t *testing.T, descriptor, value, unit string) schema.Reading {
	t.Helper()
	res := stream(streamPayload(streamPoint(descriptor, value, unit)))
	if len(res.Readings) != 1 || len(res.Faults) != 0 {
		t.Fatalf("%s %s %q: readings %v, faults %v", descriptor, value, unit, res.Readings, res.Faults)
	}
	return res.Readings[0]
}

func number(f float64) schema.Value { return schema.Value{Kind: schema.KindNumber, Number: f} }
func text(s string) schema.Value    { return schema.Value{Kind: schema.KindText, Text: s} }
func boolean(b bool) schema.Value   { return schema.Value{Kind: schema.KindBool, Bool: b} }

func TestStreamValues(t *testing.T) {
	const (
		soc      = "vehicle.drivetrain.batteryManagement.header"
		battery  = "vehicle.drivetrain.batteryManagement.batterySizeMax"
		status   = "vehicle.drivetrain.electricEngine.charging.status"
		trunk    = "vehicle.body.trunk.isOpen"
		flapOpen = "vehicle.powertrain.tractionBattery.charging.port.anyPosition.flap.isOpen"
		locked   = "vehicle.body.flap.isLocked"
		three    = "vehicle.body.flap.isPermanentlyUnlocked"
		cbs      = "vehicle.status.conditionBasedServices"
		blank    = "vehicle.electricalSystem.battery.stateOfCharge"
		unknown  = "vehicle.not.in.catalogue"
		pressure = "vehicle.chassis.axle.row1.wheel.left.tire.pressure"
		temp     = "vehicle.chassis.axle.row1.wheel.left.tire.temperature"
		evRange  = "vehicle.drivetrain.electricEngine.kombiRemainingElectricRange"
		port     = "vehicle.body.chargingPort.status"
	)
	null := schema.Value{}
	tests := map[string]struct {
		descriptor, value, unit string
		want                    schema.Value
		wantUnit, wantRaw       string
		misfit                  bool
	}{
		"number":                                   {soc, `78.5`, "percent", number(78.5), "%", "", false},
		"integer of a float":                       {soc, `79`, "percent", number(79), "%", "", false},
		"unit absent is the catalogue's":           {soc, `79`, "", number(79), "%", "", false},
		"unit word of none is the catalogue's":     {soc, `79`, "-", number(79), "%", "", false},
		"negative zero is zero":                    {soc, `-0.0`, "%", number(0), "%", "", false},
		"negative zero with exponent":              {soc, `-0e5`, "%", number(0), "%", "", false},
		"quoted number":                            {battery, `"0.0"`, "kWh", number(0), "kWh", "", false},
		"quoted with space":                        {battery, `" 12.5 "`, "kWh", number(12.5), "kWh", "", false},
		"quoted with plus":                         {battery, `"+5"`, "kWh", number(5), "kWh", "+5", false},
		"quoted with exponent":                     {battery, `"1.5e2"`, "kWh", number(150), "kWh", "", false},
		"quoted with invisible character":          {battery, `"7\u200b7"`, "kWh", number(77), "kWh", "", false},
		"leading zeros keep the text":              {blank, `"007"`, "", number(7), "%", "007", false},
		"precise as ParseFloat":                    {battery, `18.34000015258789`, "", number(18.34000015258789), "kWh", "", false},
		"largest float":                            {battery, `1.7976931348623157e308`, "", number(math.MaxFloat64), "kWh", "", false},
		"does not fit float64":                     {battery, `1e999`, "kWh", text("1e999"), "kWh", "", true},
		"does not fit float64, quoted":             {battery, `"-1e999"`, "kWh", text("-1e999"), "kWh", "", true},
		"NaN is no number":                         {battery, `"NaN"`, "kWh", text("NaN"), "kWh", "", true},
		"Inf is no number":                         {battery, `"Infinity"`, "", text("Infinity"), "", "", true},
		"hex is no number":                         {battery, `"0x1F"`, "", text("0x1F"), "", "", true},
		"underscore is no number":                  {battery, `"1_000"`, "", text("1_000"), "", "", true},
		"decimal comma is no number":               {battery, `"12,5"`, "", text("12,5"), "", "", true},
		"bool for a number":                        {battery, `true`, "", text("true"), "", "", true},
		"object for a number":                      {battery, `{"a": [1, 2]}`, "", text(`{"a":[1,2]}`), "", "", true},
		"word for a number":                        {pressure, `"LOW"`, "kPa", text("LOW"), "kPa", "", true},
		"miles":                                    {mileage, `"30268.83"`, "miles", number(48712.95994752001), "km", "30268.83 miles", false},
		"miles as number":                          {mileage, `100`, "mi", number(160.9344), "km", "100 mi", false},
		"mileage without unit is assumed km":       {mileage, `"12345.6"`, "", number(12345.6), "km", "12345.6", false},
		"mileage with null word":                   {mileage, `12345`, "null", number(12345), "km", "12345", false},
		"range without unit anywhere is km":        {evRange, `401`, "", number(401), "km", "401", false},
		"range in km":                              {evRange, `401`, "km", number(401), "km", "", false},
		"miles of an unknown descriptor":           {unknown, `10`, "mi", number(16.09344), "km", "10 mi", false},
		"miles per hour":                           {"vehicle.vehicle.speedRange.lowerBound", `10`, "mph", number(16.09344), "km/h", "10 mph", false},
		"Fahrenheit":                               {temp, `212`, "°F", number(100), "degC", "212 °F", false},
		"broken degree sign":                       {temp, `"21"`, "Â°C", number(21), "degC", "", false},
		"unit on the point wins":                   {temp, `2.4`, "bar", number(2.4), "bar", "", false},
		"conversion that overflows is left":        {mileage, `1.7e308`, "mi", number(1.7e308), "mi", "", false},
		"text":                                     {status, `"CHARGINGACTIVE"`, "", text("CHARGINGACTIVE"), "", "", false},
		"enum outside the catalogue":               {status, `"BRAND_NEW"`, "", text("BRAND_NEW"), "", "", false},
		"text is left as it is":                    {status, `" A\u200bB "`, "", text(" A\u200bB "), "", "", false},
		"escapes":                                  {status, `"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude97"`, "", text("a\"\\/\b\f\n\r\té🚗"), "", "", false},
		"number of a text":                         {status, `23`, "", text("23"), "", "", false},
		"quoted number of a text":                  {status, `"23"`, "", text("23"), "", "", false},
		"literal of a text":                        {status, `1.50e1`, "", text("1.50e1"), "", "", false},
		"bool of a text":                           {status, `true`, "", text("true"), "", "", false},
		"array of a text":                          {status, `[ 1 , "a b" ]`, "", text(`[1,"a b"]`), "", "", false},
		"JSON false":                               {trunk, `false`, "", boolean(false), "", "", false},
		"catalogue word":                           {trunk, `"CLOSED"`, "", boolean(false), "", "CLOSED", false},
		"catalogue word in other case":             {trunk, `"open"`, "", boolean(true), "", "open", false},
		"OPEN where the catalogue says true|false": {flapOpen, `"CLOSED"`, "", boolean(false), "", "CLOSED", false},
		"ASN in any case":                          {"vehicle.isMoving", `"asn_ISTRUE"`, "", boolean(true), "", "asn_ISTRUE", false},
		"quoted true is no change":                 {flapOpen, `"true"`, "", boolean(true), "", "", false},
		"1 of a bool keeps raw":                    {flapOpen, `1`, "", boolean(true), "", "1", false},
		"quoted 0 of a bool":                       {flapOpen, `"0"`, "", boolean(false), "", "0", false},
		"2 of a bool":                              {flapOpen, `2`, "", text("2"), "", "", true},
		"word of another question":                 {locked, `"OPEN"`, "", text("OPEN"), "", "", true},
		"array of a bool":                          {trunk, `[true]`, "", text("[true]"), "", "", true},
		"three words are text":                     {three, `"FLAP_LOCKED"`, "", text("FLAP_LOCKED"), "", "", false},
		"three words, JSON bool":                   {three, `true`, "", text("true"), "", "", false},
		"null":                                     {soc, `null`, "percent", null, "%", "", false},
		"null of miles":                            {mileage, `null`, "miles", null, "km", "", false},
		"sentinel of a number":                     {pressure, `"-NA-"`, "kPa", null, "kPa", "-NA-", false},
		"sentinel without unit":                    {pressure, `"-na-"`, "", null, "kPa", "-na-", false},
		"sentinel of a bool":                       {trunk, `"INVALID"`, "", null, "", "INVALID", false},
		"ASN_isUnknown":                            {"vehicle.isMoving", `"ASN_isUnknown"`, "", null, "", "ASN_isUnknown", false},
		"sentinel in the enum of a text":           {port, `"Invalid"`, "", null, "", "Invalid", false},
		"sentinel of an unknown descriptor":        {unknown, `"unknown"`, "", null, "", "unknown", false},
		"sentinel with space":                      {pressure, `" -NA-\u00a0"`, "kPa", null, "kPa", " -NA-\u00a0", false},
		"empty text":                               {status, `""`, "", null, "", "", false},
		"blank text":                               {status, `"  "`, "", null, "", "  ", false},
		"blank type, number":                       {blank, `80`, "%", number(80), "%", "", false},
		"blank type, quoted number":                {blank, `"80"`, "%", number(80), "%", "", false},
		"blank type, text":                         {blank, `"FULL"`, "", text("FULL"), "", "", false},
		"blank type, bool":                         {"vehicle.sim.status", `true`, "", boolean(true), "", "", false},
		"blank type, bool by REST":                 {"vehicle.sim.status", `"true"`, "", boolean(true), "", "", false},
		"blank type, array":                        {cbs, `[ {"id": 2} ]`, "", text(`[{"id":2}]`), "", "", false},
		"unknown, number":                          {unknown, `1.5`, "furlong", number(1.5), "furlong", "", false},
		"unknown, number too big":                  {unknown, `1e999`, "", text("1e999"), "", "", false},
		"unknown, text":                            {unknown, `"abc"`, "", text("abc"), "", "", false},
		"unknown, object":                          {unknown, `{"a":null}`, "", text(`{"a":null}`), "", "", false},
		"door status as object":                    {"vehicle.cabin.door.status", `{"allDoorsLocked":"ASN_isTrue"}`, "", text(`{"allDoorsLocked":"ASN_isTrue"}`), "", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := stream(streamPayload(streamPoint(tt.descriptor, tt.value, tt.unit)))
			if len(res.Readings) != 1 || len(res.Faults) != 0 || len(res.Skipped) != 0 {
				t.Fatalf("readings %v, faults %v, skipped %v, want one reading", res.Readings, res.Faults, res.Skipped)
			}
			want := schema.Reading{
				VIN: testVIN, Descriptor: schema.Descriptor(tt.descriptor), Time: measured, Value: tt.want, Unit: tt.wantUnit, Raw: tt.wantRaw,
				Source: schema.SourceStream, Sent: time.Date(2026, 3, 14, 7, 2, 11, 418e6, time.UTC), Received: received, GCID: testGCID,
			}
			if got := res.Readings[0]; got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if misfit := res.Misfits == 1; misfit != tt.misfit {
				t.Errorf("misfits %d, want %t", res.Misfits, tt.misfit)
			}
			if f := res.Readings[0].Value.Number; math.Signbit(f) && f == 0 {
				t.Error("negative zero")
			}
		})
	}
}

func TestStreamTimes(t *testing.T) {
	utc := func(s string) time.Time {
		got, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return got.UTC()
	}
	tests := map[string]struct {
		timestamp string // JSON
		want      time.Time
		reason    schema.Reason
	}{
		"seconds":                      {`"2026-03-14T07:02:09Z"`, utc("2026-03-14T07:02:09Z"), ""},
		"milliseconds":                 {`"2026-03-14T07:02:09.418Z"`, utc("2026-03-14T07:02:09.418Z"), ""},
		"more than nanoseconds":        {`"2026-03-14T07:02:09.1234567899Z"`, utc("2026-03-14T07:02:09.123456789Z"), ""},
		"offset":                       {`"2026-03-14T08:02:09+01:00"`, utc("2026-03-14T07:02:09Z"), ""},
		"negative offset":              {`"2026-03-14T01:32:09-05:30"`, utc("2026-03-14T07:02:09Z"), ""},
		"offset without colon":         {`"2026-03-14T07:02:09.000+0000"`, utc("2026-03-14T07:02:09Z"), ""},
		"no offset is UTC":             {`"2026-03-14T07:02:09"`, utc("2026-03-14T07:02:09Z"), ""},
		"escaped":                      {`"2026-03-14T07:02:09\u005a"`, utc("2026-03-14T07:02:09Z"), ""},
		"leap day":                     {`"2024-02-29T00:00:00Z"`, utc("2024-02-29T00:00:00Z"), ""},
		"first moment of 2000":         {`"2000-01-01T00:00:00Z"`, utc("2000-01-01T00:00:00Z"), ""},
		"a day ahead":                  {`"2026-03-16T00:00:00Z"`, utc("2026-03-16T00:00:00Z"), ""},
		"more than a day ahead":        {`"2026-03-16T00:00:01Z"`, time.Time{}, schema.ReasonTimeOutOfRange},
		"1999":                         {`"1999-12-31T23:59:59Z"`, time.Time{}, schema.ReasonTimeOutOfRange},
		"1970":                         {`"1970-01-01T00:00:00Z"`, time.Time{}, schema.ReasonTimeOutOfRange},
		"2099":                         {`"2099-01-01T00:00:00Z"`, time.Time{}, schema.ReasonTimeOutOfRange},
		"no such day":                  {`"2026-02-29T00:00:00Z"`, time.Time{}, schema.ReasonTimeInvalid},
		"month 13":                     {`"2026-13-01T00:00:00Z"`, time.Time{}, schema.ReasonTimeInvalid},
		"hour 24":                      {`"2026-03-14T24:00:00Z"`, time.Time{}, schema.ReasonTimeInvalid},
		"epoch seconds":                {`1773471729`, time.Time{}, schema.ReasonTimeInvalid},
		"epoch as text":                {`"1773471729"`, time.Time{}, schema.ReasonTimeInvalid},
		"German date":                  {`"14.03.2026 07:02:09 UTC"`, time.Time{}, schema.ReasonTimeInvalid},
		"fraction without digits":      {`"2026-03-14T07:02:09.Z"`, time.Time{}, schema.ReasonTimeInvalid},
		"broken offset":                {`"2026-03-14T07:02:09+1"`, time.Time{}, schema.ReasonTimeInvalid},
		"rubbish behind":               {`"2026-03-14T07:02:09Zx"`, time.Time{}, schema.ReasonTimeInvalid},
		"year 10000 by its offset":     {`"9999-12-31T23:59:59-01:00"`, time.Time{}, schema.ReasonTimeInvalid},
		"object":                       {`{"a":1}`, time.Time{}, schema.ReasonTimeInvalid},
		"null":                         {`null`, time.Time{}, schema.ReasonTimeMissing},
		"empty":                        {`""`, time.Time{}, schema.ReasonTimeMissing},
		"a member twice, the last one": {`"bad","timestamp":"2026-03-14T07:02:09Z"`, utc("2026-03-14T07:02:09Z"), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := stream(streamPayload(`"` + mileage + `":{"timestamp":` + tt.timestamp + `,"value":1,"unit":"km"}`))
			if tt.reason == "" {
				if len(res.Readings) != 1 || res.Readings[0].Time != tt.want {
					t.Fatalf("got %v, faults %v, want %v", res.Readings, res.Faults, tt.want)
				}
				return
			}
			if len(res.Readings) != 0 || len(res.Faults) != 1 || res.Faults[0].Reason != tt.reason || res.Faults[0].Descriptor != mileage {
				t.Errorf("readings %v, faults %v, want %s", res.Readings, res.Faults, tt.reason)
			}
		})
	}
}
