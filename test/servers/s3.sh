# shellcheck shell=bash
# An S3 server: versitygw, which keeps objects as plain files.

s3_version=1.8.0

s3_build() { go_install "$1" "github.com/versity/versitygw/cmd/versitygw@v$s3_version"; }

s3_get() { cached "versitygw-$s3_version" s3_build; }

s3_setup() {
  s3_get
  free_port
  mkdir -p "$DIR/objects/cardata" "$DIR/metadata" # a folder is a bucket
  # Metadata beside the objects: not every temporary folder has extended attributes.
  command_is env ROOT_ACCESS_KEY=test-key ROOT_SECRET_KEY=test-secret "$BUILT/versitygw" --port "127.0.0.1:$PORT" \
    --region us-east-1 --health /health posix --sidecar "$DIR/metadata" "$DIR/objects"
  ready_when http_ready "http://127.0.0.1:$PORT/health" 200
  start
  give CARDATA_TEST_S3 "http://127.0.0.1:$PORT"
  give CARDATA_TEST_S3_KEY test-key
  give CARDATA_TEST_S3_SECRET test-secret
  give CARDATA_TEST_S3_BUCKET cardata
  give CARDATA_TEST_S3_CTL "$DIR/ctl"
}
