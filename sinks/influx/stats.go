package influx

import "sync/atomic"

// Stats counts what a client did since its start. Every counter only grows and
// may be read at any time.
type Stats struct {
	Points       atomic.Int64 // lines acknowledged by the server, day and freshness marks included; a repeated write counts again
	Batches      atomic.Int64 // write requests acknowledged
	Bytes        atomic.Int64 // line protocol bytes acknowledged, before compression
	Halvings     atomic.Int64 // refused requests that were split in two
	Rejected     atomic.Int64 // items that the server can never take
	Unencodable  atomic.Int64 // items that line protocol cannot carry, never sent
	MarksIgnored atomic.Int64 // day or freshness marks older than the server's retention
	Failures     atomic.Int64 // write requests without an acknowledgement and without a refusal of lines
}
