# Two stages: the first builds from the wheels whose hashes are in requirements.lock, the second has what the service needs and
# nothing else: no compiler, no pip of its own, no tool of development.
FROM python:3.12.11-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock .
RUN pip wheel --no-cache-dir --require-hashes --no-deps --wheel-dir /wheels -r requirements.lock
COPY pyproject.toml README.md ./
COPY app app
COPY billing billing
COPY migrations migrations
RUN python -m venv --without-pip /opt/reckoner \
    && pip --python /opt/reckoner/bin/python install --no-cache-dir --no-index --find-links /wheels ".[otel]"

FROM python:3.12.11-slim-bookworm
RUN useradd --uid 10001 --create-home --home-dir /var/lib/reckoner reckoner
COPY --from=build /opt/reckoner /opt/reckoner
ENV PATH=/opt/reckoner/bin:$PATH PYTHONDONTWRITEBYTECODE=1 \
    RECKONER_ENVIRONMENT=production RECKONER_HOST=0.0.0.0 RECKONER_PORT=8000 RECKONER_LOG_FORMAT=json
USER 10001
# The only place that is written, and only by SQLite: without it the whole file system may be read-only.
WORKDIR /var/lib/reckoner
EXPOSE 8000
# A worker has no port unless it is given one: compose.yaml asks it there.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["reckoner", "serve"]
