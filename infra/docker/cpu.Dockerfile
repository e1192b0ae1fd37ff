# syntax=docker/dockerfile:1
# FakeOut for CPUs: Ray head, CPU workers, launcher, Cloud Run, Dataflow workers.
#   docker build --file infra/docker/cpu.Dockerfile --tag fakeout-cpu:0.1.0 .
# Not built where it was written (no container engine): linted and checked by tests/infra only.
#
# The base is pinned by its exact tag. Pin it by digest after the first pull:
#   docker buildx imagetools inspect python:3.11.13-slim-bookworm
ARG BASE=python:3.11.13-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# Dependencies change rarely: their layer comes before the source.
COPY requirements.lock infra/docker/build.lock ./
RUN pip install --require-hashes --no-deps --requirement requirements.lock \
    && python -m venv /opt/builder \
    && /opt/builder/bin/pip install --require-hashes --no-deps --requirement build.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY fakeout_core fakeout_core
COPY pipelines pipelines
COPY jobs jobs
# The wheel is made by the pinned backend, outside the environment that ships.
RUN /opt/builder/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/dist . \
    && pip install --no-deps /build/dist/*.whl

# hadolint ignore=DL3006
FROM ${BASE}
LABEL org.opencontainers.image.title="fakeout-cpu" \
      org.opencontainers.image.licenses="Apache-2.0"
# KubeRay's probes call wget. Debian keeps only the newest version of a package, so a pinned one
# would stop building.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 fakeout \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin fakeout
COPY --from=build /opt/venv /opt/venv
# The root file system may be read-only: everything that is written goes to /tmp.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    TMPDIR=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0
WORKDIR /tmp
USER 10001:10001
HEALTHCHECK --interval=5m --timeout=60s --start-period=30s --retries=2 CMD ["fakeout", "doctor"]
CMD ["fakeout", "--help"]
