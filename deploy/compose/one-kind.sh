#!/bin/sh
# Keeps simulated and real data apart: the first start writes the kind of data into
# a file of the installation, later starts with the other kind fail.
#
#   one-kind.sh real|demo FILE
set -eu
kind=$1 file=$2
held=$(cat "$file" 2>/dev/null || true)
case $held in
  '') printf '%s\n' "$kind" > "$file" ;;
  "$kind") ;;
  *)
    echo "this installation holds $held data, and simulated and real data must not be mixed." >&2
    echo "Keep both apart by a project name:   docker compose -p cardata-$kind … up" >&2
    echo "or delete all $held data first:       docker compose --profile $held down -v" >&2
    exit 1
    ;;
esac
