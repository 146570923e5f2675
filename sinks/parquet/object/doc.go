// Package object keeps a Parquet dataset in a bucket of object storage: S3 and
// what speaks its protocol, Google Cloud Storage, Azure. It holds no driver: the
// program that opens a target imports the driver of its URL's scheme, such as
// gocloud.dev/blob/s3blob for s3.
package object
