# The image of podinfo and podcli, which are one program: see cmd/podcli/podinfo.go.
# hack/image builds it without Docker and reproducibly.

FROM --platform=$BUILDPLATFORM golang:1.26.8-alpine3.24@sha256:8ac98ca534ac3f51e1f420a1dd2c15e74c75cfa0f23f3ad27eb5d7236c349a0c AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH TARGETVARIANT
ARG VERSION=6.15.0
ARG REVISION=unknown
# timetzdata embeds the time zones, so that the image needs no files for them.
# grpcnotrace leaves out the trace pages of gRPC and the packages they link.
RUN mkdir -p /root-fs/home/app /root-fs/usr/local/bin && \
    export CGO_ENABLED=0 GOOS="$TARGETOS" GOARCH="$TARGETARCH" GOARM="${TARGETVARIANT#v}" && \
    go build -trimpath -buildvcs=false -tags podinfo,timetzdata,grpcnotrace -o /root-fs/home/app/podinfo \
      -ldflags "-s -w -funcalign=16 -X main.release=$VERSION -X github.com/seed-4591fe7d/podinfo.release=$VERSION -X github.com/seed-4591fe7d/podinfo.revision=$REVISION" ./cmd/podcli && \
    ln -s ../../../home/app/podinfo /root-fs/usr/local/bin/podcli
RUN mkdir -p /root-fs/etc/ssl/certs && cp /etc/ssl/certs/ca-certificates.crt /root-fs/etc/ssl/certs/ && \
    echo 'app:x:100:101:app:/home/app:/sbin/nologin' > /root-fs/etc/passwd && \
    echo 'app:x:101:' > /root-fs/etc/group && \
    mkdir -m 0755 /root-fs/data && mkdir -m 1777 /root-fs/tmp && \
    chown 100:101 /root-fs/data /root-fs/tmp

FROM scratch
COPY --from=build /root-fs /
ARG VERSION=6.15.0
ARG REVISION=unknown
ARG BUILD_DATE
LABEL org.opencontainers.image.title="podinfo" \
      org.opencontainers.image.description="A small modular Go server for testing clusters, service meshes and pipelines" \
      org.opencontainers.image.url="https://github.com/seed-4591fe7d/podinfo" \
      org.opencontainers.image.source="https://github.com/seed-4591fe7d/podinfo" \
      org.opencontainers.image.documentation="https://github.com/seed-4591fe7d/podinfo/blob/main/README.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$BUILD_DATE"
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /home/app
USER 100:101
CMD ["./podinfo"]
