# The images of nearcode: `engine` (every service, one argument tells which) and `operator`.
#
#   docker build --target engine -t nearcode/engine .
#   docker build --target operator -t nearcode/operator .
#
# Needs nothing of BuildKit: docker, podman, buildah and kaniko build it. No image registry could be reached where this was
# written: both targets were built with buildah on a base that debootstrap made (Debian 12, Python 3.11), and ran with a
# read-only root as a user of another number; the pinned base itself was not pulled.
#
# BASE is Debian's slim image with Python, pinned by its digest. To renew it, and with it Debian's security updates:
#   docker buildx imagetools inspect docker.io/library/python:3.12-slim-bookworm
# Or another base with Python 3.11 to 3.13 and apt: --build-arg BASE=registry.example.com/python@sha256:...
ARG BASE=docker.io/library/python:3.12-slim-bookworm@sha256:54c85f3c47607a77f32adec749d3c81d1348bf25833671f512b26a9b6d778cb3

# hadolint ignore=DL3006
FROM ${BASE} AS build
# One installer, of the version that `make setup` uses, in a corner of its own.
RUN python3 -m venv /opt/uv && /opt/uv/bin/python -m pip install --no-cache-dir uv==0.13.8
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PROJECT_ENVIRONMENT=/opt/nearcode UV_PYTHON=python3 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /source
COPY pyproject.toml uv.lock ./
COPY services/pyproject.toml services/
COPY operator/pyproject.toml operator/
COPY embedder/pyproject.toml embedder/

# What nearcode needs changes less often than nearcode: two steps, so that the first one is cached. --no-build: whatever has
# no wheel would need a compiler.
FROM build AS build-engine
RUN /opt/uv/bin/uv sync --frozen --no-dev --package nearcode --extra engine --no-install-workspace --no-build
COPY services services
COPY embedder embedder
RUN /opt/uv/bin/uv sync --frozen --no-dev --package nearcode --extra engine --no-editable

FROM build AS build-operator
RUN /opt/uv/bin/uv sync --frozen --no-dev --package nearcode-operator --no-install-workspace --no-build
COPY services services
COPY operator operator
RUN /opt/uv/bin/uv sync --frozen --no-dev --package nearcode-operator --no-editable

# hadolint ignore=DL3006
FROM ${BASE} AS final
# Nothing is installed at run time, so there is nothing to install with. No user of the base has this number: Kubernetes may
# give any other one.
RUN rm -rf "$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"/pip* /usr/local/bin/pip* \
    "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"/ensurepip \
    && install -d -o 65532 -g 65532 /data
ENV PATH=/opt/nearcode/bin:/usr/local/bin:/usr/bin:/bin HOME=/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /data

FROM final AS operator
LABEL org.opencontainers.image.title="nearcode-operator" \
      org.opencontainers.image.description="Keeps each Repository resource of a Kubernetes cluster indexed at its head."
COPY --from=build-operator /opt/nearcode /opt/nearcode
USER 65532:65532
ENTRYPOINT ["nearcode-operator"]

FROM final AS engine
LABEL org.opencontainers.image.title="nearcode" \
      org.opencontainers.image.description="The engine that makes a code assistant know a company's private code."
# Versions are not pinned: the base is, and Debian's archive keeps only the newest of each. Git fetches what is indexed.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates git && rm -rf /var/lib/apt/lists/*
ENV NEARCODE_HOME=/data
COPY --from=build-engine /opt/nearcode /opt/nearcode
USER 65532:65532
ENTRYPOINT ["nearcode"]
CMD ["run"]
