# EcoLoop in a container: docker build --target cpu -t ecoloop . (or --target cuda)
# The processes run as a user without rights, and write to /data and /tmp only: see compose.yaml.
FROM python:3.11-slim-bookworm AS system
# g++ and libnuma1: for vLLM, which compiles small kernels on a GPU. tini: reaps what ended.
# hadolint ignore=DL3008  (Debian keeps only the newest version of a package)
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libnuma1 tini \
    && rm -rf /var/lib/apt/lists/*
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1
WORKDIR /app

# The packages come before the code, so that a change of the code installs nothing anew.
FROM system AS cpu-packages
COPY setup_env.py ./
COPY requirements ./requirements
RUN ECOLOOP_DEVICE=cpu python setup_env.py run

FROM system AS cuda-packages
COPY setup_env.py ./
COPY requirements ./requirements
RUN ECOLOOP_DEVICE=cuda python setup_env.py run

FROM system AS files
COPY app.py settings.py settings.toml setup_env.py LICENSE README.md ./
COPY assets ./assets
COPY chatbot ./chatbot
COPY feedback_store ./feedback_store
COPY finetune ./finetune
COPY wiring ./wiring

FROM files AS ready
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin ecoloop \
    && install --directory --owner ecoloop --group ecoloop --mode 0700 /data
ENV HOME=/data \
    ECOLOOP_DATA_DIR=/data/ecoloop \
    ECOLOOP_HOST=0.0.0.0 \
    HF_HOME=/data/cache/huggingface \
    XDG_CACHE_HOME=/data/cache \
    VLLM_CACHE_ROOT=/data/cache/vllm \
    TORCHINDUCTOR_CACHE_DIR=/data/cache/torchinductor \
    TRITON_CACHE_DIR=/data/cache/triton \
    GRADIO_TEMP_DIR=/tmp/gradio
VOLUME /data
EXPOSE 7860
STOPSIGNAL SIGTERM
# The page and the store answer; where the engine stands is in the body of /health.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["/app/.venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=8)"]
USER 10001:10001
ENTRYPOINT ["tini", "--", "/app/.venv/bin/python", "app.py"]

FROM ready AS cuda
COPY --from=cuda-packages /app/.venv /app/.venv

FROM ready AS cpu
COPY --from=cpu-packages /app/.venv /app/.venv
