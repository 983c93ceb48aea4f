# syntax=docker/dockerfile:1
# One image for the backend and its workers. By default it contains the standard build of torch, which uses a CUDA GPU if there is one.
# TORCH_INDEX: another package index for torch and torchvision. PyTorch's index of CPU builds makes the image 5 GB smaller.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-bookworm AS build
ARG TORCH_INDEX=""
WORKDIR /app
COPY Makefile requirements.txt requirements-secure.txt ./
RUN make dependencies PYTHON=python3 TORCH_INDEX="${TORCH_INDEX}"
COPY pyproject.toml README.md LICENSE THIRD_PARTY_NOTICES.md ./
COPY ris_core ris_core
COPY backend backend
COPY label_config label_config
RUN make install image-folders PYTHON=python3

FROM python:${PYTHON_VERSION}-slim-bookworm
WORKDIR /app
COPY --from=build /app /app
# Without this copy the volumes would belong to root, and user 10001 could not write. A folder mounted over them keeps its own owner.
COPY --from=build --chown=10001:10001 /app/.image /
ENV PATH=/app/.venv/bin:$PATH \
    HOME=/data \
    HOST=0.0.0.0 \
    RIS_STATE_DIR=/data \
    MODEL_DIR=/models \
    OMP_WAIT_POLICY=PASSIVE \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
VOLUME ["/data", "/models"]
EXPOSE 9090
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", 9090)}/health', timeout=4)"]
CMD ["ris", "serve"]
