package rest

import (
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func decodeSessions(t *testing.T, body string) ChargingPage {
	t.Helper()
	page, err := DecodeSessions([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestSessionsOfTheHistory(t *testing.T) {
	page := decodeSessions(t, sample(t, "chargingHistory-200-page1.json"))
	if len(page.Sessions) != 4 || page.Next == "" || len(page.Problems)+len(page.Rejected) != 0 {
		t.Fatalf("%d sessions, next %q, problems %v", len(page.Sessions), page.Next, page.Problems)
	}
	running, done, public := page.Sessions[0], page.Sessions[1], page.Sessions[2]
	if !running.End.IsZero() || running.GridKWh != nil || !running.Start.Equal(time.Unix(1773603662, 0)) {
		t.Errorf("running session = %+v", running)
	}
	if !done.End.Equal(time.Unix(1773521562, 0)) || val(done.GridKWh) != 18.34000015258789 || val(done.StartSOC) != 55.0 ||
		val(done.EndSOC) != 80.0 || val(done.ChargingSeconds) != 7840.0 || val(done.Preconditioning) != true ||
		val(done.MileageKm()) != 23456.0 || done.TimeZone != "Europe/Berlin" || done.Start.Location() != time.UTC {
		t.Errorf("session = %+v", done)
	}
	if len(done.Blocks) != 3 || val(done.Blocks[1].AverageGridKW) != 10.8 || !done.Blocks[1].End.Equal(time.Unix(1773520562, 0)) {
		t.Errorf("blocks = %+v", done.Blocks)
	}
	if done.Place.Municipality != "Sampletown" || val(done.Place.Latitude) != 48.1001 || done.Public != nil {
		t.Errorf("place = %+v", done.Place)
	}
	if len(public.Public) == 0 || public.Public[0].Provider == "" || public.Errors[0].Hint != "SYNTHETIC_HINT" ||
		!public.Errors[0].Time.Equal(time.Date(2026, 3, 14, 18, 41, 2, 0, time.UTC)) {
		t.Errorf("public session = %+v", public)
	}
	if !json.Valid(done.Raw) || !strings.Contains(string(done.Raw), "1773513662") {
		t.Errorf("raw = %s", done.Raw)
	}
}

func TestOtherPagesOfTheHistory(t *testing.T) {
	last := decodeSessions(t, sample(t, "chargingHistory-200-page2-last.json"))
	if s := last.Sessions[0]; last.Next != "" || s.MileageUnit != "mi" || val(s.BatteryDecreaseKWh) != 1.2 ||
		math.Abs(val(s.MileageKm()).(float64)-23456.19) > 0.01 {
		t.Errorf("last page = %+v", last)
	}
	if empty := decodeSessions(t, sample(t, "chargingHistory-200-empty.json")); len(empty.Sessions)+len(empty.Problems) != 0 {
		t.Errorf("empty page = %+v", empty)
	}
	old := decodeSessions(t, sample(t, "chargingHistory-200-2025-with-cost.json")).Sessions[0]
	if old.Cost == nil || old.Cost.Currency != "EUR" || val(old.Cost.Calculated) != 6.89 || val(old.Cost.Savings) != 0.0 {
		t.Errorf("cost = %+v", old.Cost)
	}
}

func TestArchiveOfSessionsHasTheSameIdentities(t *testing.T) {
	page := decodeSessions(t, sample(t, "chargingHistory-200-page1.json"))
	var data struct{ Data json.RawMessage }
	if err := json.Unmarshal(page.Raw, &data); err != nil {
		t.Fatal(err)
	}
	archive := decodeSessions(t, "\ufeff"+strings.Replace(string(data.Data), `"startTime": 1773513662,
      "endTime"`, `"energyIncreaseHvbKwh": 16.5, "startTime": "2026-03-14T18:41:02.418Z",
      "endTime"`, 1))
	if len(archive.Sessions) != len(page.Sessions) || archive.Next != "" {
		t.Fatalf("archive = %+v", archive)
	}
	for i, s := range archive.Sessions {
		if !s.Start.Equal(page.Sessions[i].Start) {
			t.Errorf("session %d starts %s in the archive, %s in the history", i, s.Start, page.Sessions[i].Start)
		}
	}
	if val(archive.Sessions[1].BatteryIncreaseKWh) != 16.5 {
		t.Errorf("battery side = %v", val(archive.Sessions[1].BatteryIncreaseKWh))
	}
}

// TestAWrongFieldLosesNothingElse puts each form of JSON in place of each field
// of a session.
func TestAWrongFieldLosesNothingElse(t *testing.T) {
	var data struct{ Data []map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(sample(t, "chargingHistory-200-page1.json")), &data); err != nil {
		t.Fatal(err)
	}
	good := data.Data[2] // the one with every field
	for field := range good {
		for _, wrong := range []string{`null`, `true`, `-1e400`, `"nonsense"`, `{"a":[1]}`, `[[1],{"startTime":{}}]`, `1e300`, `"\ud800"`, `[null]`} {
			bad := maps.Clone(good)
			bad[field] = json.RawMessage(wrong)
			body, err := json.Marshal(map[string]any{"data": []any{bad, good}})
			if err != nil {
				t.Fatal(err)
			}
			page := decodeSessions(t, string(body))
			if field == "startTime" {
				if len(page.Sessions) != 1 || len(page.Rejected) != 1 || len(page.Problems) == 0 {
					t.Errorf("startTime %s: %d sessions, %d rejected, problems %v", wrong, len(page.Sessions), len(page.Rejected), page.Problems)
				}
				continue
			}
			if len(page.Sessions) != 2 {
				t.Errorf("%s = %s: %d sessions, problems %v", field, wrong, len(page.Sessions), page.Problems)
				continue
			}
			checkOthers(t, field, wrong, &page.Sessions[0], &page.Sessions[1])
		}
	}
}

func checkOthers(t *testing.T, field, wrong string, bad, good *ChargingSession) {
	t.Helper()
	if field != "displayedSoc" && val(bad.EndSOC) != val(good.EndSOC) || field != "mileage" && val(bad.Mileage) != val(good.Mileage) ||
		field != "chargingBlocks" && len(bad.Blocks) != len(good.Blocks) || field != "endTime" && !bad.End.Equal(good.End) ||
		field != "timeZone" && bad.TimeZone != good.TimeZone || field != "chargingLocation" && *bad.Place.Latitude != *good.Place.Latitude ||
		!bad.Start.Equal(good.Start) {
		t.Errorf("%s = %s changed other fields: %+v", field, wrong, bad)
	}
	if strings.HasPrefix(wrong, "{") && field != "chargingBlocks" && field != "businessErrors" && field != "chargingLocation" && field != "publicChargingPoint" && len(bad.Problems) == 0 {
		t.Errorf("%s = %s is not noted", field, wrong)
	}
	for _, p := range bad.Problems {
		if strings.Contains(p, "nonsense") {
			t.Errorf("problem %q repeats the value", p)
		}
	}
}

func TestFormsOfFields(t *testing.T) {
	one := func(members string) ChargingSession {
		t.Helper()
		page := decodeSessions(t, `[{"startTime":1773513662,`+members+`}]`)
		return page.Sessions[0]
	}
	s := one(`"endTime":"1773521562","displayedSoc":"80.0","isPreconditioningActivated":"ASN_isTrue","mileage":"23456","mileageUnits":"MileageUnits.KM","timeZone":1`)
	if !s.End.Equal(time.Unix(1773521562, 0)) || val(s.EndSOC) != 80.0 || val(s.Preconditioning) != true || val(s.MileageKm()) != 23456.0 || s.TimeZone != "1" {
		t.Errorf("quoted fields = %+v", s)
	}
	s = one(`"endTime":1773521562000,"displayedSoc":"-NA-","isPreconditioningActivated":"","mileage":-1,"mileageUnits":"FURLONG"`)
	if !s.End.Equal(time.Unix(1773521562, 0)) || s.EndSOC != nil || s.Preconditioning != nil || s.Mileage != nil || s.MileageUnit != "FURLONG" {
		t.Errorf("fields without value = %+v", s)
	}
	if s = one(`"endTime":1673521562,"chargingBlocks":{"startTime":1773513662,"endTime":1773513722},"chargingLocation":{"mapMatchedLatitude":91}`); !s.End.IsZero() ||
		len(s.Blocks) != 1 || s.Place != nil || len(s.Problems) != 2 {
		t.Errorf("end before start, one block as object, bad latitude = %+v", s)
	}
	if s = one(`"endTime":0,"mileage":5`); !s.End.IsZero() || s.MileageKm() != nil || len(s.Problems) != 0 {
		t.Errorf("end 0 is a running session, a mileage without unit none = %+v", s)
	}
}

func TestTimes(t *testing.T) {
	tests := map[string]struct {
		text, want string // "" is unreadable
	}{
		"seconds":              {"1773513662", "2026-03-14T18:41:02Z"},
		"fractions of seconds": {"1773513662.418", "2026-03-14T18:41:02.418Z"},
		"milliseconds":         {"1773513662418", "2026-03-14T18:41:02.418Z"},
		"ISO":                  {"2026-03-14T18:41:02Z", "2026-03-14T18:41:02Z"},
		"ISO with offset":      {"2026-03-14T19:41:02.5+01:00", "2026-03-14T18:41:02.5Z"},
		"offset without colon": {"2026-03-14T18:41:02.000+0000", "2026-03-14T18:41:02Z"},
		"without offset":       {"2026-03-14T18:41:02", "2026-03-14T18:41:02Z"},
		"a date":               {"2026-03-14", "2026-03-14T00:00:00Z"},
		"before cars reported": {"1", ""},
		"a far future":         {"1e12000", ""},
		"words":                {"yesterday", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := parseTime(tc.text)
			if ok != (tc.want != "") || ok && got.Format(time.RFC3339Nano) != tc.want {
				t.Errorf("parseTime(%q) = %s, %v; want %q", tc.text, got, ok, tc.want)
			}
		})
	}
}

func TestMappings(t *testing.T) {
	list, err := DecodeMappings([]byte(sample(t, "mappings-200.json")))
	if err != nil || len(list) != 3 || !list[0].Primary() || list[2].Primary() || list[2].Type != "SECONDARY" ||
		!list[0].Since.Equal(time.Date(2025, 4, 1, 10, 20, 30, 400e6, time.UTC)) {
		t.Errorf("array = %+v, %v", list, err)
	}
	list, err = DecodeMappings([]byte(sample(t, "mappings-200-object-as-in-openapi.json")))
	if err != nil || len(list) != 1 || list[0].VIN != testVIN {
		t.Errorf("object = %+v, %v", list, err)
	}
	if list, err = DecodeMappings([]byte("[]")); err != nil || len(list) != 0 {
		t.Errorf("none = %+v, %v", list, err)
	}
	list, err = DecodeMappings([]byte(`[{"vin":7},{"vin":"wby00000000000001","mappedSince":{},"mappingType":"primary"},null,"x"]`))
	if err != nil || len(list) != 1 || !list[0].Primary() || len(list[0].Problems) != 1 {
		t.Errorf("one good among bad = %+v, %v", list, err)
	}
	_, err = DecodeMappings([]byte(`{"message":"hello"}`))
	wantKind(t, err, KindProtocol)
}

func TestBasicData(t *testing.T) {
	d, err := DecodeBasicData([]byte(sample(t, "basicData-200-electric.json")))
	if err != nil || d.VIN != testVIN || d.DriveTrain != "BEV" || val(d.CapacityAh) != 210.6 || val(d.Doors) != 5.0 ||
		val(d.HasSunRoof) != true || !slices.Equal(d.ChargingModes, []string{"AC_LOW", "AC_HIGH", "DC"}) || len(d.Equipment) != 3 ||
		!d.ConstructionDate.Equal(time.Date(2024, 5, 13, 0, 0, 0, 0, time.UTC)) || len(d.Problems) != 0 {
		t.Errorf("electric = %+v, %v", d, err)
	}
	d, err = DecodeBasicData([]byte(sample(t, "basicData-200-combustion.json")))
	if err != nil || d.VIN != "" || d.ColourCode != "300" || d.CountryCode != "DE" || d.TelematicsCapable != nil || len(d.Problems) != 0 {
		t.Errorf("combustion = %+v, %v", d, err)
	}
	d, err = DecodeBasicData([]byte(`{"numberOfDoors":[4],"hasNavi":{},"constructionDate":"soon","vin":"short","brand":null,"modelName":"X0","chargingModes":"AC,DC"}`))
	if err != nil || d.ModelName != "X0" || len(d.ChargingModes) != 2 || len(d.Problems) != 4 {
		t.Errorf("wrong fields = %+v, %v", d, err)
	}
	_, err = DecodeBasicData([]byte(`[]`))
	wantKind(t, err, KindProtocol)
}

func TestTyres(t *testing.T) {
	d, err := DecodeTyres([]byte(sample(t, "smartMaintenanceTyreDiagnosis-200.json")))
	if err != nil || d.Mounted == nil || d.Mounted.FrontLeft == nil || len(d.Problems) != 0 {
		t.Fatalf("registered = %+v, %v", d, err)
	}
	tyre := d.Mounted.FrontLeft
	if !tyre.Registered || tyre.Dimension != "245/45 R19 99Y" || val(tyre.SectionWidthMM) != 245.0 || val(tyre.DueMileage) != 30000.0 ||
		tyre.DueUnit != "KILOMETER" || val(tyre.RunFlat) != true || tyre.Manufacturer != "SYNTHETIC" || tyre.Season != "SUMMER" ||
		tyre.MountingDate != "2025-03-11" || tyre.ProductionDate != "42/2024" || tyre.WearColour != "GREEN" || d.Mounted.Quality != "GOOD" {
		t.Errorf("tyre = %+v", tyre)
	}
	d, err = DecodeTyres([]byte(sample(t, "smartMaintenanceTyreDiagnosis-200-unregistered.json")))
	if err != nil {
		t.Fatal(err)
	}
	for _, tyre := range []*Tyre{d.Mounted.FrontLeft, d.Mounted.RearRight} {
		if want := (Tyre{Label: tyre.Label}); *tyre != want || tyre.Label == "" {
			t.Errorf("zeroes of an unregistered tyre became facts: %+v", tyre)
		}
	}
	d, err = DecodeTyres([]byte(`{"passengerCar":{"mountedTyres":[1],"unmountedTyres":{"frontLeft":{"dimension":{"value":"x","loadIndex":"91","rimDiameter":{}},"tyreWear":{"value":"0 km","dueMileage":0}}}},"errors":[{"eventId":7,"message":{"a":1}}]}`))
	if err != nil || len(d.Problems) != 2 || val(d.Unmounted.FrontLeft.LoadIndex) != 91.0 || val(d.Unmounted.FrontLeft.DueMileage) != 0.0 ||
		d.Errors[0] != (TyreError{EventID: "7", Message: `{"a":1}`}) {
		t.Errorf("wrong fields = %+v, %v", d, err)
	}
}

func TestSettings(t *testing.T) {
	page, err := DecodeSettings([]byte(sample(t, "locationBasedChargingSettings-200.json")))
	if err != nil || len(page.Settings) != 1 || len(page.Problems) != 0 || page.Next != "" {
		t.Fatalf("page = %+v, %v", page, err)
	}
	s := page.Settings[0]
	if s.ChargingMode != "IMMEDIATE_CHARGING" || val(s.Visits) != 42.0 || val(s.Window.StopMinute) != 30.0 || len(s.Windows) != 1 ||
		val(s.CurrentLimitA) != 16.0 || s.CurrentLimitFlag != "ACTIVE" || s.LastVisit.IsZero() || len(s.Problems) != 0 {
		t.Errorf("setting = %+v", s)
	}
	page, err = DecodeSettings([]byte(`{"nextToken":"n","data":[null,7,{"latitude":"x","visits":[],"chargingMode":"M","startChargingTimePeriodHour":99}]}`))
	if err != nil || page.Next != "n" || len(page.Problems) != 2 || len(page.Settings) != 1 || page.Settings[0].ChargingMode != "M" || len(page.Settings[0].Problems) != 3 {
		t.Errorf("wrong fields = %+v, %v", page, err)
	}
}

func TestContainers(t *testing.T) {
	list, err := DecodeContainers([]byte(sample(t, "containers-list-200.json")))
	if err != nil || len(list) != 2 || !list[0].Active() || list[1].Active() || list[0].ID != testContainer || list[0].Created.IsZero() {
		t.Errorf("list = %+v, %v", list, err)
	}
	list, err = DecodeContainers([]byte(`{"containers":[{"containerId":"A00A000A001A1","created":[],"technicalDescriptors":["a",1]},{"name":"x"},null]}`))
	if err != nil || len(list) != 1 || len(list[0].Problems) != 2 || len(list[0].Descriptors) != 1 {
		t.Errorf("wrong fields = %+v, %v", list, err)
	}
	if list, err = DecodeContainers([]byte(`{}`)); err != nil || len(list) != 0 {
		t.Errorf("an account without containers = %+v, %v", list, err)
	}
	_, err = DecodeContainers([]byte(`{"containers":"x"}`))
	wantKind(t, err, KindProtocol)
}

func TestCreateContainerSendsWhatBMWDocuments(t *testing.T) {
	r := newRig(t, inTurn(t, "container-create-201.json"))
	keys := []schema.Descriptor{
		"vehicle.vehicle.travelledDistance", "vehicle.drivetrain.batteryManagement.header", "vehicle.status.conditionBasedServices",
	}
	k, err := r.CreateContainer(t.Context(), "pipeline-v1", "telemetry", keys)
	if err != nil || k.ID != testContainer || !slices.Equal(k.Descriptors, keys) || !k.Active() {
		t.Errorf("container = %+v, %v", k, err)
	}
	var got, want any
	if json.Unmarshal([]byte(r.wire.sent[0]), &got) != nil || json.Unmarshal([]byte(sample(t, "container-create-request.json")), &want) != nil {
		t.Fatal("not JSON")
	}
	if g, w := mustJSON(t, got), mustJSON(t, want); g != w {
		t.Errorf("sent %s, want %s", g, w)
	}
	_, err = r.CreateContainer(t.Context(), "", "p", keys)
	wantKind(t, err, KindBug)
	r = newRig(t, always(201, "application/json", `{"name":"x"}`))
	_, err = r.CreateContainer(t.Context(), "x", "p", keys)
	wantKind(t, err, KindProtocol)
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDeleteContainer(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		ok     bool
	}{
		"done":                      {204, "", true},
		"already gone":              {404, "", true},
		"already reported":          {208, "", true},
		"already being deleted":     {400, `{"exveErrorId":"CU-122"}`, true},
		"deleted elsewhere":         {403, `{"exveErrorId":"CU-105"}`, true},
		"a fault leaves it":         {500, `{"exveErrorId":"CU-500"}`, false},
		"a wrong address leaves it": {404, `<html>`, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, always(tc.status, "application/json", tc.body))
			if err := r.DeleteContainer(t.Context(), testContainer); (err == nil) != tc.ok {
				t.Errorf("DeleteContainer = %v", err)
			}
			if r.wire.asked[0].Method != http.MethodDelete {
				t.Errorf("method = %s", r.wire.asked[0].Method)
			}
		})
	}
}

func TestImages(t *testing.T) {
	tests := map[string]struct {
		contentType, body, want string // want "" is an error
		kind                    Kind
	}{
		"a PNG whatever its header says": {"application/json", "\x89PNG\x0D\x0A\x1A\x0Arest", "image/png", 0},
		"a JPEG":                         {"image/png", "\xFF\xD8\xFFrest", "image/jpeg", 0},
		"a form to come":                 {"image/avif", "\x00\x00\x00\x20binary\x01", "image/avif", 0},
		"a web page":                     {"image/png", "<html>", "", KindTransient},
		"JSON":                           {"image/png", `{"a":1}`, "", KindProtocol},
		"nothing":                        {"image/png", "", "", KindTransient},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			img, err := newRig(t, always(200, tc.contentType, tc.body)).Image(t.Context(), testVIN)
			if tc.want == "" {
				wantKind(t, err, tc.kind)
				return
			}
			if err != nil || img.ContentType != tc.want || string(img.Bytes) != tc.body {
				t.Errorf("Image = %+v, %v", img, err)
			}
		})
	}
}

func TestTelematic(t *testing.T) {
	n, res := schema.NewNormalizer(schema.Default()), new(schema.Result)
	for _, name := range []string{"telematicData-200.json", "telematicData-200-electric.json", "telematicData-200-all-null.json", "telematicData-200-miles.json"} {
		body, err := newRig(t, inTurn(t, name)).Telematic(t.Context(), testVIN, testContainer)
		if err != nil {
			t.Fatal(err)
		}
		n.Telematic(res, schema.Input{VIN: testVIN, Payload: body})
		if len(res.Faults) != 0 || len(res.Readings)+len(res.Skipped) == 0 {
			t.Errorf("%s: %d readings, faults %v", name, len(res.Readings), res.Faults)
		}
	}
	_, err := newRig(t, always(200, "application/json", `{"telematicData":[]}`)).Telematic(t.Context(), testVIN, testContainer)
	wantKind(t, err, KindProtocol)
	_, err = newRig(t, inTurn(t, "error-403-CU-105-container.json")).Telematic(t.Context(), testVIN, testContainer)
	wantKind(t, err, KindContainerGone)
}

func TestDecodeTelematics(t *testing.T) {
	want := `{"telematicData":{"a":{"value":"1"},"b":{"value":"2"}}}`
	for _, in := range []string{`{"b":{"value":"2"},"a":{"value":"1"}}`, want} {
		if got, err := DecodeTelematics([]byte(in)); err != nil || len(got) != 1 || string(got[0]) != want {
			t.Errorf("DecodeTelematics(%s) = %s, %v", in, got, err)
		}
	}
	got, err := DecodeTelematics([]byte(`{"a":[{"value":"1"},{"value":"2"}],"b":{"value":"3"}}`))
	if err != nil || len(got) != 2 || string(got[1]) != `{"telematicData":{"a":{"value":"2"}}}` {
		t.Errorf("history = %s, %v", got, err)
	}
	for _, in := range []string{`[]`, `{"telematicData":1}`, `{"a":`, `<html>`, ``} {
		_, err := DecodeTelematics([]byte(in))
		wantKind(t, err, KindProtocol)
	}
}

func TestRequestsThatWouldWasteACall(t *testing.T) {
	r := newRig(t, always(200, "application/json", "{}"))
	day := time.Unix(1773513662, 0)
	_, err := r.BasicData(t.Context(), "short")
	wantKind(t, err, KindBug)
	_, err = r.Image(t.Context(), "short")
	wantKind(t, err, KindBug)
	_, err = r.Telematic(t.Context(), testVIN, "../mappings..")
	wantKind(t, err, KindBug)
	_, err = r.Container(t.Context(), "lower-case-id")
	wantKind(t, err, KindBug)
	wantKind(t, r.DeleteContainer(t.Context(), ""), KindBug)
	_, err = r.ChargingHistory(t.Context(), testVIN, day, day, "")
	wantKind(t, err, KindRange)
	if r.budget.booked != 0 {
		t.Errorf("booked %d calls for nothing", r.budget.booked)
	}
}

func TestPages(t *testing.T) {
	page := func(start, next string) string {
		return `{"data":[{"startTime":` + start + `}],"next_token":` + next + `}`
	}
	tests := map[string]struct {
		answers  []string
		sessions int
		kind     Kind
		ok       bool
	}{
		"to the last":                    {answers: []string{page("1773513662", `"a"`), page("1773503662", `"b"`), page("1773403662", `""`)}, sessions: 3, ok: true},
		"null ends them":                 {answers: []string{page("1773513662", `null`)}, sessions: 1, ok: true},
		"a token that repeats at once":   {answers: []string{page("1773513662", `"a"`), page("1773503662", `"a"`)}, sessions: 2, kind: KindProtocol},
		"a token that comes round again": {answers: []string{page("1773513662", `"a"`), page("1773503662", `"b"`), page("1773403662", `"a"`)}, sessions: 3, kind: KindProtocol},
		"a token that expires":           {answers: []string{page("1773513662", `"a"`), `{"exveErrorId":"CU-125"}`}, sessions: 1, kind: KindPageExpired},
		"a page that always fails":       {answers: []string{page("1773513662", `"a"`), `{"exveErrorId":"CU-500"}`}, sessions: 1, kind: KindServer},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &wire{answer: func(n int, _ *http.Request) (*http.Response, error) {
				code := 200
				if strings.Contains(tc.answers[n-1], "exve") {
					code = 400
				}
				return respond(code, "application/json", tc.answers[n-1]), nil
			}})
			got, err := collect(t, r)
			if got != tc.sessions || tc.ok != (err == nil) {
				t.Fatalf("%d sessions, %v; want %d", got, err, tc.sessions)
			}
			if !tc.ok {
				wantKind(t, err, tc.kind)
			}
			if r.budget.booked != len(tc.answers) {
				t.Errorf("booked %d calls, want %d", r.budget.booked, len(tc.answers))
			}
		})
	}
	t.Run("settings too", func(t *testing.T) {
		r := newRig(t, &wire{answer: func(n int, _ *http.Request) (*http.Response, error) {
			return respond(200, "application/json", []string{`{"data":[{"id":"1"}],"nextToken":"a"}`, `{"data":[{"id":"2"}]}`}[n-1]), nil
		}})
		var ids []string
		for page, err := range r.SettingsPages(t.Context(), testVIN) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, page.Settings[0].ID)
		}
		if !slices.Equal(ids, []string{"1", "2"}) || r.wire.asked[1].URL.Query().Get("nextToken") != "a" {
			t.Errorf("ids = %v, asked %s", ids, r.wire.asked[1].URL)
		}
	})
}

func TestProblemsAreCountedAndLogged(t *testing.T) {
	r := newRig(t, always(200, "application/json", `{"data":[{"startTime":1773513662,"mileage":{}},{"startTime":"x"}]}`))
	page, err := r.ChargingHistory(t.Context(), testVIN, time.Unix(1, 0), time.Unix(2, 0), "")
	if err != nil || len(page.Sessions) != 1 || r.Stats().RESTProblems.Load() != 3 || !strings.Contains(r.log.String(), "left out") {
		t.Errorf("%+v, %v, %d problems, log %s", page, err, r.Stats().RESTProblems.Load(), r.log)
	}
}
