package pipeline

import (
	"context"
	"errors"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// shelf is a sink that keeps copies of what it gets.
type shelf[T any] struct {
	items []T
	err   error
}

func (s *shelf[T]) Write(_ context.Context, batch []T) error {
	if s.err == nil {
		s.items = append(s.items, batch...)
	}
	return s.err
}

type storeRig struct {
	names    Topics
	produced *keeper
	readings shelf[schema.Reading]
	gaps     shelf[schema.Gap]
	sessions shelf[schema.ChargingSession]
	vehicles shelf[schema.Vehicle]
	ledger   *Ledger
	store    *Store
}

func newStoreRig() *storeRig {
	r := &storeRig{names: TopicsFor("t."), produced: &keeper{}, ledger: NewLedger()}
	r.store = NewStore(r.names, Sinks{Readings: &r.readings, Gaps: &r.gaps, Sessions: &r.sessions, Vehicles: &r.vehicles},
		NewDeadLetters(r.produced, r.names.DeadLetters), r.ledger, NewFreshness())
	return r
}

func TestStoreSortsOutWhatItsTopicDoesNotHold(t *testing.T) {
	r := newStoreRig()
	session := schema.ChargingSession{VIN: testVIN, Start: at(0), Source: schema.SourceREST, Fetched: at(1)}
	vehicle := schema.Vehicle{VIN: testVIN, Kind: schema.VehicleTyres, Fetched: at(1), Facts: []schema.Fact{{Name: "a"}}}
	for topic, good := range map[string][]byte{
		r.names.Readings:         schema.AppendReading(nil, reading("a", at(0), number(1))),
		r.names.Gaps:             schema.AppendGap(nil, &schema.Gap{GCID: testGCID, VINs: []schema.VIN{testVIN}, Start: at(0), End: at(1), Cause: schema.GapCrash}),
		r.names.ChargingSessions: schema.AppendSession(nil, &session),
		r.names.Vehicles:         schema.AppendVehicle(nil, &vehicle),
	} {
		r.produced.records = nil
		batch := []Record{
			{Topic: topic, Value: good, Time: at(0)},
			{Topic: topic, Value: []byte("rubbish"), Key: []byte("K"), Partition: 3, Offset: 99, Time: at(1)},
			{Topic: topic, Value: good, Time: at(2)},
		}
		if err := r.store.Handle(t.Context(), topic, 3, batch); err != nil {
			t.Fatal(err)
		}
		if len(r.produced.records) != 1 || string(r.produced.records[0].Value) != "rubbish" ||
			header(r.produced.records[0], HeaderTopic) != topic+"/3/99" || header(r.produced.records[0], HeaderReason) != "invalid_record" {
			t.Errorf("%s: letters %+v", topic, r.produced.records)
		}
	}
	if len(r.readings.items) != 2 || len(r.gaps.items) != 2 || len(r.sessions.items) != 2 || len(r.vehicles.items) != 2 {
		t.Errorf("stored %d readings, %d gaps, %d sessions, %d vehicles, want 2 of each",
			len(r.readings.items), len(r.gaps.items), len(r.sessions.items), len(r.vehicles.items))
	}
	s := &r.store.Stats
	if s.Readings.Load() != 2 || s.Gaps.Load() != 2 || s.Sessions.Load() != 2 || s.Vehicles.Load() != 2 || s.RecordsInvalid.Load() != 4 || s.Records.Load() != 12 {
		t.Errorf("counts %+v", s)
	}
	if n := r.ledger.Account(testGCID).ReadingsStored.Load(); n != 2 {
		t.Errorf("ledger %d, want 2", n)
	}
}

func TestStoreCountsNothingThatIsNotDurable(t *testing.T) {
	r := newStoreRig()
	away := errors.New("away")
	r.sessions.err, r.vehicles.err = away, away
	session := schema.ChargingSession{VIN: testVIN, Start: at(0), Source: schema.SourceREST, Fetched: at(1)}
	vehicle := schema.Vehicle{VIN: testVIN, Kind: schema.VehicleTyres, Fetched: at(1)}
	for _, record := range []Record{r.names.SessionRecord(&session), r.names.VehicleRecord(&vehicle)} {
		if err := r.store.Handle(t.Context(), record.Topic, 0, []Record{record}); !errors.Is(err, away) {
			t.Errorf("%s: got %v, want the sink's error", record.Topic, err)
		}
	}
	if s := &r.store.Stats; s.Sessions.Load() != 0 || s.Vehicles.Load() != 0 {
		t.Errorf("counts %d sessions and %d vehicles, want none", s.Sessions.Load(), s.Vehicles.Load())
	}
}

func TestStoreRefusesATopicThatHasNoSink(t *testing.T) {
	names := TopicsFor("t.")
	store := NewStore(names, Sinks{}, NewDeadLetters(&keeper{}, names.DeadLetters), NewLedger(), nil)
	for _, topic := range []string{names.Readings, names.Gaps, names.ChargingSessions, names.Vehicles, names.Raw} {
		if err := store.Handle(t.Context(), topic, 0, []Record{{Topic: topic}}); err == nil {
			t.Errorf("%s: counts as stored", topic)
		}
	}
}

func TestRecordsHaveTheKeysOfTheirTopics(t *testing.T) {
	names := TopicsFor("t.")
	session := schema.ChargingSession{VIN: testVIN, Start: at(0), Source: schema.SourceREST, Fetched: at(2)}
	vehicle := schema.Vehicle{VIN: testVIN, Kind: schema.VehicleBasicData, Fetched: at(2)}
	r := reading("a", at(0), number(1))
	r.Received = at(2)
	for name, c := range map[string]struct {
		got        Record
		topic, key string
	}{
		"reading": {names.ReadingRecord(r), "t.readings", string(testVIN)},
		"session": {names.SessionRecord(&session), "t.charging-sessions", string(testVIN)},
		"vehicle": {names.VehicleRecord(&vehicle), "t.vehicles", string(testVIN) + "/basic_data"},
	} {
		if c.got.Topic != c.topic || string(c.got.Key) != c.key || !c.got.Time.Equal(at(2)) || header(c.got, HeaderVersion) != SchemaVersion || len(c.got.Value) == 0 {
			t.Errorf("%s: got %+v", name, c.got)
		}
	}
}

func TestRefusedSessionsAndVehiclesAreKeptWhole(t *testing.T) {
	session := schema.ChargingSession{GCID: testGCID, VIN: testVIN, Start: at(0), Source: schema.SourceREST, Fetched: at(2)}
	vehicle := schema.Vehicle{GCID: testGCID, VIN: testVIN, Kind: schema.VehicleBasicData, Fetched: at(2)}
	d := schema.NewDecoder()
	for name, l := range map[string]Letter{"session": SessionLetter(&session), "vehicle": VehicleLetter(&vehicle)} {
		if l.Key != string(testVIN) || l.GCID != string(testGCID) || !l.FirstSeen.Equal(at(2)) {
			t.Errorf("%s: letter %+v", name, l)
		}
	}
	var s schema.ChargingSession
	var v schema.Vehicle
	if err := errors.Join(d.Session(&s, SessionLetter(&session).Original), d.Vehicle(&v, VehicleLetter(&vehicle).Original)); err != nil {
		t.Error(err)
	}
	if s.Start != session.Start || v.Kind != vehicle.Kind || v.Fetched != vehicle.Fetched {
		t.Errorf("original bytes give %+v and %+v", s, v)
	}
}
