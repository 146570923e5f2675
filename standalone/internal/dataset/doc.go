// Package dataset holds the tests of the exporter on a real InfluxDB: what it
// brings into Parquet is held against what InfluxDB has.
package dataset
