#!/usr/bin/env bash
# Proves what the image is made of, without a container engine: deploy/build.sh,
# which the Dockerfile runs, gives static binaries, and the same bytes from
# another folder, another build cache and another clock.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

VERSION=v0.0.0-check deploy/build.sh "$work/one"

# What .dockerignore lets through, as the builder sees it.
mkdir -p "$work/elsewhere/deploy"
cp -r go.mod go.sum cmd cardata internal pipeline schema sinks "$work/elsewhere/"
cp deploy/build.sh "$work/elsewhere/deploy/"
find "$work/elsewhere" -name '*_test.go' -delete
find "$work/elsewhere" -name testdata -type d -prune -exec rm -rf {} +
GOCACHE=$work/cache VERSION=v0.0.0-check "$work/elsewhere/deploy/build.sh" "$work/two"

for b in "$work"/one/*; do
  name=$(basename "$b")
  cmp "$b" "$work/two/$name"
  go version -m "$b" | grep -q 'CGO_ENABLED=0' || { echo "$name was built with cgo" >&2 && exit 1; }
  if readelf -d "$b" 2>/dev/null | grep -q NEEDED || readelf -l "$b" | grep -q INTERP; then
    echo "$name is not static" >&2 && exit 1
  fi
  if grep -aq "$PWD" "$b"; then echo "$name holds a path of this machine" >&2 && exit 1; fi
  printf '%-10s %9s bytes, static, the same twice: %s\n' "$name" "$(stat -c %s "$b")" "$(sha256sum "$b" | cut -c1-16)"
done
"$work/one/cardata" --version | grep -q v0.0.0-check
"$work/one/ingest" -version | grep -q v0.0.0-check
