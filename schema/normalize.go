package schema

import "time"

// The limits of what a payload may hold.
const (
	// MaxTextBytes is the longest text value, in bytes of UTF-8: what InfluxDB
	// takes as one string field, and far below a Kafka record.
	MaxTextBytes = 64 << 10
	// MaxDescriptorBytes is the longest descriptor after cleaning.
	MaxDescriptorBytes = 256
	// MaxDepth is how deep objects and arrays may be nested.
	MaxDepth = 64
)

// Reason is the code of a fault; the set is fixed, because metrics and dead
// letters carry it.
type Reason string

// The reasons. Those up to ReasonNoData and the identities concern the whole
// message, the others one descriptor.
const (
	ReasonInvalidJSON       Reason = "invalid_json"
	ReasonInvalidUTF8       Reason = "invalid_utf8"
	ReasonTooDeep           Reason = "too_deep"
	ReasonNotAnObject       Reason = "not_an_object"
	ReasonNoData            Reason = "no_data"
	ReasonInvalidVIN        Reason = "invalid_vin"
	ReasonInvalidGCID       Reason = "invalid_gcid"
	ReasonVINMismatch       Reason = "vin_mismatch"
	ReasonGCIDMismatch      Reason = "gcid_mismatch"
	ReasonInvalidDescriptor Reason = "invalid_descriptor"
	ReasonInvalidPoint      Reason = "invalid_point"
	ReasonTimeMissing       Reason = "time_missing"
	ReasonTimeInvalid       Reason = "time_invalid"
	ReasonTimeOutOfRange    Reason = "time_out_of_range"
	ReasonTextTooLong       Reason = "text_too_long"
)

// Reasons lists all reasons, so that each can have its counter from the start.
func Reasons() []Reason {
	return []Reason{
		ReasonInvalidJSON, ReasonInvalidUTF8, ReasonTooDeep, ReasonNotAnObject, ReasonNoData,
		ReasonInvalidVIN, ReasonInvalidGCID, ReasonVINMismatch, ReasonGCIDMismatch, ReasonInvalidDescriptor,
		ReasonInvalidPoint, ReasonTimeMissing, ReasonTimeInvalid, ReasonTimeOutOfRange, ReasonTextTooLong,
	}
}

// Fault says what in a message could not become a reading.
type Fault struct {
	Descriptor Descriptor // empty when the whole message is meant
	Reason     Reason
	Text       string // for a person; never an identity of a vehicle or an account
}

// Input is one payload and the facts around it.
type Input struct {
	// GCID and VIN come from the MQTT topic or the request. Empty takes the
	// body's own; given, the body's must be the same.
	GCID     GCID
	VIN      VIN
	Received time.Time // arrival here
	Source   Source    // empty is the way the method stands for
	Payload  []byte    // only read, and not kept
}

// Result is what a payload became. It belongs to the caller, who hands it in
// again and again; Stream and Telematic reset it first. What is in it shares
// nothing with the payload, so copied readings stay good.
type Result struct {
	Readings []Reading
	Skipped  []Descriptor // never reported by this car: value and time are null
	Faults   []Fault
	Misfits  int // readings whose value did not fit the catalogue's type and is text
}

// Reset empties r and keeps its memory.
func (r *Result) Reset() {
	r.Readings = r.Readings[:0]
	r.Skipped = r.Skipped[:0]
	r.Faults = r.Faults[:0]
	r.Misfits = 0
}
