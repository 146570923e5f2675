#!/usr/bin/env bash
# shellcheck disable=SC2329 # the servers' files call functions of this one
# Runs a command beside real servers:
#
#   test/servers/run.sh kafka influx1 mosquitto -- go test ./...
#
# Each server is fetched or built once, from package registries alone, and kept
# under ${XDG_CACHE_HOME:-~/.cache}/cardata-pipeline/servers. It listens on free
# loopback ports, starts empty, and is stopped at the end, whatever the end is.
# The exit code is the command's. Without a command this only builds. When
# something failed, the logs stay and their place is printed.
#
# The command finds in its environment:
#
# kafka       CARDATA_TEST_KAFKA            host:port, plain, every right
#             CARDATA_TEST_KAFKA_SASL       host:port, SASL_SSL: SCRAM-SHA-512 or PLAIN
#             CARDATA_TEST_KAFKA_MTLS       host:port, TLS that demands a client certificate
#             CARDATA_TEST_KAFKA_CA         file of the CA that signed all certificates
#             CARDATA_TEST_KAFKA_CERT       client certificate of the user (PEM file) …
#             CARDATA_TEST_KAFKA_KEY        … and its key (PKCS 8)
#             CARDATA_TEST_KAFKA_USER       a user with every right …
#             CARDATA_TEST_KAFKA_PASSWORD   … and the password
#             CARDATA_TEST_KAFKA_NOBODY_…   USER, PASSWORD, CERT, KEY of one who may do nothing
#             CARDATA_TEST_KAFKA_GATES      listen=advertised,…: plain listeners that tell
#                                           clients another address, where a test may put a
#                                           proxy of its own in front
#             CARDATA_TEST_KAFKA_CTL        control script, see ctl.sh
# influx1     CARDATA_TEST_INFLUX1          URL of InfluxDB 1.8
#             CARDATA_TEST_INFLUX1_CTL
# influx2     CARDATA_TEST_INFLUX2          URL,token of InfluxDB 2.7
#             CARDATA_TEST_INFLUX2_ORG      organisation; bucket "cardata" is there
#             CARDATA_TEST_INFLUX2_CTL
# mosquitto   CARDATA_TEST_MOSQUITTO        host:port, TLS 1.3
#             CARDATA_TEST_MOSQUITTO_CA
#             CARDATA_TEST_MOSQUITTO_USER   who may read USER/+ alone …
#             CARDATA_TEST_MOSQUITTO_PASSWORD
#             CARDATA_TEST_MOSQUITTO_FEEDER …, and who may write all; same password
#             CARDATA_TEST_MOSQUITTO_CTL
# s3          CARDATA_TEST_S3               endpoint URL of an S3 server
#             CARDATA_TEST_S3_KEY, CARDATA_TEST_S3_SECRET, CARDATA_TEST_S3_CTL
#             CARDATA_TEST_S3_BUCKET        an empty bucket
# python      CARDATA_TEST_PYTHON           interpreter with the packages of ../python/requirements.txt
#
# CARDATA_TEST_REQUIRE is left as it is: 1 makes tests fail for want of a server,
# a list such as "kafka,influx1" does so for those alone.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$HERE/lib.sh"
in_path /usr/sbin /usr/local/go/bin "$HOME/.cargo/bin"

known='kafka influx1 influx2 mosquitto s3 python'
servers=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case " $known " in *" $1 "*) servers+=("$1") ;; *) die "unknown server $1; known are: $known" ;; esac
  shift
done
[ ${#servers[@]} -gt 0 ] || die "usage: run.sh SERVER... [-- COMMAND...]; servers: $known"
[ "${1:-}" != -- ] || shift

# Of what is set up now: NAME, and DIR for its data, log and process id.
# command_is COMMAND... says how it is run.
command_is() {
  { printf 'exec' && printf ' %q' "$@" && echo; } >"$DIR/command"
}

# ready_when FUNCTION ARGUMENT... says when it answers; a function of lib.sh or
# of the server's file.
ready_when() {
  {
    printf '. %q\n. %q\n' "$HERE/lib.sh" "$HERE/$NAME.sh"
    printf '%q ' "$@"
    echo
  } >"$DIR/ready"
  printf '#!/bin/sh\nexec bash %q %q "$@"\n' "$HERE/ctl.sh" "$DIR" >"$DIR/ctl"
  chmod +x "$DIR/ctl"
}

start() {
  local from
  from=$(now_ms)
  "$DIR/ctl" start
  say "$NAME is up after $(($(now_ms) - from)) ms"
}

give() { export "$1=$2"; }

# certificates leaves in $TLS a CA, a server's certificate for the loopback
# address, and those of the clients "app" and "nobody".
certificates() {
  local who
  TLS=$RUN/tls
  [ ! -d "$TLS" ] || return 0
  need openssl openssl
  mkdir "$TLS"
  {
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=test CA' -keyout "$TLS/ca.key" -out "$TLS/ca.pem"
    for who in server app nobody; do
      openssl req -newkey rsa:2048 -nodes -subj "/CN=$who" -keyout "$TLS/$who.key" -out "$TLS/$who.csr"
      openssl x509 -req -days 30 -in "$TLS/$who.csr" -CA "$TLS/ca.pem" -CAkey "$TLS/ca.key" -CAcreateserial \
        -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost') -out "$TLS/$who.pem"
    done
  } 2>"$TLS/log" || die "openssl: $(cat "$TLS/log")"
}

RUN=$(mktemp -d "${TMPDIR:-/tmp}/cardata-servers.XXXXXX")
command=
code=1
finish() {
  trap - EXIT
  trap '' INT TERM HUP
  if [ -n "$command" ] && kill -0 "$command" 2>/dev/null; then
    kill -TERM -- "-$command" 2>/dev/null || true
    wait "$command" 2>/dev/null || true
  fi
  local ctl dir dead=
  for ctl in "$RUN"/*/ctl; do
    [ -x "$ctl" ] || continue
    dir=$(dirname "$ctl")
    if [ ! -f "$dir/pid" ]; then
      continue
    elif ! "$ctl" alive; then
      dead="$dead $(basename "$dir")"
      say "$(basename "$dir") is not running at the end; the end of its log:"
      tail -n 20 "$dir/log" >&2
    fi
  done
  for ctl in "$RUN"/*/ctl; do
    [ ! -x "$ctl" ] || "$ctl" stop &
  done
  wait
  if [ "$code" != 0 ] || [ -n "$dead" ]; then
    say "logs are kept: $(echo "$RUN"/*/log)"
  else
    rm -rf "$RUN"
  fi
  exit "$code"
}
trap finish EXIT
trap 'code=130; exit' INT
trap 'code=143; exit' TERM HUP

need curl curl
for NAME in "${servers[@]}"; do
  DIR=$RUN/$NAME
  mkdir "$DIR"
  # shellcheck source=/dev/null
  . "$HERE/$NAME.sh"
  if [ $# = 0 ]; then
    "${NAME}_get"
  else
    "${NAME}_setup"
  fi
done
if [ $# = 0 ]; then
  code=0
  exit
fi

set -m # a process group of its own, so that all of it can be ended
"$@" </dev/null &
command=$!
set +m
code=0
wait "$command" || code=$?
command=
exit "$code"
