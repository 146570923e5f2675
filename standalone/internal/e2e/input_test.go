package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Garbled payloads are dead letters with their original bytes, no more and no
// fewer; everything else is stored.
func TestGarbledPayloads(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 2, Cars: 3, History: 48 * time.Hour, Faults: simulator.Faults{Garble: 0.01}})
	r.startIngest()
	r.startSink()
	r.historyDone()
	r.settle()
	if got := r.audit(); got.Unreadable == 0 {
		t.Error("nothing was garbled: that proves nothing")
	}
	r.ledgerHolds()
	want := make(map[schema.VIN][]simulator.Entry)
	for _, a := range r.sim.Accounts() {
		for e := range r.sim.Ledger().Entries(a.GCID) {
			if e.Unreadable {
				want[e.VIN] = append(want[e.VIN], e)
			}
		}
	}
	for _, letter := range r.records(r.topics.DeadLetters) { // in order for each car
		vin := schema.VIN(letter.Key)
		if len(want[vin]) == 0 {
			t.Errorf("a dead letter too many for %s: %s", vin.LogValue(), letter.Value)
			continue
		}
		e := want[vin][0]
		want[vin] = want[vin][1:]
		if reason := header(&letter, pipeline.HeaderReason); reason != "invalid_json" && reason != "invalid_utf8" {
			t.Errorf("reason %q", reason)
		}
		if utf8.Valid(letter.Value) && json.Valid(letter.Value) {
			t.Errorf("dead letter is readable: %s", letter.Value)
		}
		if begin := []byte(`{"vin":"`); !bytes.HasPrefix(letter.Value, begin) && utf8.Valid(letter.Value) {
			t.Errorf("dead letter begins otherwise than its message: %s", letter.Value)
		}
		if sent := e.Sent.Format("2006-01-02T15:04:05.000Z"); !utf8.Valid(letter.Value) && !bytes.Contains(letter.Value, []byte(sent)) {
			t.Errorf("dead letter is not the message sent at %s: %s", sent, letter.Value)
		}
		if got := header(&letter, pipeline.HeaderTopic); got != string(e.GCID)+"/"+string(vin) {
			t.Errorf("origin %q, want the MQTT topic", got)
		}
	}
	for vin, missing := range want {
		if len(missing) > 0 {
			t.Errorf("%d dead letters of %s are missing", len(missing), vin.LogValue())
		}
	}
}

// input is one bad message and what must become of it.
type input struct {
	payload string
	reason  string            // of the dead letter with these bytes; empty: none
	stored  []simulator.Entry // readings
}

const (
	at      = "2026-03-14T07:02:09Z"
	mileage = "vehicle.vehicle.travelledDistance"
)

func message(vin schema.VIN, gcid schema.GCID, points ...string) string {
	return fmt.Sprintf(`{"vin":"%s","entityId":"%s","topic":"%s","timestamp":"2026-03-14T07:02:11.418Z","data":{%s}}`,
		vin, gcid, vin, strings.Join(points, ","))
}

func point(name, value string) string { return pointAt(name, at, value) }

func pointAt(name, at, value string) string {
	return fmt.Sprintf(`"%s":{"timestamp":"%s","value":%s}`, name, at, value)
}

func entry(name string, v schema.Value) simulator.Entry {
	measured, _ := time.Parse(time.RFC3339, at)
	return simulator.Entry{Descriptor: schema.Descriptor(name), Measured: measured, Truth: v}
}

func number(n float64) schema.Value { return schema.Value{Kind: schema.KindNumber, Number: n} }
func text(s string) schema.Value    { return schema.Value{Kind: schema.KindText, Text: s} }

func badInputs(vin, other schema.VIN, gcid schema.GCID) map[string]input {
	one := func(points ...string) string { return message(vin, gcid, points...) }
	forty, fortyEntries := make([]string, 40), make([]simulator.Entry, 40)
	for i := range forty {
		name := fmt.Sprintf("vehicle.forty.n%02d", i)
		forty[i], fortyEntries[i] = point(name, fmt.Sprint(i)), entry(name, number(float64(i)))
	}
	longest := strings.Repeat("x", schema.MaxTextBytes)
	deep := strings.Repeat("[", 20) + strings.Repeat("]", 20)
	return map[string]input{
		"broken JSON":            {payload: one(point("t.broken", "1"))[:100], reason: "invalid_json"},
		"no JSON":                {payload: "\x00\x01\x02", reason: "invalid_json"},
		"empty":                  {payload: "", reason: "invalid_json"},
		"wrong types":            {payload: `{"vin":7,"data":"x"}`, reason: "invalid_vin"},
		"NaN":                    {payload: one(point("t.nan", "NaN")), reason: "invalid_json"},
		"quoted NaN":             {payload: one(point(mileage, `"NaN"`)), stored: []simulator.Entry{entry(mileage, text("NaN"))}},
		"huge number":            {payload: one(point("t.huge", "1e999")), stored: []simulator.Entry{entry("t.huge", text("1e999"))}},
		"text of 1 MiB":          {payload: one(point("t.long", `"`+strings.Repeat("ü", 1<<19)+`"`)), reason: "text_too_long"},
		"longest text":           {payload: one(point("t.longest", `"`+longest+`"`)), stored: []simulator.Entry{entry("t.longest", text(longest))}},
		"3 MiB of nothing":       {payload: strings.Repeat(" ", 3<<20), reason: "invalid_json"},
		"deep nesting":           {payload: one(point("t.deep", strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000))), reason: "too_deep"},
		"nesting that passes":    {payload: one(point("t.nested", deep)), stored: []simulator.Entry{entry("t.nested", text(deep))}},
		"invalid UTF-8":          {payload: one(point("t.utf8", "\"\xff\xfe\"")), reason: "invalid_utf8"},
		"another VIN in body":    {payload: message(other, gcid, point("t.vin", "1")), reason: "vin_mismatch"},
		"another account":        {payload: message(vin, "00000000-0000-4000-8000-000000000001", point("t.gcid", "1")), reason: "gcid_mismatch"},
		"no timestamp":           {payload: one(`"t.timeless":{"value":5}`), reason: "time_missing"},
		"broken timestamp":       {payload: one(pointAt("t.time", "yesterday", "5")), reason: "time_invalid"},
		"measured in 1970":       {payload: one(pointAt("t.old", "1970-01-01T00:00:00Z", "5")), reason: "time_out_of_range"},
		"measured in 2099":       {payload: one(pointAt("t.new", "2099-01-01T00:00:00Z", "5")), reason: "time_out_of_range"},
		"empty data":             {payload: one(), reason: "no_data"},
		"data missing":           {payload: `{}`, reason: "no_data"},
		"forty descriptors":      {payload: one(forty...), stored: fortyEntries},
		"one bad among good":     {payload: one(point("t.good", "1"), `"t.bad":{"value":2}`), reason: "time_missing", stored: []simulator.Entry{entry("t.good", number(1))}},
		"descriptor twice":       {payload: one(point("t.twice", "1"), point("t.twice", "2")), stored: []simulator.Entry{entry("t.twice", number(1)), entry("t.twice", number(2))}},
		"member twice":           {payload: one(`"t.member":{"timestamp":"` + at + `","value":1,"value":2}`), stored: []simulator.Entry{entry("t.member", number(2))}},
		"object":                 {payload: one(point("t.object", `{"b":1,"a":[2]}`)), stored: []simulator.Entry{entry("t.object", text(`{"b":1,"a":[2]}`))}},
		"array":                  {payload: one(point("t.array", `[1,"x",null]`)), stored: []simulator.Entry{entry("t.array", text(`[1,"x",null]`))}},
		"unknown descriptor":     {payload: one(point("t.unknown", `"ON, \"so\" to say = 5"`)), stored: []simulator.Entry{entry("t.unknown", text(`ON, "so" to say = 5`))}},
		"descriptor with spaces": {payload: one(point(`t.a, b=c`, `true`)), stored: []simulator.Entry{entry("t.a, b=c", schema.Value{Kind: schema.KindBool, Bool: true})}},
		"text with line breaks":  {payload: one(point("t.lines", `"a\nb\\n\t\"c"`)), stored: []simulator.Entry{entry("t.lines", text("a\nb\\n\t\"c"))}},
		"backslash at the end":   {payload: one(point("t.slash", `"a\\"`)), stored: []simulator.Entry{entry("t.slash", text(`a\`))}},
		"null with a time":       {payload: one(point("t.null", "null")), stored: []simulator.Entry{entry("t.null", schema.Value{})}},
		"text in a number":       {payload: one(point("vehicle.cabin.infotainment.navigation.remainingRange", `"many"`)), stored: []simulator.Entry{entry("vehicle.cabin.infotainment.navigation.remainingRange", text("many"))}},
		"never reported":         {payload: one(`"t.never":{"timestamp":null,"value":null}`)},
		"zero bytes in text":     {payload: one(point("t.zero", `"a\u0000b"`)), stored: []simulator.Entry{entry("t.zero", text("a\x00b"))}},
	}
}

// Each bad input becomes readings or a dead letter with its reason and bytes,
// and the flow goes on.
func TestBadInput(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 1, Cars: 2, History: 12 * time.Hour, Speed: 3600})
	r.startIngest()
	r.startSink()
	r.historyDone()
	a := r.sim.Accounts()[0]
	inputs := badInputs(a.VINs[0], a.VINs[1], a.GCID)
	for name, in := range inputs {
		if err := r.sim.Inject(a.GCID, a.VINs[0], []byte(in.payload), in.stored...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	r.more(20)
	r.settle()
	if got := r.audit(); got.Gaps > 0 { // holds each reading against InfluxDB
		t.Errorf("%d gaps, want none", got.Gaps)
	}
	r.ledgerHolds()
	letters := r.records(r.topics.DeadLetters)
	for name, in := range inputs {
		found := 0
		for i := range letters {
			if string(letters[i].Value) != in.payload {
				continue
			}
			found++
			if got := header(&letters[i], pipeline.HeaderReason); got != in.reason {
				t.Errorf("%s: reason %q (%s), want %q", name, got, header(&letters[i], pipeline.HeaderText), in.reason)
			}
			if stage := header(&letters[i], pipeline.HeaderStage); stage != "normalise" {
				t.Errorf("%s: stage %q, want normalise", name, stage)
			}
			if string(letters[i].Key) != string(a.VINs[0]) {
				t.Errorf("%s: key %q, want the car's VIN", name, letters[i].Key)
			}
		}
		want := 1
		if in.reason == "" {
			want = 0
		}
		if found != want {
			t.Errorf("%s: %d dead letters with the original bytes, want %d", name, found, want)
		}
	}
	for i := range letters {
		known := false
		for _, in := range inputs {
			known = known || string(letters[i].Value) == in.payload
		}
		if !known {
			t.Errorf("dead letter out of nothing: %s %s: %.200s", header(&letters[i], pipeline.HeaderReason), header(&letters[i], pipeline.HeaderText), letters[i].Value)
		}
	}
	if r.ingest.ended() || r.sink.ended() {
		t.Error("a process has ended")
	}
}
