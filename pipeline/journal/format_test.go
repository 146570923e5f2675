package journal

import (
	"bytes"
	"testing"
	"time"
)

// buildSegment gives the bytes of a whole segment.
func buildSegment(first uint64, datas ...[]byte) []byte {
	b := appendSegmentHeader(nil, first, first-1, epoch)
	for i, data := range datas {
		b = appendRecord(b, first+uint64(i), i%2 == 1, epoch.Add(time.Duration(i)), len(data), [][]byte{data})
	}
	seal(b[segmentHeaderBytes:], segmentSeed(first))
	return b
}

// decodeAll reads a segment as a reader does: skipping damage.
func decodeAll(b []byte, first, last uint64) (recs []got, err error) {
	var d decoder
	d.reset(bytes.NewReader(b), first, int64(len(b)))
	var rec Record
	for {
		o, err := d.next(&rec)
		if err != nil || o == ended {
			return recs, err
		}
		if o == damaged {
			if _, err := d.resync(last); err != nil {
				return recs, err
			}
			continue
		}
		recs = append(recs, got{rec, string(rec.Data)})
	}
}

func TestBytesOfAnotherSegmentNeverPass(t *testing.T) {
	inner := buildSegment(1, []byte("old a"), []byte("old b"))
	outer := buildSegment(1000, []byte("new"), inner[segmentHeaderBytes:], []byte("end"))
	outer[segmentHeaderBytes+recordHeaderBytes+3] ^= 1 // damage the length of the one that holds them
	outer[segmentHeaderBytes+recordHeaderBytes+3+4] ^= 1
	recs, err := decodeAll(outer, 1000, 1<<60)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		if r.Number < 1000 {
			t.Errorf("record %d %q of another segment delivered", r.Number, r.text)
		}
	}
}

func FuzzSegment(f *testing.F) {
	whole := buildSegment(7, []byte("a"), nil, bytes.Repeat([]byte("payload "), 40))
	f.Add(whole, uint16(0), byte(0))
	f.Add(whole, uint16(50), byte(1))
	f.Add(whole[:len(whole)-5], uint16(3), byte(0x80))
	f.Add([]byte(nil), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, flip byte) {
		// Foreign bytes: no panic, numbers rise, no more data than bytes.
		recs, err := decodeAll(b, 7, 1<<63)
		if err != nil {
			t.Fatal(err)
		}
		sum, before := 0, uint64(6)
		for _, r := range recs {
			if r.Number <= before {
				t.Fatalf("number %d after %d", r.Number, before)
			}
			before = r.Number
			sum += recordHeaderBytes + len(r.text)
		}
		if sum > len(b) {
			t.Fatalf("%d bytes of records out of %d", sum, len(b))
		}
		if recs, _ := decodeAll(buildSegment(9, b, []byte("x")), 9, 10); len(recs) != 2 || recs[0].text != string(b) {
			t.Fatalf("what was written does not come back: %d records", len(recs))
		}
		// Own bytes, one of them changed: what comes is what was written.
		harmed := append([]byte(nil), whole...)
		harmed[int(at)%len(harmed)] ^= flip
		recs, err = decodeAll(harmed, 7, 9)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"a", "", string(bytes.Repeat([]byte("payload "), 40))}
		if len(recs) < 2 {
			t.Fatalf("one byte costs %d records", 3-len(recs))
		}
		for _, r := range recs {
			if r.text != want[r.Number-7] {
				t.Fatalf("record %d is %q", r.Number, r.text)
			}
		}
	})
}
