# shellcheck shell=bash
# InfluxDB 2: built from its Go module, which needs cargo (Flux is Rust) and a C
# compiler. Later versions cannot be built from the Go proxy.

influx2_version=2.7.12
influx2_token=test-token-0000000000

influx2_build() {
  local v=v$influx2_version src=$1/src tools=$1/src/.tools rust
  need_go
  need cc gcc libc6-dev
  need cargo cargo rustc
  # Flux pins an old compiler by a file for rustup; any of these does.
  if command -v rustup >/dev/null; then
    rust=$(cd / && rustup show active-toolchain | cut -d' ' -f1)
    export RUSTUP_TOOLCHAIN=$rust
  fi
  rust=$(cd / && cargo --version | cut -d' ' -f2)
  [ "$(printf '%s\n' 1.72 "$rust" | sort -V | head -n 1)" = 1.72 ] ||
    die "cargo $rust is too old for InfluxDB $influx2_version: 1.72 is needed, see https://rustup.rs"

  export GOFLAGS='' GOWORK=off
  (cd / && go mod download "github.com/influxdata/influxdb/v2@$v")
  cp -r "$(go env GOMODCACHE)/github.com/influxdata/influxdb/v2@$v" "$src"
  chmod -R u+w "$src"
  mkdir "$tools"
  (cd / && GOBIN=$tools go install github.com/influxdata/pkg-config@v0.2.14)
  # Flux denies warnings, and newer compilers know more of them.
  cat >"$tools/rustc-cap" <<'SH'
#!/bin/sh
case " $* " in *" --cap-lints "*) exec "$@" ;; *) exec "$@" --cap-lints warn ;; esac
SH
  chmod +x "$tools/rustc-cap"
  cd "$src" || return
  PATH=$tools:$PATH PKG_CONFIG=$tools/pkg-config RUSTC_WRAPPER=$tools/rustc-cap CGO_ENABLED=1 \
    go build -trimpath -tags sqlite_foreign_keys,sqlite_json,noasm -ldflags "-s -w -X main.version=$v" \
    -o "$1/influxd" ./cmd/influxd
  rm -rf "$src"
}

influx2_get() { cached "influxd-$influx2_version" influx2_build; }

influx2_setup() {
  local answer bucket
  influx2_get
  free_port
  command_is "$BUILT/influxd" run --http-bind-address "127.0.0.1:$PORT" --bolt-path "$DIR/bolt" --sqlite-path "$DIR/sqlite" \
    --engine-path "$DIR/engine" --reporting-disabled --ui-disabled --log-level warn
  ready_when http_ready "http://127.0.0.1:$PORT/ready" 200
  start
  answer=$(curl -sS -f -m 10 "http://127.0.0.1:$PORT/api/v2/setup" \
    -d "{\"username\":\"admin\",\"password\":\"test-password\",\"org\":\"test\",\"bucket\":\"cardata\",\"retentionPeriodSeconds\":0,\"token\":\"$influx2_token\"}")
  bucket=$(printf '%s' "$answer" | tr -d '\n\t ' | sed -n 's/.*"bucket":{\(.*\)/\1/p' | sed -n 's/[^}]*"id":"\([0-9a-f]*\)","orgID".*/\1/p')
  [ -n "$bucket" ] || die "influx2: no bucket in the answer of setup: $answer"
  curl -sS -f -m 10 -o /dev/null "http://127.0.0.1:$PORT/api/v2/dbrps" -H "Authorization: Token $influx2_token" \
    -d "{\"org\":\"test\",\"bucketID\":\"$bucket\",\"database\":\"cardata\",\"retention_policy\":\"autogen\",\"default\":true}"
  give CARDATA_TEST_INFLUX2 "http://127.0.0.1:$PORT,$influx2_token"
  give CARDATA_TEST_INFLUX2_ORG test
  give CARDATA_TEST_INFLUX2_CTL "$DIR/ctl"
}
