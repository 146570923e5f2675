// Package schema holds the words of the pipeline: vehicles, accounts,
// descriptors, readings, gaps, charging sessions, vehicle records and the
// catalogue that types readings, with the decoding of readings and facts from
// BMW CarData payloads and the encoding of all of them for Kafka.
//
// It owns what a value means. It never does I/O, reads a clock, logs or starts
// a goroutine.
package schema
