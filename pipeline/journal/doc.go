// Package journal is the crash-safe local log ahead of Kafka: what BMW sent once
// and never repeats is written here within milliseconds of the read, and stays
// until Kafka has acknowledged it.
//
// It owns one directory: segment files, the position file, and what it put
// aside as damaged. It is opaque to content and never knows what a record means.
//
// # What holds
//
//   - Record numbers rise by one, start at 1 and are never given twice, whatever
//     a crash or a power loss took away. After an unclean stop they jump: the
//     position file reserves numbers ahead of their use, and the next process starts
//     above everything reserved. A jump is always at a segment's start.
//   - A record is in a file (safe from kill -9) at most Config.GroupWait and one
//     write after Append, and on the disk (safe from a power loss) by the Policy.
//   - A Reader never sees a record that a power loss could still take (but under
//     SyncNever), so the committed position never passes the synced end.
//   - A damaged record is never delivered. The damaged bytes are kept aside in a
//     file ending in .corrupt, the Reader says once what is lost (CorruptError) and goes
//     on with the next record that is whole.
//   - Size stays within Config.MaxBytes. At the limit new records are refused and
//     old ones kept; a reserve is left for control records, which say what is missing.
//
// # Format
//
// A segment is named after the number of its first record. It starts with a
// header of 40 bytes (magic, first number, last number before it, time of
// creation, CRC-32C); then come records, little endian:
//
//	crc u32 | length and flags u32 | number u64 | unix nanoseconds i64 | data
//
// The CRC-32C covers everything after itself and starts from a seed made of the
// segment's first number, so that bytes of another segment never pass for a record
// of this one.
package journal
