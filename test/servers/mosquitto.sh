# shellcheck shell=bash
# Mosquitto, from the distribution's packages, set up as BMW's broker is: TLS, a
# user for each account, who may read topics below the user's name alone.

mosquitto_get() { need mosquitto mosquitto; }

mosquitto_setup() {
  local user=00000000-0000-4000-8000-000000000001 who
  mosquitto_get
  certificates
  free_port
  : >"$DIR/passwd"
  chmod 600 "$DIR/passwd"
  for who in "$user" feeder; do
    mosquitto_passwd -b "$DIR/passwd" "$who" test-token 2>"$DIR/log" || die "mosquitto_passwd: $(cat "$DIR/log")"
  done
  printf 'user %s\ntopic read %s/+\n\nuser feeder\ntopic write #\n' "$user" "$user" >"$DIR/acl"
  chmod 600 "$DIR/acl"
  cat >"$DIR/mosquitto.conf" <<CONF
allow_anonymous false
password_file $DIR/passwd
acl_file $DIR/acl
persistence true
persistence_location $DIR/
user $(id -un)
listener $PORT 127.0.0.1
cafile $TLS/ca.pem
certfile $TLS/server.pem
keyfile $TLS/server.key
tls_version tlsv1.3
CONF
  command_is mosquitto -c "$DIR/mosquitto.conf"
  ready_when port_ready "$PORT"
  start
  give CARDATA_TEST_MOSQUITTO "127.0.0.1:$PORT"
  give CARDATA_TEST_MOSQUITTO_CA "$TLS/ca.pem"
  give CARDATA_TEST_MOSQUITTO_USER "$user"
  give CARDATA_TEST_MOSQUITTO_PASSWORD test-token
  give CARDATA_TEST_MOSQUITTO_FEEDER feeder
  give CARDATA_TEST_MOSQUITTO_CTL "$DIR/ctl"
}
