package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	update   = flag.Bool("update", false, "rewrite golden files")
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

func TestWholeMessageFaults(t *testing.T) {
	good := streamPoint(mileage, "1", "km")
	tests := map[string]struct {
		payload string
		reason  schema.Reason
	}{
		"nothing":                    {"", schema.ReasonInvalidJSON},
		"blank":                      {" \n", schema.ReasonInvalidJSON},
		"not JSON":                   {"hello", schema.ReasonInvalidJSON},
		"torn":                       {streamPayload(good)[:150], schema.ReasonInvalidJSON},
		"torn in the last byte":      {strings.TrimSuffix(streamPayload(good), "}"), schema.ReasonInvalidJSON},
		"more behind":                {streamPayload(good) + "x", schema.ReasonInvalidJSON},
		"two objects":                {streamPayload(good) + streamPayload(good), schema.ReasonInvalidJSON},
		"trailing comma":             {streamPayload(good + ","), schema.ReasonInvalidJSON},
		"single quotes":              {strings.ReplaceAll(streamPayload(good), `"`, `'`), schema.ReasonInvalidJSON},
		"NaN":                        {streamPayload(streamPoint(mileage, "NaN", "km")), schema.ReasonInvalidJSON},
		"leading zero":               {streamPayload(streamPoint(mileage, "01", "km")), schema.ReasonInvalidJSON},
		"bare dot":                   {streamPayload(streamPoint(mileage, ".5", "km")), schema.ReasonInvalidJSON},
		"control character in text":  {streamPayload(streamPoint(mileage, "\"a\nb\"", "km")), schema.ReasonInvalidJSON},
		"unknown escape":             {streamPayload(streamPoint(mileage, `"\x41"`, "km")), schema.ReasonInvalidJSON},
		"byte order mark":            {"\ufeff" + streamPayload(good), schema.ReasonInvalidJSON},
		"invalid UTF-8 in a value":   {streamPayload(streamPoint(mileage, "\"\xff\"", "km")), schema.ReasonInvalidUTF8},
		"invalid UTF-8 in a name":    {streamPayload("\"\xc3\x28\":{}"), schema.ReasonInvalidUTF8},
		"overlong UTF-8":             {streamPayload(streamPoint(mileage, "\"\xc0\x80\"", "km")), schema.ReasonInvalidUTF8},
		"surrogate in UTF-8":         {streamPayload(streamPoint(mileage, "\"\xed\xa0\x80\"", "km")), schema.ReasonInvalidUTF8},
		"half a surrogate pair":      {streamPayload(streamPoint(mileage, `"\ud83d"`, "km")), schema.ReasonInvalidUTF8},
		"deep arrays":                {streamPayload(streamPoint(mileage, strings.Repeat("[", 100)+strings.Repeat("]", 100), "km")), schema.ReasonTooDeep},
		"deep objects":               {strings.Repeat(`{"a":`, 100_000), schema.ReasonTooDeep},
		"array":                      {"[" + streamPayload(good) + "]", schema.ReasonNotAnObject},
		"text":                       {`"x"`, schema.ReasonNotAnObject},
		"null payload":               {"null", schema.ReasonNotAnObject},
		"data is an array":           {`{"vin":"WBY00000000000001","data":[]}`, schema.ReasonNotAnObject},
		"data is missing":            {`{"vin":"WBY00000000000001"}`, schema.ReasonNoData},
		"data is null":               {`{"vin":"WBY00000000000001","data":null}`, schema.ReasonNoData},
		"data is empty":              {streamPayload(""), schema.ReasonNoData},
		"other vehicle":              {strings.Replace(streamPayload(good), "WBY00000000000001", "WBY00000000000002", 1), schema.ReasonVINMismatch},
		"other account":              {strings.Replace(streamPayload(good), `-000000000001"`, `-000000000002"`, 1), schema.ReasonGCIDMismatch},
		"vin is no vin":              {strings.Replace(streamPayload(good), "WBY00000000000001", "wby00000000000001", 1), schema.ReasonInvalidVIN},
		"vin is a number":            {`{"vin":1,"data":{` + good + `}}`, schema.ReasonInvalidVIN},
		"vin is empty":               {`{"vin":"","data":{` + good + `}}`, schema.ReasonInvalidVIN},
		"entityId is no id":          {`{"entityId":"me","data":{` + good + `}}`, schema.ReasonInvalidGCID},
		"broken behind good points":  {streamPayload(good + `,"b":{"value":tru}`), schema.ReasonInvalidJSON},
		"error body in place of one": {`{"exveErrorId":"CU-429"}`, schema.ReasonNoData},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := stream(tt.payload)
			if len(res.Readings) != 0 || len(res.Skipped) != 0 || len(res.Faults) != 1 {
				t.Fatalf("readings %v, skipped %v, faults %v, want one fault alone", res.Readings, res.Skipped, res.Faults)
			}
			f := res.Faults[0]
			if f.Reason != tt.reason || f.Descriptor != "" || f.Text == "" {
				t.Errorf("fault %+v, want %s for the whole message, with a text", f, tt.reason)
			}
			if strings.Contains(f.Text, "WBY0") || strings.Contains(f.Text, "00000000-0000") {
				t.Errorf("the text names an identity: %q", f.Text)
			}
			if !slices.Contains(schema.Reasons(), f.Reason) {
				t.Errorf("Reasons() lacks %s", f.Reason)
			}
		})
	}
}

func TestIdentityWithoutTopic(t *testing.T) {
	n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
	in := input(streamPayload(streamPoint(mileage, "1", "km")))
	in.VIN, in.GCID = "", ""
	if n.Stream(res, in); len(res.Readings) != 1 || res.Readings[0].VIN != testVIN || res.Readings[0].GCID != testGCID {
		t.Errorf("identity of the body: %v %v", res.Readings, res.Faults)
	}
	in.Payload = []byte(`{"data":{` + streamPoint(mileage, "1", "km") + `}}`)
	if n.Stream(res, in); len(res.Faults) != 1 || res.Faults[0].Reason != schema.ReasonInvalidVIN {
		t.Errorf("no identity at all: %v %v", res.Readings, res.Faults)
	}
	in.VIN = "not a vin"
	if n.Stream(res, in); len(res.Faults) != 1 || res.Faults[0].Reason != schema.ReasonInvalidVIN {
		t.Errorf("topic without vin: %v %v", res.Readings, res.Faults)
	}
	in.VIN, in.GCID = testVIN, "x"
	if n.Stream(res, in); len(res.Faults) != 1 || res.Faults[0].Reason != schema.ReasonInvalidGCID {
		t.Errorf("topic without account: %v %v", res.Readings, res.Faults)
	}
	in.GCID = testGCID
	if n.Stream(res, in); len(res.Readings) != 1 || res.Readings[0].VIN != testVIN || res.Readings[0].GCID != testGCID {
		t.Errorf("identity of the topic: %v %v", res.Readings, res.Faults)
	}
}

func TestPointFaultsLeaveTheOthers(t *testing.T) {
	long := strings.Repeat("x", schema.MaxTextBytes)
	tests := map[string]struct {
		point  string
		reason schema.Reason
		about  schema.Descriptor
	}{
		"value without time":        {`"a.b":{"value":1}`, schema.ReasonTimeMissing, "a.b"},
		"no time, null":             {`"a.b":{"value":"x","timestamp":null}`, schema.ReasonTimeMissing, "a.b"},
		"point is a number":         {`"a.b":1`, schema.ReasonInvalidPoint, "a.b"},
		"point is null":             {`"a.b":null`, schema.ReasonInvalidPoint, "a.b"},
		"point is an array":         {`"a.b":[]`, schema.ReasonInvalidPoint, "a.b"},
		"unit is a number":          {`"a.b":{"timestamp":"2026-03-14T07:02:09Z","value":1,"unit":3}`, schema.ReasonInvalidPoint, "a.b"},
		"unit is long":              {`"a.b":{"timestamp":"2026-03-14T07:02:09Z","value":1,"unit":"` + long + `"}`, schema.ReasonInvalidPoint, "a.b"},
		"no descriptor":             {streamPoint("", "1", ""), schema.ReasonInvalidDescriptor, ""},
		"invisible descriptor":      {streamPoint("\u200b \ufeff", "1", ""), schema.ReasonInvalidDescriptor, ""},
		"long descriptor":           {streamPoint(strings.Repeat("d", 257), "1", ""), schema.ReasonInvalidDescriptor, ""},
		"descriptor of 1 MiB":       {streamPoint(strings.Repeat("d", 1<<20), "1", ""), schema.ReasonInvalidDescriptor, ""},
		"text too long":             {streamPoint("a.b", `"`+long+`y"`, ""), schema.ReasonTextTooLong, "a.b"},
		"text of 1 MiB":             {streamPoint("a.b", `"`+strings.Repeat(`\u00e9`, 1<<19)+`"`, ""), schema.ReasonTextTooLong, "a.b"},
		"number of 1 MiB":           {streamPoint(mileage, strings.Repeat("9", 1<<20), ""), schema.ReasonTextTooLong, mileage},
		"array of 1 MiB":            {streamPoint("a.b", "["+strings.Repeat("1,", 1<<19)+"1]", ""), schema.ReasonTextTooLong, "a.b"},
		"time of 1 MiB":             {`"a.b":{"timestamp":"` + long + `","value":1}`, schema.ReasonTimeInvalid, "a.b"},
		"time broken, value null":   {`"a.b":{"timestamp":"x","value":null}`, schema.ReasonTimeInvalid, "a.b"},
		"too far in the past, null": {`"a.b":{"timestamp":"1970-01-01T00:00:00Z","value":null}`, schema.ReasonTimeOutOfRange, "a.b"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := stream(streamPayload(streamPoint(mileage, "1", "km") + "," + tt.point + "," + streamPoint("z", "2", "")))
			if len(res.Readings) != 2 || res.Readings[0].Value != number(1) || res.Readings[1].Value != number(2) {
				t.Errorf("readings %v, want the two good ones", res.Readings)
			}
			if len(res.Faults) != 1 || res.Faults[0].Reason != tt.reason || res.Faults[0].Descriptor != tt.about {
				t.Fatalf("faults %.300v, want %s about %q", res.Faults, tt.reason, tt.about)
			}
			if f := res.Faults[0]; len(f.Text) > 200 || f.Text == "" {
				t.Errorf("text %q: want a short one", f.Text)
			}
		})
	}
	t.Run("the longest text passes", func(t *testing.T) {
		if r := normalizeOne(t, "a.b", `"`+long+`"`, ""); len(r.Value.Text) != schema.MaxTextBytes {
			t.Errorf("%d bytes", len(r.Value.Text))
		}
	})
	t.Run("the deepest value passes", func(t *testing.T) {
		deep := strings.Repeat("[", schema.MaxDepth-3) + strings.Repeat("]", schema.MaxDepth-3)
		if r := normalizeOne(t, "a.b", deep, ""); r.Value != text(deep) {
			t.Errorf("%+v", r.Value)
		}
	})
}

func TestShapeOfMessages(t *testing.T) {
	t.Run("forty descriptors", func(t *testing.T) {
		var points []string
		for i := range 40 {
			points = append(points, streamPoint(fmt.Sprintf("vehicle.n%02d", i), fmt.Sprint(i), ""))
		}
		res := stream(streamPayload(strings.Join(points, ",")))
		if len(res.Readings) != 40 || res.Readings[39].Value != number(39) || len(res.Faults) != 0 {
			t.Errorf("%d readings, faults %v", len(res.Readings), res.Faults)
		}
	})
	t.Run("a descriptor twice gives both in order", func(t *testing.T) {
		res := stream(streamPayload(streamPoint(mileage, "1", "km") + "," + streamPoint(mileage, "2", "km")))
		if len(res.Readings) != 2 || res.Readings[0].Value != number(1) || res.Readings[1].Value != number(2) {
			t.Errorf("%v", res.Readings)
		}
	})
	t.Run("of a member twice the last counts", func(t *testing.T) {
		r := normalizeOne(t, mileage, `1,"value":2,"unit":"percent"`, "km")
		if r.Value != number(2) || r.Unit != "km" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("data twice gives both", func(t *testing.T) {
		res := stream(`{"data":{` + streamPoint("a", "1", "") + `},"data":{` + streamPoint("b", "2", "") + `}}`)
		if len(res.Readings) != 2 {
			t.Errorf("%v %v", res.Readings, res.Faults)
		}
	})
	t.Run("identity and envelope time behind the data", func(t *testing.T) {
		res := stream(`{"data":{` + streamPoint("a", "1", "") + `},"timestamp":"2026-03-14T07:02:11Z","vin":"` + string(testVIN) + `"}`)
		if len(res.Readings) != 1 || res.Readings[0].VIN != testVIN || res.Readings[0].Sent.Second() != 11 {
			t.Errorf("%v %v", res.Readings, res.Faults)
		}
	})
	t.Run("broken envelope time is no fault", func(t *testing.T) {
		for _, ts := range []string{`"x"`, `12`, `null`, `{}`} {
			res := stream(`{"timestamp":` + ts + `,"data":{` + streamPoint("a", "1", "") + `}}`)
			if len(res.Readings) != 1 || !res.Readings[0].Sent.IsZero() {
				t.Errorf("%s: %v %v", ts, res.Readings, res.Faults)
			}
		}
	})
	t.Run("white space", func(t *testing.T) {
		var indented bytes.Buffer
		if err := json.Indent(&indented, []byte(streamPayload(streamPoint(mileage, "1", "km"))), "", "\t"); err != nil {
			t.Fatal(err)
		}
		if res := stream(" \r\n" + indented.String() + "\n\n"); len(res.Readings) != 1 {
			t.Errorf("%v %v", res.Readings, res.Faults)
		}
	})
	t.Run("escaped names", func(t *testing.T) {
		res := stream(`{"d\u0061ta":{"vehicle.vehicle.travelled\u0044istance":{"\u0074imestamp":"2026-03-14T07:02:09Z","v\u0061lue":"\u0031","unit":"\u006bm"}}}`)
		if len(res.Readings) != 1 || res.Readings[0].Value != number(1) || res.Readings[0].Unit != "km" || res.Readings[0].Descriptor != mileage {
			t.Errorf("%v %v", res.Readings, res.Faults)
		}
	})
	t.Run("invisible characters in a descriptor", func(t *testing.T) {
		for _, d := range []string{"vehicle.\u200bvehicle.travelledDistance", "\ufeff" + mileage + "\u00a0", " " + mileage + "\t", "vehicle.vehicle\u200d.travelled\u2060Distance"} {
			if r := normalizeOne(t, d, "1", "km"); r.Descriptor != mileage {
				t.Errorf("%q becomes %q", d, r.Descriptor)
			}
		}
		if r := normalizeOne(t, "vehicle.new\u200b.key", "1", ""); r.Descriptor != "vehicle.new.key" {
			t.Errorf("unknown descriptor %q", r.Descriptor)
		}
	})
	t.Run("never reported is skipped", func(t *testing.T) {
		res := stream(streamPayload(`"a":{"timestamp":null,"unit":"km","value":null},"b":{},"c":{"value":null},` + streamPoint("d", "null", "")))
		if !slices.Equal(res.Skipped, []schema.Descriptor{"a", "b", "c"}) || len(res.Readings) != 1 || len(res.Faults) != 0 {
			t.Errorf("skipped %v, readings %v, faults %v", res.Skipped, res.Readings, res.Faults)
		}
	})
	t.Run("nothing is left of the message before", func(t *testing.T) {
		n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
		n.Stream(res, input(streamPayload(streamPoint(mileage, `"x"`, "km")+`,"b":{},"c":1`)))
		n.Stream(res, input(streamPayload(streamPoint("a", "1", ""))))
		if len(res.Readings) != 1 || len(res.Skipped) != 0 || len(res.Faults) != 0 || res.Misfits != 0 || res.Readings[0].Unit != "" {
			t.Errorf("%+v", res)
		}
	})
	t.Run("readings share nothing with the payload", func(t *testing.T) {
		n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
		in := input(streamPayload(streamPoint("my.key", `"some \"text\""`, "my unit") + "," + streamPoint(mileage, `"5"`, "miles")))
		n.Stream(res, in)
		kept := slices.Clone(res.Readings)
		for i := range in.Payload {
			in.Payload[i] = '#'
		}
		n.Stream(res, input(streamPayload(streamPoint("other.key", `"other \"words\" here"`, "other")+","+streamPoint(mileage, `"777"`, "miles"))))
		if kept[0].Descriptor != "my.key" || kept[0].Value.Text != `some "text"` || kept[0].Unit != "my unit" || kept[1].Raw != "5 miles" {
			t.Errorf("%+v", kept)
		}
	})
	t.Run("many unlike values keep memory bounded", func(t *testing.T) {
		n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
		for i := range 20_000 {
			n.Stream(res, input(streamPayload(streamPoint(fmt.Sprintf("key.%d", i), fmt.Sprintf(`"text %d"`, i), fmt.Sprintf("u%d", i)))))
			if r := res.Readings[0]; r.Value.Text != fmt.Sprintf("text %d", i) || r.Unit != fmt.Sprintf("u%d", i) {
				t.Fatalf("%d: %+v", i, r)
			}
		}
	})
}

// TestBothFormsOfEachDescriptor sends every descriptor of the catalogue as the
// stream does, typed and without unit, and as REST does, all strings.
func TestBothFormsOfEachDescriptor(t *testing.T) {
	n := schema.NewNormalizer(schema.Default())
	res, pairs := new(schema.Result), 0
	for e := range schema.Default().All() {
		values := []struct{ stream, rest string }{{"null", "null"}, {`"INVALID"`, `"INVALID"`}, {`"-NA-"`, `"-NA-"`}}
		if e.Type != schema.TypeText {
			values = append(values, struct{ stream, rest string }{`"NEW_WORD"`, `"NEW_WORD"`})
		}
		switch e.Type {
		case schema.TypeNumber, schema.TypeUnknown, schema.TypeText:
			for _, v := range []string{"0", "-1", "42", "78.5", "1.25e2", "48.100012", "true"} {
				values = append(values, struct{ stream, rest string }{v, `"` + v + `"`})
			}
		case schema.TypeBool:
			values = append(values, []struct{ stream, rest string }{
				{"true", `"` + e.TrueWord + `"`},
				{"false", `"` + e.FalseWord + `"`},
				{"true", `"true"`},
				{"false", `"false"`},
				{`"ASN_isTrue"`, `"` + e.TrueWord + `"`},
				{"1", `"1"`},
			}...)
			if strings.HasSuffix(string(e.Descriptor), ".isOpen") {
				values = append(values, struct{ stream, rest string }{"false", `"CLOSED"`}, struct{ stream, rest string }{"true", `"OPEN"`})
			}
		}
		for _, w := range e.Words {
			values = append(values, struct{ stream, rest string }{`"` + w + `"`, `"` + w + `"`})
		}
		units := []string{"", e.Unit}
		if e.Unit == "km" {
			units = append(units, "miles")
		}
		for _, v := range values {
			for _, unit := range units {
				n.Stream(res, input(streamPayload(streamPoint(string(e.Descriptor), v.stream, unit))))
				fromStream := res.Readings[0]
				rest := "null"
				if unit != "" {
					rest = `"` + unit + `"`
				}
				in := input(`{"telematicData":{"` + string(e.Descriptor) + `":{"timestamp":"2026-03-14T07:02:09.000Z","unit":` + rest + `,"value":` + v.rest + `}}}`)
				in.Source = schema.SourceREST
				n.Telematic(res, in)
				if len(res.Readings) != 1 {
					t.Fatalf("%s %s: %v", e.Descriptor, v.rest, res.Faults)
				}
				fromREST := res.Readings[0]
				fromREST.Source, fromREST.Sent, fromREST.Raw, fromStream.Raw = fromStream.Source, fromStream.Sent, "", ""
				if fromREST != fromStream {
					t.Errorf("%s unit %q: stream %s gives %+v, REST %s gives %+v", e.Descriptor, unit, v.stream, fromStream, v.rest, fromREST)
				}
				pairs++
			}
		}
	}
	if pairs < 3000 {
		t.Errorf("only %d pairs", pairs)
	}
}

// describe gives a result as the golden files hold it.
func describe(res *schema.Result) string {
	var b strings.Builder
	for i := range res.Readings {
		fmt.Fprintf(&b, "  reading %s\n", schema.AppendReading(nil, &res.Readings[i]))
	}
	for _, d := range res.Skipped {
		fmt.Fprintf(&b, "  skipped %s\n", d)
	}
	for _, f := range res.Faults {
		fmt.Fprintf(&b, "  fault %s %s: %s\n", f.Reason, f.Descriptor, f.Text)
	}
	return b.String()
}

func TestSamples(t *testing.T) {
	n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
	for _, kind := range []string{"stream", "telematic"} {
		t.Run(kind, func(t *testing.T) {
			var got strings.Builder
			for _, name := range samples(t, kind) {
				payload, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				in := schema.Input{Received: received, Payload: payload}
				if kind == "stream" {
					n.Stream(res, in)
				} else {
					in.VIN, in.GCID = testVIN, testGCID
					n.Telematic(res, in)
				}
				fmt.Fprintf(&got, "%s, misfits %d\n%s", filepath.Base(name), res.Misfits, describe(res))
			}
			golden := filepath.Join("testdata", kind+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("differs from %s (rewrite with -update):\n%s", golden, got.String())
			}
		})
	}
}

func TestNormalizeDoesNotAllocate(t *testing.T) {
	mix := payloadMix(t)
	n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
	var buf []byte
	run := func() {
		for _, p := range mix {
			n.Stream(res, schema.Input{Received: received, Source: schema.SourceStream, Payload: p})
			for i := range res.Readings {
				buf = schema.AppendReading(buf[:0], &res.Readings[i])
			}
		}
	}
	run()
	if allocs := testing.AllocsPerRun(100, run); allocs != 0 {
		t.Errorf("%v allocations for %d payloads, want 0", allocs, len(mix))
	}
}
