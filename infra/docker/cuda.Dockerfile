# syntax=docker/dockerfile:1
# FakeOut for NVIDIA GPUs: the CPU image and JAX's CUDA plugin. CUDA and cuDNN come as Python
# packages; the driver comes from the node.
#   docker build --file infra/docker/cuda.Dockerfile --build-arg CPU_IMAGE=REGISTRY/fakeout-cpu:0.1.0 \
#     --tag fakeout-cuda:0.1.0 .
# Not built where it was written (no container engine, no GPU): linted and checked by tests/infra only.
ARG CPU_IMAGE=fakeout-cpu:0.1.0

# hadolint ignore=DL3006
FROM ${CPU_IMAGE}
LABEL org.opencontainers.image.title="fakeout-cuda" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 0:0
COPY infra/docker/cuda.lock /opt/cuda.lock
RUN /opt/venv/bin/python -m pip install --disable-pip-version-check --no-cache-dir \
    --require-hashes --no-deps --requirement /opt/cuda.lock
# GKE mounts the driver here.
ENV PATH=/usr/local/nvidia/bin:$PATH \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64
USER 10001:10001
HEALTHCHECK --interval=5m --timeout=120s --start-period=60s --retries=2 CMD ["fakeout", "doctor"]
