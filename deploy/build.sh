#!/bin/sh
# Builds all commands as the image holds them: static, without paths or clock of
# the machine that builds, so that the same source gives the same bytes.
#
#   VERSION=v1.2.3 deploy/build.sh OUT
#
# GOOS and GOARCH choose the target. The Dockerfile runs this very file.
set -eu
cd "$(dirname "$0")/.."
out=${1:?usage: VERSION=v1.2.3 deploy/build.sh OUT}
export CGO_ENABLED=0
mkdir -p "$out"
go build -trimpath -buildvcs=false \
  -ldflags "-s -w -buildid= -X github.com/cardata-pipeline/cardata-pipeline/internal/app/ops.version=${VERSION:-dev}" \
  -o "$out/" ./cmd/...
