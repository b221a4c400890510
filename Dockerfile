# Three targets: a recorder box without compiler or numpy, a trader, and the research image. A stage of its own compiles.
#   docker build -t mm-recorder:latest .
#   docker build --target trader -t mm-trader:latest .
#   docker build --target research -t mm-research:latest .
FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
WORKDIR /app

FROM base AS research
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make git && rm -rf /var/lib/apt/lists/*
COPY . .
RUN pip install -e '.[dev]'
ENTRYPOINT ["python", "-m", "mm"]

# The kernels are made where a compiler is, and only the wheel is taken from there.
FROM base AS wheel
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN pip wheel --no-deps --wheel-dir /wheels /src

# A shadow or a trader: the same wheel, with the packages of live trading and of the state stores.
FROM base AS trader
COPY --from=wheel /wheels /wheels
RUN for wheel in /wheels/*.whl; do pip install "$wheel[live,state]"; done && rm -rf /wheels
VOLUME /app/data /app/out
STOPSIGNAL SIGTERM
CMD ["python", "-m", "mm", "shadow"]

# The last target is what a plain `docker build .` makes.
FROM base AS recorder
COPY --from=wheel /wheels /wheels
RUN pip install /wheels/*.whl && rm -rf /wheels
VOLUME /app/data
STOPSIGNAL SIGTERM
# SYMBOL=ETHUSDT records one symbol, SYMBOL=BTCUSDT,ETHUSDT a process each under one supervisor.
CMD ["python", "-m", "mm.market_data.recorder"]
