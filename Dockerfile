# Four images: a recorder without compiler or numpy, a trader, research, and a desk: the trading interface and the
# dashboard, which compose.yaml starts. A separate stage compiles.
#   docker build -t mm-recorder:latest .
#   docker build --target trader -t mm-trader:latest .
#   docker build --target research -t mm-research:latest .
#   docker build --target desk -t mm-desk:latest .
# Packages are pinned with their hashes (tools/pins.py). The release workflow pins the base image too, by its digest:
#   docker build --build-arg PYTHON_IMAGE=python:3.12-slim@sha256:… .
ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Folders of the host that are mounted at /app/data and /app/out must be writable for this user.
RUN useradd --uid 10001 --create-home mm && install -d -o mm -g mm /app /app/data /app/out
WORKDIR /app

# The kernels are compiled in this stage; the images get only the wheel.
FROM base AS wheel
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY mm/ops/deploy/requirements-build.txt /
RUN pip install --require-hashes -r /requirements-build.txt
COPY . /src
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels /src

# Research: the same wheel, without a compiler or development packages.
FROM base AS research
COPY mm/ops/deploy/requirements-research.txt /
RUN pip install --require-hashes -r /requirements-research.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl && rm -rf /wheels
USER mm
VOLUME /app/data /app/out
ENTRYPOINT ["python", "-m", "mm"]

# The trading interface and the dashboard.
FROM base AS desk
COPY mm/ops/deploy/requirements-desk.txt /
RUN pip install --require-hashes -r /requirements-desk.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl && rm -rf /wheels
USER mm
VOLUME /app/data /app/out
STOPSIGNAL SIGTERM
CMD ["python", "-m", "mm", "sim", "api"]

# Shadow and live trading: the same wheel, with the packages of live trading and of the state stores.
FROM base AS trader
COPY mm/ops/deploy/requirements-trader.txt /
RUN pip install --require-hashes -r /requirements-trader.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl && rm -rf /wheels
USER mm
VOLUME /app/data /app/out
STOPSIGNAL SIGTERM
CMD ["python", "-m", "mm", "shadow"]

# A plain `docker build .` builds the last target.
FROM base AS recorder
COPY mm/ops/deploy/requirements-recorder.txt /
RUN pip install --require-hashes -r /requirements-recorder.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl && rm -rf /wheels
USER mm
VOLUME /app/data
STOPSIGNAL SIGTERM
# SYMBOL=ETHUSDT records one symbol, SYMBOL=BTCUSDT,ETHUSDT both in one process (SYMBOLS_PER_PROCESS).
CMD ["python", "-m", "mm.market_data.recorder"]
