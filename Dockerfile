# Only wheels whose hashes are in requirements.lock; of those, only what the service itself needs.
FROM python:3.12-slim AS wheels
COPY requirements.lock .
RUN pip wheel --no-cache-dir --require-hashes --no-deps --wheel-dir /wheels -r requirements.lock

FROM python:3.12-slim
RUN useradd --create-home reckoner
WORKDIR /srv/reckoner
COPY . .
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels --editable .
USER reckoner
WORKDIR /home/reckoner
ENV RECKONER_ENVIRONMENT=production RECKONER_HOST=0.0.0.0 RECKONER_PORT=8000 RECKONER_LOG_FORMAT=json
EXPOSE 8000
CMD ["reckoner", "serve"]
