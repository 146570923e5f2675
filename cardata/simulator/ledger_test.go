package simulator

import (
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func TestLedgerKeepsEntriesAsTheyWere(t *testing.T) {
	a := newAccount(1, 0, 2)
	l := newLedger([]Account{a})
	at := time.Date(2026, 3, 14, 7, 2, 9, 418e6, time.UTC)
	want := []Entry{
		{VIN: a.VINs[0], Descriptor: "vehicle.a", Measured: at, Sent: at, Truth: schema.Value{Kind: schema.KindNumber, Number: 0.1}, Unit: "km"},
		{VIN: a.VINs[1], Descriptor: "vehicle.a", Measured: at, Truth: schema.Value{Kind: schema.KindText, Text: "OPEN"}, Duplicate: true},
		{VIN: a.VINs[0], Descriptor: "vehicle.b", Measured: time.Unix(0, 0).UTC(), Truth: schema.Value{Kind: schema.KindBool, Bool: true}},
		{VIN: a.VINs[0], Descriptor: "vehicle.b", Truth: schema.Value{Kind: schema.KindBool}, Unreadable: true},
		{VIN: a.VINs[0], Descriptor: "vehicle.c", Measured: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	for i := range want {
		l.pages[a.GCID].add(at, 3, want[i])
		want[i].GCID, want[i].Handed, want[i].Conn = a.GCID, at, 3
	}
	i := 0
	for e := range l.Entries(a.GCID) {
		if e != want[i] {
			t.Errorf("entry %d is %+v, want %+v", i, e, want[i])
		}
		i++
	}
	if c := l.Counts(a.GCID); i != len(want) || l.Len() != len(want) || c != (Counts{Messages: 5, Readings: 5, Duplicates: 1, Unreadable: 1}) {
		t.Errorf("%d entries, counts %+v; want %d", i, c, len(want))
	}
	for e := range l.Entries("someone else") {
		t.Errorf("entry of an unknown account: %+v", e)
	}
}

func TestLedgerIsReadWhileItGrows(t *testing.T) {
	a := newAccount(1, 0, 1)
	l := newLedger([]Account{a})
	const total = 20_000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range total {
			l.pages[a.GCID].add(time.Unix(int64(i), 0), 1, Entry{VIN: a.VINs[0], Truth: schema.Value{Kind: schema.KindNumber, Number: float64(i)}})
		}
	})
	for seen := 0; seen < total; {
		seen = 0
		for e := range l.Entries(a.GCID) {
			if e.Truth.Number != float64(seen) {
				t.Fatalf("entry %d has number %v", seen, e.Truth.Number)
			}
			seen++
		}
	}
	wg.Wait()
}

func TestLedgerEntryIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(packed{}); size > 48 {
		t.Errorf("an entry takes %d bytes, want at most 48", size)
	}
}
