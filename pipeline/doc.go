// Package pipeline holds the stages between the edges: intake, normalise,
// dedupe, relay to Kafka, batch and retry towards a store, dead letters, and the ledger
// that counts what went where.
//
// It keeps one promise: at least once, in order per vehicle, idempotent at the
// end. It never imports an edge, a store or a client library.
package pipeline
