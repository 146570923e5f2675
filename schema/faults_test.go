package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

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
