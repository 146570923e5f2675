# shellcheck shell=bash
# What every server's script shares: the cache of built servers, missing tools,
# free ports, and processes of which only our own are ever stopped.
# Sourced by run.sh and ctl.sh; sets nothing but functions and CACHE.

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/cardata-pipeline/servers

say() { printf 'servers: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# in_path DIR... adds folders where package managers put what users cannot see.
in_path() {
  local d
  for d in "$@"; do
    case ":$PATH:" in *":$d:"*) ;; *) PATH=$PATH:$d ;; esac
  done
}

# need COMMAND PACKAGE... installs what is missing, on Debian and as root; else
# it says what to install.
need() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "$command is needed: install it (on Debian: apt-get install $*)"
  fi
  say "installing $*"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2 ||
    die "apt-get install $* did not work"
  command -v "$command" >/dev/null || die "$command is still missing after apt-get install $*"
}

# cached NAME FUNCTION leaves the folder of NAME in $BUILT, built once by
# FUNCTION DIR. It is built beside its place and moved there when complete, so an
# interrupted build leaves nothing that looks like a server.
cached() {
  local name=$1 build=$2 lock tmp began=$SECONDS
  BUILT=$CACHE/$name
  [ -d "$BUILT" ] && return
  mkdir -p "$CACHE"
  exec {lock}>"$CACHE/.$name.lock"
  if command -v flock >/dev/null && ! flock -n "$lock"; then
    say "another run is building $name: waiting for it"
    flock "$lock"
  fi
  if [ ! -d "$BUILT" ]; then
    rm -rf "$CACHE/.$name.building".* # left by a build that was interrupted
    tmp=$(mktemp -d "$CACHE/.$name.building.XXXXXX")
    say "building $name"
    ("$build" "$tmp") >"$tmp.log" 2>&1 || {
      tail -n 40 "$tmp.log" >&2
      die "building $name did not work; all of its output: $tmp.log"
    }
    chmod 755 "$tmp"
    mv "$tmp" "$BUILT"
    rm -f "$tmp.log"
    say "built $name in $((SECONDS - began)) s"
  fi
  exec {lock}>&-
}

# go_install DIR PACKAGE@VERSION [LDFLAGS] puts one Go program into DIR.
go_install() {
  need_go
  (cd / && GOFLAGS='' GOWORK=off CGO_ENABLED=0 GOBIN=$1 go install -trimpath -ldflags "-s -w ${3:-}" "$2")
}

need_go() { command -v go >/dev/null || die "go is needed: see https://go.dev/doc/install"; }

# free_port leaves a loopback port in $PORT that nobody listens on and that no
# earlier call gave out. The range is below the one clients get theirs from.
free_port() {
  while :; do
    PORT=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    case " ${PORTS_GIVEN:-} " in *" $PORT "*) continue ;; esac
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && continue
    PORTS_GIVEN="${PORTS_GIVEN:-} $PORT"
    return
  done
}

# http_ready URL CODE holds once URL answers with CODE.
http_ready() { [ "$(curl -s -o /dev/null -m 2 -w '%{http_code}' "$1" || true)" = "$2" ]; }

# port_ready PORT holds once somebody listens.
port_ready() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# now_ms gives the time in milliseconds (bash 5; else in whole seconds).
now_ms() {
  local t=${EPOCHREALTIME:-$(date +%s).000000}
  t=${t/[.,]/}
  echo "${t%???}"
}
