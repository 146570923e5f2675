package pipeline

// Topics names the Kafka topics of the pipeline.
type Topics struct {
	Readings         string
	Raw              string
	Gaps             string
	ChargingSessions string // key VIN
	Vehicles         string // key VIN/kind
	DeadLetters      string
}

// TopicsFor gives the names under a prefix such as "cardata.".
func TopicsFor(prefix string) Topics {
	return Topics{
		Readings:         prefix + "readings",
		Raw:              prefix + "raw",
		Gaps:             prefix + "gaps",
		ChargingSessions: prefix + "charging-sessions",
		Vehicles:         prefix + "vehicles",
		DeadLetters:      prefix + "dead-letters",
	}
}

// All lists the names in the order of the data flow.
func (t Topics) All() []string {
	return []string{t.Raw, t.Readings, t.Gaps, t.ChargingSessions, t.Vehicles, t.DeadLetters}
}

// Header keys of the records. Values are text.
const (
	HeaderVersion   = "v"          // version of the value's schema
	HeaderGCID      = "gcid"       // account
	HeaderTopic     = "topic"      // raw: MQTT topic; dead letter: where it came from
	HeaderReceived  = "received"   // RFC 3339 with nanoseconds
	HeaderStage     = "stage"      // dead letter: who gave up
	HeaderReason    = "reason"     // dead letter: code of a fixed set
	HeaderText      = "text"       // dead letter: details for a person
	HeaderFirstSeen = "first_seen" // dead letter: RFC 3339
	HeaderAttempts  = "attempts"   // dead letter: how often it was tried
	HeaderSHA256    = "sha256"     // cut payloads: of the whole, hex
	HeaderLength    = "length"     // cut payloads: of the whole, bytes
)

// SchemaVersion is the version of readings, gaps, sessions and vehicle records
// in HeaderVersion.
const SchemaVersion = "1"
