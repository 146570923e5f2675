package parquet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// fleetDay gives blocks of a day of some cars as they are: numbers that creep,
// booleans, words, and now and then nothing.
func fleetDay(c *schema.Catalogue, cars, perDescriptor int) []schema.ReadingBlock {
	var blocks []schema.ReadingBlock
	day := Date{20781}.Start().UnixNano()
	r := rand.New(rand.NewPCG(1, 2))
	jitter := make([]int64, 8191) // keys of one upload share their time
	for i := range jitter {
		jitter[i] = r.Int64N(10_000) * 1e6
	}
	for car := range cars {
		vin := schema.VIN(fmt.Sprintf("WBY1Z2100G%07d", car))
		i := 0
		for e := range c.All() {
			i++
			if i%4 != 0 {
				continue
			}
			b := schema.ReadingBlock{VIN: vin, Descriptor: e.Descriptor}
			for k := range perDescriptor {
				b.Append(day+int64(k)*(dayNS/int64(perDescriptor))+jitter[(i/32*perDescriptor+k)%len(jitter)], benchValue(r, &e, i+car, k))
			}
			blocks = append(blocks, b)
		}
	}
	return blocks
}

func benchValue(r *rand.Rand, e *schema.Entry, seed, k int) schema.Value {
	if (seed+k)%50 == 0 {
		return schema.Value{}
	}
	switch e.Type {
	case schema.TypeBool:
		return schema.Value{Kind: schema.KindBool, Bool: k/20%2 == 0}
	case schema.TypeText:
		if len(e.Words) > 0 {
			return schema.Value{Kind: schema.KindText, Text: e.Words[k/10%len(e.Words)]}
		}
		return schema.Value{Kind: schema.KindText, Text: "IDLE"}
	case schema.TypeNumber, schema.TypeUnknown:
	}
	return schema.Value{Kind: schema.KindNumber, Number: math.Round(1000*math.Sin(float64(seed+k)/200)+10*r.Float64()) / 10}
}

func benchDataset(b *testing.B) *Dataset {
	b.Helper()
	p := Profile{Name: Full}
	c := schema.Default()
	d := &Dataset{cfg: Config{Profile: p, Catalogue: c}, temp: b.TempDir(), manifest: &Manifest{}, spare: make(map[string][]*column)}
	d.mask = newMask(&d.cfg.Profile)
	d.describe = &describe{c, false, make(map[schema.Descriptor]*descriptor)}
	return d
}

func benchTable(b *testing.B, table string) {
	b.Helper()
	d := benchDataset(b)
	blocks := fleetDay(d.cfg.Catalogue, 10, 1500)
	rows := 0
	for i := range blocks {
		rows += blocks[i].Len()
	}
	b.ReportAllocs()
	var size int64
	for b.Loop() {
		w, err := d.Begin(Date{20781}, table)
		if err != nil {
			b.Fatal(err)
		}
		for i := range blocks {
			if i == 0 || blocks[i].VIN != blocks[i-1].VIN {
				if err := w.Vehicle(blocks[i].VIN); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Readings(&blocks[i]); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.finish(w.tables[0], ""); err != nil {
			b.Fatal(err)
		}
		size = w.done[0].entry.Bytes
		w.Abort()
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(size)/float64(rows), "bytes/row")
}

// BenchmarkReadingsWriter is the writer alone: blocks in memory to a file on disk,
// with its hash. A million rows each time.
func BenchmarkReadingsWriter(b *testing.B) { benchTable(b, TableReadings) }

// BenchmarkWideWriter is the same for table wide; rows/s are readings.
func BenchmarkWideWriter(b *testing.B) { benchTable(b, TableWide) }
