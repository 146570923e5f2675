# Two Go modules: the root and standalone (embedded servers, end-to-end tests).
MODULES       := . standalone
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.1.4
FUZZTIME      ?= 5s
BENCHCOUNT    ?= 1

# The race detector needs cgo and a C compiler. People try this on machines
# without one: there the tests run without it, and say so. CI insists on it.
CC_FOUND := $(shell command -v $(firstword $(shell go env CC)) 2>/dev/null)
ifneq ($(and $(filter 1,$(shell go env CGO_ENABLED)),$(CC_FOUND)),)
RACE := -race
endif

VERSION  ?= $(shell git describe --tags --always --dirty)
REVISION ?= $(shell git rev-parse HEAD)
CREATED  ?= $(shell git log -1 --format=%cI)
IMAGE    ?= ghcr.io/cardata-pipeline/cardata-pipeline
CHART    := deploy/helm/cardata-pipeline

.PHONY: help test lint fmt tidy fuzz bench demo build vuln docs race-or-say integration integration-quick servers \
        image image-check sbom chart-files chart-docs chart-check chart-check-full

help:
	@echo 'make test    tests of both modules    make lint   format, vet, tidy, lint'
	@echo 'make demo    the whole pipeline       make bench  benchmarks'
	@echo 'make build   binaries into bin/       make fuzz   each decoder for $(FUZZTIME)'
	@echo 'make integration        the same suites on real Kafka, InfluxDB 1.8 and 2, Mosquitto, S3'
	@echo 'make integration-quick  those of them that are built in a minute or two'

race-or-say:
ifndef RACE
	@echo 'no C compiler for cgo: tests run without the race detector'
ifeq ($(CI),true)
	@echo 'CI insists on it' && false
endif
endif

test: race-or-say
	go test $(RACE) -shuffle=on -timeout 20m ./...
	cd standalone && go test $(RACE) -shuffle=on -timeout 30m ./...

lint:
	@for m in $(MODULES); do \
	  echo "lint $$m" && \
	  (cd $$m && go mod tidy -diff && go vet ./... && go run $(GOLANGCI_LINT) run --timeout 15m ./...) || exit 1; \
	done

fmt:
	@for m in $(MODULES); do (cd $$m && go run $(GOLANGCI_LINT) fmt ./...) || exit 1; done

tidy:
	@for m in $(MODULES); do (cd $$m && go mod tidy) || exit 1; done

# A finding fails. The fuzzing engine itself now and then ends with nothing but
# "context deadline exceeded" on a busy machine: that is tried once more.
fuzz:
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "fuzz $$p $$f"; \
	    try() { go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p 2>&1; }; \
	    out=$$(try) && continue; \
	    echo "$$out"; \
	    case "$$out" in *'Failing input'*) exit 1 ;; esac; \
	    try || exit 1; \
	  done; \
	done

bench:
	go test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) ./...
	cd standalone && go test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) ./...

# The vulnerability database is on the network; where it cannot be reached this
# says so and goes on, findings fail.
vuln:
	@for m in $(MODULES); do \
	  (cd $$m && go run $(GOVULNCHECK) ./...); code=$$?; \
	  if [ $$code -eq 3 ]; then exit 1; elif [ $$code -ne 0 ]; then echo "govulncheck could not run in $$m"; fi; \
	done

# The suites that know real servers, against those of test/servers, which fetches
# and builds what is missing. A suite whose server is named must not skip.
REAL    := ./pipeline/kafka ./sinks/influx ./sinks/parquet/... ./cardata/stream
ITEST   := go test $(RACE) -count=1 -timeout 20m

# What an outage, a crash and late data do to the whole flow; the rest of the
# end-to-end tests run on the embedded servers in make test.
E2E_QUICK := ^(TestKafkaAway|TestInfluxAway|TestSinkKilledTwiceInMidFlow|TestBackfillTwiceBesideIngest)$$

integration-quick: race-or-say
	CARDATA_TEST_REQUIRE=kafka,influx1,mosquitto test/servers/run.sh kafka influx1 mosquitto -- \
	  $(ITEST) -p 1 $(REAL)
	cd standalone && CARDATA_TEST_REQUIRE=kafka,influx1 ../test/servers/run.sh kafka influx1 -- \
	  $(ITEST) -run '$(E2E_QUICK)' ./internal/e2e

integration: race-or-say
	CARDATA_TEST_REQUIRE=1 test/servers/run.sh kafka influx1 influx2 mosquitto s3 python -- \
	  $(ITEST) -p 1 $(REAL)
	cd standalone && CARDATA_TEST_REQUIRE=kafka,influx1 ../test/servers/run.sh kafka influx1 -- $(ITEST) ./internal/e2e
	cd standalone && CARDATA_TEST_REQUIRE=kafka,influx2 ../test/servers/run.sh kafka influx2 -- $(ITEST) ./internal/e2e ./internal/compose ./internal/dashboards
	cd standalone && CARDATA_TEST_REQUIRE=influx1,s3,python ../test/servers/run.sh influx1 s3 python -- $(ITEST) ./internal/dataset
	cd standalone && CARDATA_TEST_REQUIRE=influx2,s3,python ../test/servers/run.sh influx2 s3 python -- $(ITEST) ./internal/dataset

# Fetches and builds all servers, and starts none.
servers:
	test/servers/run.sh kafka influx1 influx2 mosquitto s3 python

demo:
	go run -C standalone .

build:
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...
	cd standalone && CGO_ENABLED=0 go build -trimpath -o ../bin/standalone .

# The tables of docs/configuration.md and docs/data-dictionary.md come from the code.
docs:
	go test ./internal/app/cli -run TestConfigurationDocument -update
	go test ./sinks/parquet -run TestDataDictionary -update

image:
	docker build --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg CREATED=$(CREATED) -t $(IMAGE):$(VERSION) .

# What the Dockerfile builds, without an engine: static, and the same bytes twice.
image-check:
	test/kube/image.sh

# What each binary of the image is made of, read from the binary: CycloneDX.
sbom:
	@VERSION=$(VERSION) deploy/build.sh bin/image
	@tool=$$(test/kube/tools.sh cyclonedx-gomod) && mkdir -p bin/sbom && for b in bin/image/*; do \
	  $$tool bin -json -licenses -output-version 1.6 -version $(VERSION) -output bin/sbom/$$(basename $$b).cdx.json $$b || exit 1; \
	done
	@ls bin/sbom/*

# A chart cannot reach files outside itself: alerts and dashboards are copied.
chart-files:
	rm -f $(CHART)/files/alerts/* $(CHART)/files/dashboards/*.json
	cp deploy/alerts/*.rules.yaml $(CHART)/files/alerts/
	for f in deploy/grafana/dashboards/*.json; do if [ -e "$$f" ]; then cp "$$f" $(CHART)/files/dashboards/; fi; done

chart-docs:
	$$(test/kube/tools.sh helm-docs) --log-level warning -c $(CHART)

# Chart, alerts and Dockerfile; the full one builds an API server and promtool once.
chart-check:
	test/kube/check.sh

chart-check-full:
	test/kube/check.sh full
