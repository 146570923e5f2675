package influx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// packedAnswer is one of n rows in chunks of 10,000, as 1.8 and 2.x pack it.
func packedAnswer(n int) []byte {
	str := func(b []byte, s string) []byte {
		if len(s) < 32 {
			return append(append(b, 0xa0|byte(len(s))), s...)
		}
		return append(append(b, 0xd9, byte(len(s))), s...)
	}
	start := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	var b []byte
	for first := 0; first < n; first += 10_000 {
		rows := min(10_000, n-first)
		more := first+rows < n
		b = append(str(append(b, 0x81), "results"), 0x91, 0x82)
		if more {
			b[len(b)-1]++
		}
		b = append(str(b, "statement_id"), 0)
		b = append(str(b, "series"), 0x91, 0x84)
		b = str(str(b, "name"), "reading")
		b = append(str(b, "tags"), 0x81)
		b = str(str(b, "descriptor"), "vehicle.powertrain.electric.battery.stateOfCharge.displayed")
		b = append(str(b, "columns"), 0x95)
		for c := range strings.FieldsSeq(scanColumns) {
			b = str(b, c)
		}
		b = binary.BigEndian.AppendUint16(append(str(b, "values"), 0xdc), uint16(rows))
		for i := first; i < first+rows; i++ {
			b = binary.BigEndian.AppendUint64(append(b, 0x95, packInt64), uint64(start+int64(i)*1_037_000_000))
			switch {
			case i%50 == 49:
				b = append(b, packNil, packNil, packNil, packTrue)
			case i%10 == 9:
				b = append(str(append(b, packNil, packNil), []string{"CHARGING", "NOCHARGING", "INITIALIZATION"}[i%3]), packNil)
			case i%10 == 8:
				b = append(b, packNil, packTrue, packNil, packNil)
			default:
				b = binary.BigEndian.AppendUint64(append(b, packFloat64), math.Float64bits(float64(i%1000)/10))
				b = append(b, packNil, packNil, packNil)
			}
		}
		if more {
			b = append(str(b, "partial"), packTrue)
		}
	}
	return b
}

func scanCanned(s *scanner, answer *bytes.Reader) error {
	s.start([]scanStatement{{vin: "WBY00000000000001"}})
	if err := s.readPacked(answer); err != nil {
		return err
	}
	return s.flush()
}

// FuzzScanPacked: no input panics, no input gives a block that breaks the
// contract, and how the bytes arrive changes nothing.
func FuzzScanPacked(f *testing.F) {
	f.Add(packedAnswer(120))
	f.Add([]byte("\x81\xa7results\x91\x82\xacstatement_id\x00\xa6series\x90"))
	f.Add([]byte("\x81\xa5error\xa4oops"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		scan := func(oneByOne bool) string {
			var log strings.Builder
			s := newScanner(func(b *schema.ReadingBlock) error {
				for i, ns := range b.Times {
					if i > 0 && ns <= b.Times[i-1] {
						t.Errorf("times %d and %d do not ascend", b.Times[i-1], ns)
					}
					fmt.Fprintf(&log, "%q %d %q\n", b.Descriptor, ns, fmt.Sprint(b.Values[i]))
				}
				return nil
			})
			s.start([]scanStatement{{vin: "WBY00000000000001"}, {vin: "WBY00000000000002"}})
			err := s.readPacked(bytes.NewReader(answer))
			if oneByOne {
				log.Reset()
				s = newScanner(s.give)
				s.start([]scanStatement{{vin: "WBY00000000000001"}, {vin: "WBY00000000000002"}})
				err = s.readPacked(iotest.OneByteReader(bytes.NewReader(answer)))
			}
			if err == nil {
				err = s.flush()
			}
			return fmt.Sprint(log.String(), err)
		}
		if whole, single := scan(false), scan(true); whole != single {
			t.Errorf("whole gave %.300q, byte by byte %.300q", whole, single)
		}
	})
}

func TestScanAllocatesNothingPerReading(t *testing.T) {
	answer, r := packedAnswer(50_000), bytes.NewReader(nil)
	s := newScanner(func(*schema.ReadingBlock) error { return nil })
	allocs := testing.AllocsPerRun(5, func() {
		s.open = false
		r.Reset(answer)
		if err := scanCanned(s, r); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 10 {
		t.Errorf("scan of 50,000 readings allocates %v times, want a few for each answer", allocs)
	}
}

func BenchmarkScanReadings(b *testing.B) {
	const n = 100_000
	answer, r := packedAnswer(n), bytes.NewReader(nil)
	got := 0
	s := newScanner(func(block *schema.ReadingBlock) error { got += block.Len(); return nil })
	b.ReportAllocs()
	b.SetBytes(int64(len(answer)))
	for b.Loop() {
		s.open = false
		r.Reset(answer)
		if err := scanCanned(s, r); err != nil {
			b.Fatal(err)
		}
	}
	if got != n*b.N {
		b.Fatalf("%d readings, want %d", got, n*b.N)
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
}
