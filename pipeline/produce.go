package pipeline

import "github.com/cardata-pipeline/cardata-pipeline/schema"

// ReadingRecord gives the Kafka record of a reading; it holds no reference to r.
// Its time is that of arrival, never of measuring: retention would delete what
// an old record stands before.
func (t Topics) ReadingRecord(r *schema.Reading) Record {
	return Record{
		Topic: t.Readings, Key: []byte(r.VIN), Value: schema.AppendReading(nil, r),
		Headers: versioned(), Time: r.Received,
	}
}

// SessionRecord gives the Kafka record of a charging session; it holds no
// reference to s. All versions of a session have one key, so that they stay in
// the order they were fetched in.
func (t Topics) SessionRecord(s *schema.ChargingSession) Record {
	return Record{
		Topic: t.ChargingSessions, Key: []byte(s.VIN), Value: schema.AppendSession(nil, s),
		Headers: versioned(), Time: s.Fetched,
	}
}

// VehicleRecord gives the Kafka record of a vehicle record, with the key
// VIN/kind; it holds no reference to v.
func (t Topics) VehicleRecord(v *schema.Vehicle) Record {
	return Record{
		Topic: t.Vehicles, Key: []byte(string(v.VIN) + "/" + string(v.Kind)), Value: schema.AppendVehicle(nil, v),
		Headers: versioned(), Time: v.Fetched,
	}
}

func versioned() []Header { return []Header{text(HeaderVersion, SchemaVersion)} }
