#!/usr/bin/env bash
# Starts and stops one server whose folder has been prepared by run.sh; its data
# stays. Tests call it through the path in CARDATA_TEST_<SERVER>_CTL.
#
#   CTL start    and wait until it answers     CTL pid    its process id
#   CTL stop     in order (SIGTERM)            CTL log    path of its log
#   CTL kill     at once (SIGKILL)
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

dir=$1
name=$(basename "$dir")

# began PID gives the moment a process started, so that a process id which was
# given to another since is told apart. A dead child not yet collected has none.
began() {
  local stat
  if [ -d /proc/self ]; then
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return
    # shellcheck disable=SC2086 # fields after the name, which may hold spaces
    set -- ${stat##*) }
    [ "$1" != Z ] && printf '%s' "${20}"
  else
    ps -o lstart= -p "$1"
  fi
}

alive() {
  local pid since
  [ -f "$dir/pid" ] || return 1
  IFS=' ' read -r pid since <"$dir/pid"
  [ "$(began "$pid" || true)" = "$since" ]
}

pid() { cut -d' ' -f1 "$dir/pid"; }

# gone waits some seconds for the end of the process.
gone() {
  local end=$((SECONDS + $1))
  while alive; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}

start() {
  local end=$((SECONDS + 300)) pid
  alive && return
  set -m # a process group of its own: Ctrl-C ends the tests, then run.sh ends this
  bash "$dir/command" </dev/null >>"$dir/log" 2>&1 &
  pid=$!
  set +m
  printf '%s %s\n' "$pid" "$(began "$pid" || true)" >"$dir/pid"
  until bash "$dir/ready" >/dev/null 2>&1; do
    alive || failed "$name ended while starting"
    [ "$SECONDS" -lt "$end" ] || failed "$name does not answer after 5 minutes"
    sleep 0.05
  done
}

failed() {
  say "$1; the end of its log:"
  tail -n 30 "$dir/log" >&2
  exit 1
}

stop() {
  alive || return 0
  kill -TERM "$(pid)" 2>/dev/null || true
  gone 30 || now
}

now() {
  alive || return 0
  kill -KILL "$(pid)" 2>/dev/null || true
  gone 30 || die "$name does not end"
}

case ${2:-} in
start) start ;;
stop) stop ;;
kill) now ;;
alive) alive ;;
pid) pid ;;
log) echo "$dir/log" ;;
*) die "usage: ctl start|stop|kill|alive|pid|log" ;;
esac
