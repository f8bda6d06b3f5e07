# syntax=docker/dockerfile:1

# Two images:
#   docker build -t soakd .                       the daemon
#   docker build -t soakd-refapi --target refapi . the reference API, for trying soakd out
# Give what `soakd version` tells as build arguments, because .git is no part of the context:
#   --build-arg VERSION=$(git describe --tags --always --dirty) --build-arg REVISION=$(git rev-parse HEAD)
#   --build-arg BUILD_DATE=$(git log -1 --format=%cI)

FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
# The modules change less often than the code: a layer of their own.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
ARG REVISION=unknown
ARG BUILD_DATE=unknown
# Static: no C library in the final image. -buildvcs=false: there is no .git here.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    package=github.com/prometheus/common/version; \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X $package.Version=$VERSION -X $package.Revision=$REVISION -X $package.BuildDate=$BUILD_DATE" \
    -o /out/ ./cmd/soakd ./internal/refapi/cmd/refapi && mkdir /state

# The reference API. The debug variant has a busybox, whose wget is the health check.
FROM gcr.io/distroless/static-debian12:debug-nonroot AS refapi
COPY --from=build /out/refapi /refapi
USER 65532:65532
ENV REFAPI_LISTEN=:8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/busybox/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8000/health"]
ENTRYPOINT ["/refapi"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG BUILD_DATE=unknown
LABEL org.opencontainers.image.title="soakd-refapi" \
      org.opencontainers.image.description="Reference Credit Cashflow Engine, a target to try soakd on" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.created=$BUILD_DATE

# The daemon, last and so the default. The base holds CA certificates, time zones
# and the user nonroot (65532), and neither a shell nor a package manager. Nothing
# is written but the history: run it with --read-only --cap-drop ALL
# --security-opt no-new-privileges --tmpfs /tmp -v soakd:/var/lib/soakd; without
# the volume soakd warns that nothing is kept, and runs.
FROM gcr.io/distroless/static-debian12:nonroot AS soakd
COPY --from=build /out/soakd /soakd
COPY LICENSE /LICENSE
COPY --from=build --chown=65532:65532 /state /var/lib/soakd
# By number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 65532:65532
EXPOSE 9470
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/soakd", "check", "--self"]
ENTRYPOINT ["/soakd"]
CMD ["run"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG BUILD_DATE=unknown
LABEL org.opencontainers.image.title="soakd" \
      org.opencontainers.image.description="Steady mixed traffic on a staging API, and what it does to the API, its Postgres and its Redis" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.created=$BUILD_DATE
