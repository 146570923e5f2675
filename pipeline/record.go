package pipeline

import "time"

// Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// Record is one Kafka record on its way out or in. The byte slices of a record
// that was read are valid until the handler that got it returns; those of a
// record to be produced must stay unchanged until Produce returns.
type Record struct {
	Topic     string
	Key       []byte // partitioned by Java-compatible murmur2; nil spreads
	Value     []byte
	Headers   []Header
	Time      time.Time
	Partition int   // set when read
	Offset    int64 // set when read
}
