// Package kafka moves pipeline records into and out of Kafka topics: topic
// creation, a producer that keeps order and isolates what can never pass, and a
// group consumer that commits only what its handler made durable.
//
// It owns partitioning, batching, retries towards the brokers and committed
// offsets. It never looks into a record's value and never drops one: a record is
// acknowledged, rejected by index with a reason, or still the caller's.
//
// Connections, logins, version negotiation and the group protocol are kafka-go's;
// TLS is ours, so that rotated certificates are taken up and its faults told.
// The three hot requests (metadata, produce, fetch) are written and read here
// and sent over kafka-go's connections, for reasons that its client cannot meet:
// one produce request carries the batches of all partitions of a broker,
// a moved leader is followed at once and not at the next refresh, a fetched
// batch says where the next one starts even if its last records are gone, and
// neither direction allocates per record. They need brokers of Kafka 2.1 or later.
package kafka
