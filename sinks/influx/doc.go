// Package influx writes readings, gaps and their bookkeeping to InfluxDB and
// reads them back with InfluxQL. One code path serves 1.8, 2.x and 3: lines go
// to /api/v2/write, queries to /query.
//
// It owns the line protocol, the classing of the server's answers and the
// halving of refused batches. It never retries, never drops a line in silence
// and never decides what a value means.
//
// # Data dictionary
//
//	measurement  tags             fields                                              time
//	reading      vin, descriptor  number float | bool boolean | text string |         measured
//	                              absent boolean, always true
//	gap          gcid, vin        end integer, unix ms; cause string; seconds float   start of the gap
//	freshness    vin              lag_ms integer; readings integer                    start of the minute
//	day          vin, table       touched integer, unix ms                            start of the UTC day
//
// A reading line carries exactly one field, chosen by the kind of its value.
// When a later revision of a key (vin, descriptor, time) has another kind, the
// earlier field stays: readers take number or bool, then text, then absent.
// Of several values of one key in one batch the last wins.
//
// A gap has one point for each car known at the time; an account without known
// cars has one point without the tag vin, and no day. A gap's day is the one it starts on.
//
// touched of (vin, table, day) changes with every write that hits that day and
// is written after the points are durable. It only ever grows within one
// process; readers compare it for equality, never with a clock.
package influx
