package influx

import (
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// typical gives readings in the mix that cars send: mostly numbers.
func typical(n int) []schema.Reading {
	keys := []schema.Descriptor{
		"vehicle.powertrain.electric.battery.stateOfCharge.displayed", "vehicle.cabin.infotainment.navigation.currentLocation.latitude",
		"vehicle.vehicle.travelledDistance", "vehicle.cabin.door.row1.driver.isOpen", "vehicle.drivetrain.electricEngine.charging.status",
	}
	vins := []schema.VIN{"WBY00000000000001", "WBY00000000000002", "WBY00000000000003"}
	batch := make([]schema.Reading, n)
	for i := range batch {
		r := schema.Reading{VIN: vins[i/50%len(vins)], Descriptor: keys[i%len(keys)], Time: noon.Add(time.Duration(i) * 137 * time.Millisecond)}
		switch i % len(keys) {
		case 3:
			r.Value = schema.Value{Kind: schema.KindBool, Bool: i%2 == 0}
		case 4:
			r.Value = schema.Value{Kind: schema.KindText, Text: "CHARGINGACTIVE"}
		default:
			r.Value = schema.Value{Kind: schema.KindNumber, Number: float64(i%1000) / 8}
		}
		batch[i] = r
	}
	return batch
}

func TestLinesAreWrittenAsTheDataDictionarySays(t *testing.T) {
	at := time.Unix(1_780_000_000, 5).UTC()
	reading := func(v schema.Value) func(*lines) error {
		return func(l *lines) error {
			return l.reading(0, &schema.Reading{VIN: "WBY00000000000001", Descriptor: "vehicle.key", Time: at, Value: v})
		}
	}
	tests := map[string]struct {
		encode func(*lines) error
		want   string
	}{
		"number":     {reading(schema.Value{Kind: schema.KindNumber, Number: 1.5}), `reading,descriptor=vehicle.key,vin=WBY00000000000001 number=1.5 1780000000000000005`},
		"bool":       {reading(schema.Value{Kind: schema.KindBool, Bool: true}), `reading,descriptor=vehicle.key,vin=WBY00000000000001 bool=true 1780000000000000005`},
		"text":       {reading(schema.Value{Kind: schema.KindText, Text: "a \"b\"\n\\"}), "reading,descriptor=vehicle.key,vin=WBY00000000000001 text=\"a \\\"b\\\"\n\\\\\" 1780000000000000005"},
		"empty text": {reading(schema.Value{Kind: schema.KindText}), `reading,descriptor=vehicle.key,vin=WBY00000000000001 text="" 1780000000000000005`},
		"null":       {reading(schema.Value{}), `reading,descriptor=vehicle.key,vin=WBY00000000000001 absent=true 1780000000000000005`},
		"gap": {func(l *lines) error {
			g := schema.Gap{GCID: "g", Start: at, End: at.Add(2500 * time.Millisecond), Cause: schema.GapEvicted}
			return l.gap(0, &g, "WBY00000000000001")
		}, `gap,gcid=g,vin=WBY00000000000001 end=1780000002500i,seconds=2.5,cause="evicted" 1780000000000000005`},
		"gap without a car": {func(l *lines) error {
			return l.gap(0, &schema.Gap{GCID: "g", Start: at, End: at, Cause: schema.GapRefused}, "")
		}, `gap,gcid=g end=1780000000000i,seconds=0,cause="refused" 1780000000000000005`},
		"several texts": {func(l *lines) error {
			return l.vehicle(0, &schema.Vehicle{VIN: "WBY00000000000001", Kind: schema.VehicleImage, Fetched: at, Facts: []schema.Fact{
				{Name: "a", Value: schema.Value{Kind: schema.KindText, Text: "x\"\n"}},
				{Name: "b", Value: schema.Value{Kind: schema.KindText}},
				{Name: "c", Value: schema.Value{Kind: schema.KindNumber, Number: 2}},
				{Name: "d", Value: schema.Value{Kind: schema.KindText, Text: "y"}},
			}})
		}, "vehicle,kind=image,vin=WBY00000000000001 facts=4i,a.text=\"x\\\"\n\",b.text=\"\",c.number=2,d.text=\"y\" 1780000000000000005"},
		"running session": {func(l *lines) error {
			s := schema.ChargingSession{VIN: "WBY00000000000001", Start: at, Fetched: at, Source: schema.SourceREST}
			return l.session(0, &s)
		}, `charging_session,vin=WBY00000000000001 running=true,blocks=0i,errors=0i,fetched=1780000000000i,source="rest" 1780000000000000005`},
		"block without end": {func(l *lines) error {
			return l.block(0, &schema.ChargingSession{VIN: "WBY00000000000001", Start: at, Fetched: at}, &schema.ChargingBlock{Start: at, AverageGridKW: -1})
		}, `charging_block,vin=WBY00000000000001 session=1780000000000i,fetched=1780000000000i,average_grid_kw=-1 1780000000000000005`},
		"day": {func(l *lines) error {
			return l.day(0, &Day{VIN: "WBY00000000000001", Table: "readings", Day: at, Touched: at})
		}, `day,table=readings,vin=WBY00000000000001 touched=1780000000000i 1779926400000000000`},
		"day before 1970": {func(l *lines) error {
			return l.day(0, &Day{VIN: "WBY00000000000001", Table: "readings", Day: time.Unix(-1, 0), Touched: at})
		}, `day,table=readings,vin=WBY00000000000001 touched=1780000000000i -86400000000000`},
		"freshness": {func(l *lines) error {
			return l.freshness(0, &Freshness{VIN: "WBY00000000000001", Minute: at, LagMS: -3, Readings: 4})
		}, `freshness,vin=WBY00000000000001 lag_ms=-3i,readings=4i 1779999960000000000`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var l lines
			if err := tt.encode(&l); err != nil {
				t.Fatal(err)
			}
			if got := string(l.buf); got != tt.want+"\n" {
				t.Errorf("line = %q, want %q", got, tt.want+"\n")
			}
		})
	}
}

func TestABadLineLeavesNoTrace(t *testing.T) {
	var l lines
	good := schema.Reading{VIN: "WBY00000000000001", Descriptor: "k", Time: noon}
	bad := []schema.Reading{
		{VIN: "", Descriptor: "k", Time: noon},
		{VIN: "WBY00000000000001", Descriptor: "k"},
		{VIN: "WBY00000000000001", Descriptor: "k\x00", Time: noon},
		{VIN: "WBY00000000000001", Descriptor: "k\xff", Time: noon},
		{VIN: "WBY00000000000001", Descriptor: "k", Time: noon, Value: schema.Value{Kind: 9}},
		{VIN: "WBY00000000000001", Descriptor: "k", Time: time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC)},
		{VIN: "WBY00000000000001", Descriptor: "k", Time: time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC), Value: schema.Value{Kind: schema.KindText}},
	}
	for i := range bad {
		if err := l.reading(i, &bad[i]); err == nil {
			t.Errorf("reading %d was encoded: %q", i, l.buf)
		}
		if err := l.reading(i, &good); err != nil {
			t.Errorf("the reading after bad reading %d: %v", i, err)
		}
	}
	want := strings.Repeat("reading,descriptor=k,vin=WBY00000000000001 absent=true 1780315200000000000\n", len(bad))
	if string(l.buf) != want {
		t.Errorf("lines = %q, want %q", l.buf, want)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	batch := typical(500)
	var l lines
	encode := func() {
		l.reset()
		for i := range batch {
			if err := l.reading(i, &batch[i]); err != nil {
				t.Fatal(err)
			}
			l.addDay(batch[i].VIN, batch[i].Time)
		}
	}
	encode()
	if got := testing.AllocsPerRun(100, encode); got != 0 {
		t.Errorf("encoding %d readings allocates %v times, want 0", len(batch), got)
	}
}

// A server may answer before it has read the request; the transport then reads
// memory that the next batch must not reuse.
func TestMemoryStillReadByTheTransportIsNotReused(t *testing.T) {
	var l lines
	r := typical(1)
	_ = l.reading(0, &r[0])
	body := newPayload(l.buf, &l.unread)
	l.rewind()
	_ = l.reading(0, &schema.Reading{VIN: "WBY00000000000009", Descriptor: "other", Time: noon})
	sent, _ := io.ReadAll(body)
	if !strings.HasPrefix(string(sent), "reading,descriptor="+string(r[0].Descriptor)) {
		t.Errorf("the transport reads %q, the next batch", sent)
	}
	body.Close()
	body.Close()
	if got := l.unread.Load(); got != 0 {
		t.Errorf("unread = %d after Close, want 0", got)
	}
}

func FuzzReadingLine(f *testing.F) {
	f.Add("WBY00000000000001", "vehicle.key", uint8(schema.KindText), "text", 1.5, int64(1_780_000_000_000_000_000))
	f.Add("WBY00000000000001", `a\ b,c=d\`, uint8(schema.KindText), "a\"b\\\n\t\r\x00", 0.0, int64(-1))
	f.Add("", "\xff", uint8(schema.KindNumber), "\\", 1e300, int64(0))
	f.Fuzz(func(t *testing.T, vin, descriptor string, kind uint8, text string, number float64, ns int64) {
		r := schema.Reading{
			VIN: schema.VIN(vin), Descriptor: schema.Descriptor(descriptor), Time: time.Unix(0, ns),
			Value: schema.Value{Kind: schema.Kind(kind % 5), Text: text, Number: number, Bool: ns%2 == 0},
		}
		var l lines
		guard := typical(1)[0]
		_ = l.reading(0, &guard)
		head := len(l.buf)
		if err := l.reading(1, &r); err != nil {
			if len(l.buf) != head || len(l.ends) != 1 {
				t.Fatalf("refused reading left %q", l.buf[head:])
			}
			if utf8.ValidString(text) && r.Value.Kind <= schema.KindText && plain(descriptor) && plain(vin) && number-number == 0 {
				t.Fatalf("refused without need: %v", err)
			}
			return
		}
		_ = l.reading(2, &guard)
		wantDecoded(t, l.buf[head:], r)
	})
}

func plain(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' })
}

// wantDecoded holds the first line of buf against r, and sees the next line begin after it.
func wantDecoded(t *testing.T, buf []byte, r schema.Reading) {
	t.Helper()
	d := lineprotocol.NewDecoderWithBytes(buf)
	if !d.Next() {
		t.Fatalf("no line in %q", buf)
	}
	tags := map[string]string{}
	for {
		key, value, err := d.NextTag()
		if err != nil {
			t.Fatalf("tag of %q: %v", buf, err)
		}
		if key == nil {
			break
		}
		tags[string(key)] = string(value)
	}
	if tags["vin"] != string(r.VIN) || tags["descriptor"] != string(r.Descriptor) || len(tags) != 2 {
		t.Fatalf("tags = %q, want %q and %q", tags, r.VIN, r.Descriptor)
	}
	key, v, err := d.NextField()
	if err != nil {
		t.Fatalf("field of %q: %v", buf, err)
	}
	var ok bool
	switch r.Value.Kind {
	case schema.KindNumber:
		ok = string(key) == "number" && v.FloatV() == r.Value.Number
	case schema.KindBool:
		ok = string(key) == "bool" && v.BoolV() == r.Value.Bool
	case schema.KindText:
		ok = string(key) == "text" && v.StringV() == r.Value.Text
	case schema.KindNull:
		ok = string(key) == "absent" && v.BoolV()
	}
	if !ok {
		t.Fatalf("field = %s %v, want %+v", key, v, r.Value)
	}
	if at, err := d.Time(lineprotocol.Nanosecond, time.Time{}); err != nil || !at.Equal(r.Time) {
		t.Fatalf("time = %v, %v, want %v", at, err, r.Time)
	}
	if !d.Next() {
		t.Fatalf("the next line is gone from %q", buf)
	}
	if m, err := d.Measurement(); err != nil || string(m) != "reading" {
		t.Fatalf("next line = %q, %v", m, err)
	}
}

func BenchmarkEncode(b *testing.B) {
	batch := typical(5000)
	var l lines
	b.ReportAllocs()
	for b.Loop() {
		l.reset()
		for i := range batch {
			if err := l.reading(i, &batch[i]); err != nil {
				b.Fatal(err)
			}
			l.addDay(batch[i].VIN, batch[i].Time)
		}
		b.SetBytes(int64(len(l.buf)))
	}
	b.ReportMetric(float64(b.N)*float64(len(batch))/b.Elapsed().Seconds(), "readings/s")
}
