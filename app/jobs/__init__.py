"""Work that outlives the request that asked for it, on a durable engine."""

from app.jobs import outbox  # noqa: F401  Whoever queues jobs hands them to the engine.
