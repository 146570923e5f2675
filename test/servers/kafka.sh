# shellcheck shell=bash
# Apache Kafka, one node in KRaft mode, from Maven. It serves plain text, SASL over
# TLS and TLS with client certificates; who is not named as a super user may do
# nothing.

kafka_version=4.4.0
kafka_gates=6

kafka_build() {
  need java default-jre-headless
  need mvn maven
  cat >"$1/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>test</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version><scope>runtime</scope></dependency>
  </dependencies>
</project>
XML
  (cd "$1" && mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime -DoutputDirectory=libs)
}

kafka_get() { cached "kafka-$kafka_version" kafka_build; }

# kafka_ready PORT holds once the broker knows who coordinates a group: it asks
# (FindCoordinator, version 0, group "r") and wants error code 0. The first such
# question makes the broker create its topic of offsets, which a first consumer
# would else wait 5 s for.
kafka_ready() {
  local answer
  exec 3<>"/dev/tcp/127.0.0.1/$1"
  printf '\0\0\0\015\0\012\0\0\0\0\0\001\377\377\0\001r' >&3
  answer=$(head -c 10 <&3 | od -An -tx1 | tr -d ' \n')
  [ "${answer:8}" = 000000010000 ]
}

kafka_setup() {
  local plain control sasl mtls i listen gates="" listeners advertised map
  kafka_get
  need java default-jre-headless
  certificates
  cat "$TLS/server.key" "$TLS/server.pem" >"$DIR/keystore.pem"
  free_port && plain=$PORT
  free_port && control=$PORT
  free_port && sasl=$PORT
  free_port && mtls=$PORT
  advertised=PLAINTEXT://127.0.0.1:$plain,SASL://127.0.0.1:$sasl,MTLS://127.0.0.1:$mtls
  listeners=$advertised,CONTROLLER://127.0.0.1:$control
  map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MTLS:SSL
  for ((i = 1; i <= kafka_gates; i++)); do
    free_port && listen=$PORT
    free_port
    listeners=$listeners,GATE$i://127.0.0.1:$listen
    advertised=$advertised,GATE$i://127.0.0.1:$PORT
    map=$map,GATE$i:PLAINTEXT
    gates=$gates,127.0.0.1:$listen=127.0.0.1:$PORT
  done
  cat >"$DIR/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$control
controller.listener.names=CONTROLLER
listeners=$listeners
advertised.listeners=$advertised
listener.security.protocol.map=$map
inter.broker.listener.name=PLAINTEXT
log.dirs=$DIR/data
auto.create.topics.enable=false
num.network.threads=2
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
log.cleaner.dedupe.buffer.size=16777216
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
ssl.keystore.type=PEM
ssl.keystore.location=$DIR/keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location=$TLS/ca.pem
ssl.enabled.protocols=TLSv1.3
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*\$/\$1/
listener.name.mtls.ssl.client.auth=required
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_app="app-secret" user_nobody="nobody-secret";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:app
PROPERTIES
  java -cp "$BUILT/libs/*" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$DIR/server.properties" \
    --add-scram 'SCRAM-SHA-512=[name=app,password=app-secret]' \
    --add-scram 'SCRAM-SHA-512=[name=nobody,password=nobody-secret]' >"$DIR/format" 2>&1 ||
    die "kafka: $(tail -n 5 "$DIR/format")"
  command_is java -Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$BUILT/libs/*" kafka.Kafka "$DIR/server.properties"
  ready_when kafka_ready "$plain"
  start
  give CARDATA_TEST_KAFKA "127.0.0.1:$plain"
  give CARDATA_TEST_KAFKA_SASL "127.0.0.1:$sasl"
  give CARDATA_TEST_KAFKA_MTLS "127.0.0.1:$mtls"
  give CARDATA_TEST_KAFKA_CA "$TLS/ca.pem"
  give CARDATA_TEST_KAFKA_CERT "$TLS/app.pem"
  give CARDATA_TEST_KAFKA_KEY "$TLS/app.key"
  give CARDATA_TEST_KAFKA_USER app
  give CARDATA_TEST_KAFKA_PASSWORD app-secret
  give CARDATA_TEST_KAFKA_NOBODY_CERT "$TLS/nobody.pem"
  give CARDATA_TEST_KAFKA_NOBODY_KEY "$TLS/nobody.key"
  give CARDATA_TEST_KAFKA_NOBODY_USER nobody
  give CARDATA_TEST_KAFKA_NOBODY_PASSWORD nobody-secret
  give CARDATA_TEST_KAFKA_GATES "${gates#,}"
  give CARDATA_TEST_KAFKA_CTL "$DIR/ctl"
}
