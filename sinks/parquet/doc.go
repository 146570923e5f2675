// Package parquet writes the dataset that data scientists read: tables, their
// partitions by UTC day, and the manifest. It knows no source: rows are handed to it.
package parquet
