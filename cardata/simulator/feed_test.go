package simulator

import (
	"encoding/json"
	"testing"
	"time"
)

// wire is the payload as a client reads it.
type wire struct {
	VIN       string    `json:"vin"`
	GCID      string    `json:"entityId"`
	Topic     string    `json:"topic"`
	Timestamp time.Time `json:"timestamp"`
	Data      map[string]struct {
		Timestamp time.Time `json:"timestamp"`
		Value     any       `json:"value"`
	} `json:"data"`
}

func TestLedgerIsWhatASubscriberReceives(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 3, History: 24 * time.Hour})
	a := s.Accounts()[0]
	set := login(t, s, a)
	h, err := listenTo(t, s, a.GCID, set["id_token"].(string), string(a.GCID)+"/+")
	if err != nil {
		t.Fatal(err)
	}
	<-s.HistoryDone()
	s.Pause()
	want := ledgerOf(s, a.GCID)
	eventually(t, "all messages received", func() bool { return len(h.heard()) >= len(want) })
	got := h.heard()
	if len(want) < 1000 || len(got) != len(want) {
		t.Fatalf("received %d messages, ledger has %d; want equal and over 1000", len(got), len(want))
	}
	now := time.Now()
	for i, e := range want {
		var w wire
		if err := json.Unmarshal(got[i].payload, &w); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		point, ok := w.Data[string(e.Descriptor)]
		if !ok || got[i].topic != string(a.GCID)+"/"+string(e.VIN) || w.VIN != string(e.VIN) ||
			!w.Timestamp.Equal(e.Sent) || !point.Timestamp.Equal(e.Measured) {
			t.Fatalf("message %d is %s on %s, ledger says %+v", i, got[i].payload, got[i].topic, e)
		}
		if e.Measured.After(now) || e.Sent.After(now) || e.Conn != 1 {
			t.Fatalf("entry %d: %+v; want stamps in the past and connection 1", i, e)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d messages", len(want))
}
