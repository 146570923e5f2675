# shellcheck shell=bash
# InfluxDB 1.8, from its Go module.

influx1_version=1.8.10

influx1_build() {
  go_install "$1" "github.com/influxdata/influxdb/cmd/influxd@v$influx1_version" "-X main.version=$influx1_version"
}

influx1_get() { cached "influxd-$influx1_version" influx1_build; }

influx1_setup() {
  local rpc
  influx1_get
  free_port && rpc=$PORT
  free_port
  # Flux stays off: it costs 5 to 10 s at each start.
  cat >"$DIR/influxdb.conf" <<TOML
reporting-disabled = true
bind-address = "127.0.0.1:$rpc"
[meta]
  dir = "$DIR/meta"
[data]
  dir = "$DIR/data"
  wal-dir = "$DIR/wal"
  index-version = "tsi1"
[http]
  bind-address = "127.0.0.1:$PORT"
  log-enabled = false
[monitor]
  store-enabled = false
TOML
  command_is "$BUILT/influxd" run -config "$DIR/influxdb.conf"
  ready_when http_ready "http://127.0.0.1:$PORT/ping" 204
  start
  give CARDATA_TEST_INFLUX1 "http://127.0.0.1:$PORT"
  give CARDATA_TEST_INFLUX1_CTL "$DIR/ctl"
}
