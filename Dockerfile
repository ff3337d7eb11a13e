# syntax=docker/dockerfile:1
# CPU:  docker build -t gan-audio .            docker run --rm -v "$PWD:/work" gan-audio enhance recordings/ -o clean/
# CUDA: docker build -t gan-audio:cuda --target cuda .     docker run --rm --gpus all -v "$PWD:/work" gan-audio:cuda train ...
FROM python:3.12-slim AS wheel
WORKDIR /source
RUN pip install --no-cache-dir "build>=1.2"
COPY . .
RUN python -m build --wheel --outdir /dist

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
# ffmpeg reads what libsndfile does not; espeak-ng makes the phones of `say`.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends espeak-ng ffmpeg \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 user \
    && install --directory --owner=user /work
WORKDIR /work
ENTRYPOINT ["gan-audio"]
CMD ["--help"]

# TensorFlow's own CUDA libraries come as wheels; the host brings the driver and the NVIDIA container toolkit.
FROM base AS cuda
ENV TF_FORCE_GPU_ALLOW_GROWTH=true CUDA_CACHE_MAXSIZE=4294967296
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    pip install "$(ls /dist/*.whl)[export,speech,import]" "tensorflow[and-cuda]"
USER 1000

# The last stage is what `docker build` makes without --target.
FROM base AS cpu
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    pip install "$(ls /dist/*.whl)[export,speech,import]"
USER 1000
