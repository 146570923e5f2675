// Package schema holds the words of the pipeline: vehicles, accounts,
// descriptors, readings, gaps and the catalogue that types them, with their
// decoding from BMW CarData payloads and their encoding for Kafka.
//
// It owns what a value means. It never does I/O, reads a clock, logs or starts
// a goroutine.
package schema
