# Two targets: a recorder box without compiler or numpy, and the research image.
#   docker build -t mm-recorder:latest .
#   docker build --target research -t mm-research:latest .
FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
WORKDIR /app

FROM base AS research
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make git && rm -rf /var/lib/apt/lists/*
COPY . .
RUN pip install -e '.[dev]'
ENTRYPOINT ["python", "-m", "mm"]

# The last target is what a plain `docker build .` makes.
FROM base AS recorder
COPY . /src
RUN pip install /src && rm -rf /src
VOLUME /app/data
STOPSIGNAL SIGTERM
# SYMBOL=ETHUSDT records one symbol, SYMBOL=BTCUSDT,ETHUSDT a process each under one supervisor.
CMD ["python", "-m", "mm.market_data.recorder"]
