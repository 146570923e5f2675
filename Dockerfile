# syntax=docker/dockerfile:1
#
# One image with all commands; the first word after the image chooses:
#
#   docker build --build-arg VERSION=$(git describe --tags --always --dirty) -t cardata-pipeline .
#   docker run --rm cardata-pipeline cardata doctor
#
# `make image` fills in version, commit and date from git.

FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH VERSION=$VERSION deploy/build.sh /out/bin \
    && install -d -m 0700 /out/data

# Certificate authorities, time zones, /tmp and the user 65532; no shell, no libc.
FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="cardata-pipeline" \
      org.opencontainers.image.description="Telemetry pipeline for BMW CarData: stream and REST to Kafka, InfluxDB and Parquet" \
      org.opencontainers.image.source="https://github.com/cardata-pipeline/cardata-pipeline" \
      org.opencontainers.image.documentation="https://github.com/cardata-pipeline/cardata-pipeline/blob/main/docs/operations.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build /out/bin/ /usr/local/bin/
# A new named volume takes over owner and mode from here.
COPY --from=build --chown=65532:65532 /out/data /var/lib/cardata
USER 65532:65532
WORKDIR /var/lib/cardata
VOLUME /var/lib/cardata
EXPOSE 8080
STOPSIGNAL SIGTERM
# For the processes that answer on CARDATA_HTTP_ADDR: ingest, sink, backfill watch.
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s --retries=3 CMD ["cardata", "healthcheck"]
CMD ["cardata", "--help"]
