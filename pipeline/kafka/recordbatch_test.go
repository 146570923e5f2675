package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

func sampleRecords(n int) ([]pipeline.Record, []int32) {
	records := make([]pipeline.Record, n)
	idx := make([]int32, n)
	for i := range records {
		idx[i] = int32(i)
		records[i] = pipeline.Record{
			Topic: "t", Partition: 3, Offset: int64(i),
			Key: fmt.Appendf(nil, "k%d", i), Value: bytes.Repeat([]byte{byte(i)}, i*7%300),
			Time:    time.UnixMilli(1_700_000_000_000 - int64(i)*1000).UTC(),
			Headers: []pipeline.Header{{Key: "v", Value: []byte("1")}, {Key: "stage", Value: []byte{}}, {Key: "nil"}},
		}
	}
	records[0].Key, records[0].Headers = nil, nil
	if n > 1 {
		records[1].Value = nil
	}
	return records, idx
}

func encode(tb testing.TB, e *encoder, records []pipeline.Record, base int64) []byte {
	tb.Helper()
	idx := make([]int32, len(records))
	for i := range idx {
		idx[i] = int32(i)
	}
	b, n, err := e.appendBatch(nil, records, idx, 1<<30, 1<<30, 0)
	if err != nil || n != len(records) {
		tb.Fatalf("appendBatch took %d of %d: %v", n, len(records), err)
	}
	binary.BigEndian.PutUint64(b, uint64(base))
	return b
}

func TestBatchComesBackAsItWas(t *testing.T) {
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		codec, err := codecOf(name)
		if err != nil {
			t.Fatal(err)
		}
		records, _ := sampleRecords(200)
		e := encoder{codec: codec}
		set := encode(t, &e, records[:120], 0)
		set = append(set, encode(t, &e, records[120:], 120)...)
		var d batchDecoder
		for range 2 { // its memory is reused
			if err := d.decode(set, "t", 3, 0); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if d.next != 200 || !reflect.DeepEqual(d.records, records) {
				t.Fatalf("%s: next %d, records differ: %v", name, d.next, d.records[:2])
			}
		}
	}
}

func TestDecodeSkipsWhatLiesBeforeTheOffset(t *testing.T) {
	records, _ := sampleRecords(50)
	set := encode(t, new(encoder), records, 0)
	var d batchDecoder
	if err := d.decode(set, "t", 3, 30); err != nil || len(d.records) != 20 || d.records[0].Offset != 30 {
		t.Errorf("decode from 30: %d records, %v", len(d.records), err)
	}
	if err := d.decode(set, "t", 3, 50); err != nil || len(d.records) != 0 || d.next != 50 {
		t.Errorf("decode from 50: %d records, next %d, %v", len(d.records), d.next, err)
	}
}

func TestDecodeGoesOnAfterABatchWhoseLastRecordsAreGone(t *testing.T) {
	records, _ := sampleRecords(10)
	set := encode(t, new(encoder), records, 0)
	binary.BigEndian.PutUint32(set[batchLastDeltaAt:], 99) // as compaction leaves it
	seal(set)
	var d batchDecoder
	if err := d.decode(set, "t", 3, 0); err != nil || d.next != 100 || len(d.records) != 10 {
		t.Errorf("decode: %d records, next %d, %v; want 10, 100", len(d.records), d.next, err)
	}
}

func TestDecodePassesOverControlBatches(t *testing.T) {
	records, _ := sampleRecords(1)
	set := encode(t, new(encoder), records, 7)
	set[batchAttributesAt+1] = attributeControl
	seal(set)
	var d batchDecoder
	if err := d.decode(set, "t", 3, 7); err != nil || d.next != 8 || len(d.records) != 0 {
		t.Errorf("decode: %d records, next %d, %v; want none, 8", len(d.records), d.next, err)
	}
}

func TestDecodeTakesTheBrokersTimeWhereTheTopicSaysSo(t *testing.T) {
	records, _ := sampleRecords(3)
	set := encode(t, new(encoder), records, 0)
	set[batchAttributesAt+1] = attributeLogAppendTime
	binary.BigEndian.PutUint64(set[batchMaxTimeAt:], 1_800_000_000_000)
	seal(set)
	var d batchDecoder
	if err := d.decode(set, "t", 3, 0); err != nil || d.records[2].Time.UnixMilli() != 1_800_000_000_000 {
		t.Errorf("time %v, %v", d.records, err)
	}
}

func seal(set []byte) {
	binary.BigEndian.PutUint32(set[batchCRCAt:], checksum(set[batchAttributesAt:]))
}

func TestDecodeStopsAtDamage(t *testing.T) {
	records, _ := sampleRecords(20)
	good := encode(t, new(encoder), records, 0)
	for name, c := range map[string]struct {
		damage func(second []byte) []byte
		err    error
	}{
		"bit flipped":          {func(b []byte) []byte { b[100] ^= 1; return b }, errChecksum},
		"cut off at the end":   {func(b []byte) []byte { return b[:len(b)-5] }, nil},
		"only a header's part": {func(b []byte) []byte { return b[:30] }, nil},
		"old format":           {func(b []byte) []byte { b[batchMagicAt] = 1; return b }, errFormat},
		"too many records": {func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[batchCountAt:], 1<<31)
			seal(b)
			return b
		}, errFormat},
		"unknown compression": {func(b []byte) []byte { b[batchAttributesAt+1] = 7; seal(b); return b }, errFormat},
	} {
		set := append(bytes.Clone(good), c.damage(encode(t, new(encoder), records, 20))...)
		var d batchDecoder
		err := d.decode(set, "t", 3, 0)
		if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
			t.Errorf("%s: decode = %v, want %v", name, err, c.err)
		}
		if len(d.records) != 20 || d.next != 20 {
			t.Errorf("%s: %d records, next %d; want the whole first batch", name, len(d.records), d.next)
		}
	}
}

func TestAppendBatchStopsAtItsLimits(t *testing.T) {
	records, idx := sampleRecords(100)
	var e encoder
	all := encode(t, &e, records, 0)
	for limit := batchOverhead; limit < len(all)+10; limit += 37 {
		b, n, _ := e.appendBatch(nil, records, idx, limit, limit, 0)
		if len(b) > limit {
			t.Fatalf("limit %d: batch of %d bytes", limit, len(b))
		}
		if n < 100 && n > 0 {
			if longer, m, _ := e.appendBatch(nil, records, idx[:n+1], 1<<20, 1<<20, 0); m != n+1 || len(longer) <= limit {
				t.Fatalf("limit %d: stopped at %d though %d fit", limit, n, n+1)
			}
		}
	}
	if _, n, _ := e.appendBatch(nil, records, idx, 1<<20, 1<<20, 9); n != 9 {
		t.Errorf("took %d, want the 9 allowed", n)
	}
	if _, n, _ := e.appendBatch(nil, records[99:], idx[:1], 100, 1<<20, 0); n != 1 {
		t.Errorf("took %d, want the one record that may be longer", n)
	}
}

func TestBatchesCostNoAllocation(t *testing.T) {
	records, idx := sampleRecords(500)
	var e encoder
	var d batchDecoder
	buf := encode(t, &e, records, 0)
	if n := testing.AllocsPerRun(50, func() { buf, _, _ = e.appendBatch(buf[:0], records, idx, 1<<30, 1<<30, 0) }); n != 0 {
		t.Errorf("appendBatch: %v allocations, want 0", n)
	}
	if n := testing.AllocsPerRun(50, func() { _ = d.decode(buf, "t", 3, 0) }); n != 0 {
		t.Errorf("decode: %v allocations, want 0", n)
	}
}

func FuzzDecodeBatch(f *testing.F) {
	records, _ := sampleRecords(5)
	f.Add(encode(f, new(encoder), records, 3), int64(0))
	gz, _ := codecOf("gzip")
	f.Add(encode(f, &encoder{codec: gz}, records, 3), int64(4))
	f.Fuzz(func(t *testing.T, set []byte, from int64) {
		if len(set) >= batchOverhead { // let it past the checksum
			n := min(len(set), int(binary.BigEndian.Uint32(set[batchLengthAt:])&0xffffff)+12)
			if n > batchOverhead {
				seal(set[:n])
			}
		}
		var d batchDecoder
		_ = d.decode(set, "t", 0, from)
		if d.next < from {
			t.Errorf("next %d before %d", d.next, from)
		}
		for _, r := range d.records {
			if r.Offset < from {
				t.Errorf("offset %d before %d", r.Offset, from)
			}
		}
	})
}

func FuzzFetchAnswer(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 100))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _, _ = fetchAnswer(b)
		r := reader{b: b}
		_, _ = leaders(&r)
	})
}
