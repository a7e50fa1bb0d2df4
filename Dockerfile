# syntax=docker/dockerfile:1
# The server of one pipeline (GET /health, POST /identify, port 5004): not root, no network at run time.
#
#   scripts/container.sh build                 GPU variant, the pipeline mounted at /system
#   VARIANT=cpu scripts/container.sh build     CPU variant
#   SYSTEM=work/packed/system scripts/container.sh build      what pipeline.pack wrote, baked in

ARG PYTHON=3.11-slim-bookworm
ARG VARIANT=gpu

FROM python:${PYTHON} AS environment
ARG VARIANT
WORKDIR /build
COPY requirements-uv.lock requirements-image.lock ./
COPY scripts/install_image.sh scripts/
RUN bash scripts/install_image.sh environment "${VARIANT}" /opt/venv
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY configs configs
COPY core core
COPY data data
COPY detector detector
COPY eval eval
COPY grounder grounder
COPY pipeline pipeline
COPY siglip siglip
COPY upscale upscale
COPY onestage onestage
RUN bash scripts/install_image.sh package /opt/venv

# Empty, unless the build names a folder: docker build --build-context system=FOLDER
FROM scratch AS system

FROM python:${PYTHON} AS server
# OpenCV's wheel wants these two; their versions are the base image's.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin grounder
COPY --from=environment /opt/venv /opt/venv
COPY --from=system / /system/
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba \
    YOLO_CONFIG_DIR=/tmp/ultralytics \
    YOLO_OFFLINE=true \
    YOLO_AUTOINSTALL=false \
    ULTRALYTICS_SAFE_LOAD=1 \
    HF_HUB_OFFLINE=1 \
    NO_ALBUMENTATIONS_UPDATE=1 \
    WANDB_MODE=disabled
WORKDIR /srv
USER 10001
EXPOSE 5004
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5004/ready', timeout=4)"]
ENTRYPOINT ["python", "-m", "pipeline.server", "pipeline=/system", "host=0.0.0.0", "port=5004", "run_dir=/tmp/served"]

FROM server AS cpu
CMD ["device=cpu"]

FROM server AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
CMD ["device=cuda"]
