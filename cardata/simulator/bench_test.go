package simulator

import (
	"bufio"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
)

// BenchmarkFeed is the whole way of a message from a car's life to a
// subscriber's buffer over loopback TLS, ledger and cars included. The far end
// only counts, as a broker's benchmark should.
func BenchmarkFeed(b *testing.B) {
	s := startTest(b, Config{Seed: 1, Cars: 3, History: 400 * 24 * time.Hour})
	c := dialRaw(b, s, 4)
	c.connect(idToken(b, s))
	b.ReportAllocs()
	c.subscribe(string(s.Accounts()[0].GCID) + "/+")
	r := bufio.NewReaderSize(c.conn, 64<<10)
	size := 0
	b.ResetTimer()
	for range b.N {
		n, err := skipPacket(r)
		if err != nil {
			b.Fatal(err)
		}
		size += n
	}
	b.StopTimer()
	b.SetBytes(int64(size / b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkFeedAlone leaves the cars' thinking out: it repeats one day.
func BenchmarkFeedAlone(b *testing.B) {
	cfg := Config{Seed: 1, Accounts: 1, Cars: 1, History: 400 * 24 * time.Hour, Dir: newDir(b), ConnectsPerMinute: -1}
	s, err := start(b.Context(), cfg, func(c cars.Config) feed { return newLoop(c, 5000) })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	c := dialRaw(b, s, 4)
	c.connect(idToken(b, s))
	b.ReportAllocs()
	c.subscribe(string(s.Accounts()[0].GCID) + "/+")
	r := bufio.NewReaderSize(c.conn, 64<<10)
	b.ResetTimer()
	for range b.N {
		if _, err := skipPacket(r); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// loop repeats a car's first messages for good, each time a millisecond later.
type loop struct {
	messages []cars.Emission
	i        int
	due      time.Time
}

func newLoop(c cars.Config, n int) *loop {
	l := &loop{due: c.Start}
	car := cars.New(c)
	for range n {
		l.messages = append(l.messages, car.Next())
	}
	return l
}

func (l *loop) Next() cars.Emission {
	e := l.messages[l.i%len(l.messages)]
	l.i++
	l.due = l.due.Add(time.Millisecond)
	e.Due = l.due
	return e
}

// skipPacket reads one packet and gives its size.
func skipPacket(r *bufio.Reader) (int, error) {
	if _, err := r.ReadByte(); err != nil {
		return 0, err
	}
	n := 0
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	_, err := r.Discard(n)
	return n, err
}
