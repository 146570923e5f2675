package pipeline

import (
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func number(n float64) schema.Value { return schema.Value{Kind: schema.KindNumber, Number: n} }

func reading(descriptor string, when time.Time, v schema.Value) *schema.Reading {
	return &schema.Reading{VIN: testVIN, Descriptor: schema.Descriptor(descriptor), Time: when, Value: v, GCID: testGCID, Received: when, Source: schema.SourceStream}
}

func TestDedupeTellsDuplicateFromRevision(t *testing.T) {
	d := NewDedupe(100)
	same := reading("a", at(0), number(1))
	for i, step := range []struct {
		r    *schema.Reading
		want Verdict
	}{
		{same, Fresh},
		{same, Duplicate},
		{reading("a", at(0), number(2)), Revision},
		{same, Revision}, // back to the first value is news
		{reading("a", at(1), number(1)), Fresh},
		{reading("b", at(0), number(1)), Fresh},
		{reading("b", at(0), schema.Value{Kind: schema.KindBool, Bool: true}), Revision},
		{reading("b", at(0), schema.Value{Kind: schema.KindBool}), Revision},
		{reading("b", at(0), schema.Value{}), Revision},
		{reading("b", at(0), schema.Value{Kind: schema.KindText, Text: "x"}), Revision},
		{reading("b", at(0), schema.Value{Kind: schema.KindText, Text: "x"}), Duplicate},
	} {
		if got := d.Observe(step.r); got != step.want {
			t.Errorf("step %d: got %d, want %d", i, got, step.want)
		}
	}
	other := *same
	other.VIN = "WBY00000000000002"
	if got := d.Observe(&other); got != Fresh {
		t.Errorf("another car: got %d, want fresh", got)
	}
}

func TestDedupeIsBoundedAndKeepsWhatIsMet(t *testing.T) {
	const limit = 1000
	d := NewDedupe(limit)
	kept := reading("kept", at(0), number(1))
	d.Observe(kept)
	for i := range 10 * limit {
		d.Observe(reading("flood", at(float64(i)), number(1)))
		if i%(limit/4) == 0 && d.Observe(kept) != Duplicate {
			t.Fatalf("forgot a key that is met all the time, at %d", i)
		}
		if n := len(d.young) + len(d.old); n > limit {
			t.Fatalf("holds %d keys, limit %d", n, limit)
		}
	}
	if d.Observe(reading("flood", at(0), number(1))) != Fresh {
		t.Error("the oldest key is still remembered: the bound does not work")
	}
}

func BenchmarkDedupe(b *testing.B) {
	d := NewDedupe(1_000_000)
	r := reading("vehicle.vehicle.travelledDistance", at(0), number(1))
	b.ReportAllocs()
	for b.Loop() {
		r.Time = r.Time.Add(time.Second)
		d.Observe(r)
	}
}
