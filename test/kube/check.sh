#!/usr/bin/env bash
# Checks of chart, alerts and Dockerfile:
#
#   check.sh         helm lint, renderings, helm-unittest, helm-docs, kubeconform,
#                    kube-score, hadolint and the Go tests that hold the chart to the code
#   check.sh full    besides, promtool's unit tests, and a dry run of each rendering, an install, an upgrade and
#                    an uninstall on a real API server
#
# Tools are built once into a cache, see tools.sh: about 4 minutes for the first
# run on two cores, 15 more for the full one; afterwards half a minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
chart=deploy/helm/cardata-pipeline
examples="minimal production demo"
step() { printf '\n== %s (%ss)\n' "$*" "$SECONDS"; }
tool() { test/kube/tools.sh "$@"; }

work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

step tools
helm=$(tool helm)
unittest=$(tool helm-unittest)
docs=$(tool helm-docs)
kubeconform=$(tool kubeconform)
kubescore=$(tool kube-score)
schemas=$(tool schemas)

step helm lint and template
for e in $examples; do
  "$helm" lint --quiet --strict "$chart" -f "$chart/ci/$e-values.yaml"
  "$helm" template cardata "$chart" --namespace cardata -f "$chart/ci/$e-values.yaml" >"$work/$e.yaml"
done

step helm-unittest
"$unittest" "$chart"

step helm-docs
cp -r "$chart" "$work/chart"
"$docs" --log-level warning -c "$work/chart"
diff -u "$chart/README.md" "$work/chart/README.md" || { echo "run make chart-docs" >&2 && exit 1; }

step kubeconform
for e in $examples; do
  "$kubeconform" -strict -summary -schema-location "$schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$work/$e.yaml"
done

# Left out on purpose: a limit of CPU (it slows down what must drain), the pull
# policy (the image is pinned), limits of ephemeral storage (the root is read-only), anti-affinity (the
# topology spread does it), and the one replica that backfill's state allows.
step kube-score
for e in $examples; do
  "$kubescore" score --output-format ci --exit-one-on-warning --ignore-container-cpu-limit \
    --ignore-test container-image-pull-policy --ignore-test container-ephemeral-storage-request-and-limit \
    --ignore-test deployment-has-host-podantiaffinity --ignore-test statefulset-has-host-podantiaffinity \
    --ignore-test deployment-replicas --ignore-test deployment-strategy "$work/$e.yaml" >"$work/score" ||
    { grep -vE '^\[(OK|SKIPPED)\]' "$work/score" && exit 1; }
done

step hadolint
if command -v python3 >/dev/null; then
  hadolint=$(tool hadolint)
  "$hadolint" Dockerfile
else
  echo "left out: its released binary comes as a Python package, and there is no python3"
fi

step chart against code
CARDATA_HELM=$helm CARDATA_TEST_REQUIRE=1 go test -count=1 ./internal/deploytest/

[ "${1:-}" = full ] || { step done; exit 0; }

step promtool
promtool=$(tool promtool)
"$promtool" check rules deploy/alerts/*.rules.yaml
(cd deploy/alerts && "$promtool" test rules cardata_test.yaml)

step API server
kube=$(tool kube)
crds=$(tool crds)
base=$((20000 + RANDOM % 10000)) # a busy one ends the run with the server's own words
client=$base peer=$((base + 1)) api=$((base + 2))
"$kube/etcd" --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$client" --advertise-client-urls "http://127.0.0.1:$client" \
  --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
  --initial-cluster "default=http://127.0.0.1:$peer" --unsafe-no-fsync >"$work/etcd.log" 2>&1 &
pids+=($!)
openssl genrsa -out "$work/sa.key" 2048 2>/dev/null
token=$(openssl rand -hex 16)
echo "$token,admin,admin,\"system:masters\"" >"$work/tokens.csv"
"$kube/kube-apiserver" --etcd-servers="http://127.0.0.1:$client" --bind-address=127.0.0.1 --advertise-address=127.0.0.1 \
  --secure-port="$api" --cert-dir="$work/certs" --service-account-issuer=https://kubernetes.default.svc \
  --service-account-key-file="$work/sa.key" --service-account-signing-key-file="$work/sa.key" \
  --service-cluster-ip-range=10.96.0.0/16 --authorization-mode=RBAC --token-auth-file="$work/tokens.csv" \
  --disable-admission-plugins=ServiceAccount --endpoint-reconciler-type=none >"$work/apiserver.log" 2>&1 &
pids+=($!)
export KUBECONFIG=$work/kubeconfig
cat >"$KUBECONFIG" <<EOF
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:$api", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: "$token"}}]
contexts: [{name: x, context: {cluster: c, user: u, namespace: cardata}}]
current-context: x
EOF
kubectl=$kube/kubectl
for _ in $(seq 240); do
  "$kubectl" get --raw /readyz >/dev/null 2>&1 && break
  kill -0 "${pids[1]}" 2>/dev/null || { tail -5 "$work/apiserver.log" >&2 && exit 1; }
  sleep 0.5
done
"$kubectl" version
"$kubectl" create namespace cardata
# The strictest standard for pods: those are refused, templates of pods bring a warning.
"$kubectl" label namespace cardata pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted
"$kubectl" apply --server-side -f "$crds" >/dev/null
"$kubectl" wait --for=condition=Established crd --all --timeout=60s >/dev/null

step dry runs on the API server
for e in $examples; do
  "$kubectl" apply --server-side --dry-run=server --validate=strict -f "$work/$e.yaml" >"$work/out" 2>&1 || { cat "$work/out" >&2 && exit 1; }
  printf '%s: %s objects taken\n' "$e" "$(grep -c 'serverside-applied' "$work/out")"
  if grep -i warning "$work/out"; then echo "the API server warns" >&2 && exit 1; fi
done
sed 's/podManagementPolicy/podManagementPolicies/' "$work/minimal.yaml" >"$work/wrong.yaml"
if "$kubectl" apply --server-side --dry-run=server --validate=strict -f "$work/wrong.yaml" >/dev/null 2>&1; then
  echo "the API server took an unknown field: this check proves nothing" >&2 && exit 1
fi

step install, upgrade, uninstall
for e in $examples; do
  "$helm" install cardata "$chart" -n cardata -f "$chart/ci/$e-values.yaml" >/dev/null
  before=$("$kubectl" get secret -l app.kubernetes.io/instance=cardata -o jsonpath='{.items[*].data}')
  "$helm" upgrade cardata "$chart" -n cardata -f "$chart/ci/$e-values.yaml" --set ingest.config.logLevel=debug >/dev/null
  after=$("$kubectl" get secret -l app.kubernetes.io/instance=cardata -o jsonpath='{.items[*].data}')
  [ "$before" = "$after" ] || { echo "$e: an upgrade changed a secret that the chart made" >&2 && exit 1; }
  "$helm" uninstall cardata -n cardata >/dev/null 2>&1
  echo "$e: installed, upgraded with the same secrets, uninstalled; kept: $("$kubectl" get pvc,secret -o name | tr '\n' ' ')"
  "$kubectl" delete pvc,secret --all --wait=false >/dev/null
done
step done
