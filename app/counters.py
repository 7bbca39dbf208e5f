"""What this process counts about itself: requests that it answers, and requests that it makes to upstream.

All else that `/metrics` tells is read from the database (`app.flows.metrics`), where every process of an installation writes.
No label holds what a caller or upstream may choose freely, so their number is bounded.
"""

from prometheus_client import Counter, Histogram

HTTP_SECONDS = Histogram(
    "reckoner_http_request_duration_seconds",
    "How long this process took to answer, by the operation's id.",
    ("method", "operation", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
UPSTREAM_REQUESTS = Counter(
    "reckoner_upstream_requests",
    "Requests that this process sent to upstream, repeated ones too, by what came of each: answered, or the kind of failure.",
    ("outcome",),
)
UPSTREAM_SECONDS = Histogram(
    "reckoner_upstream_request_duration_seconds",
    "How long upstream took, without the wait for its limits.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180),
)
UPSTREAM_WAIT = Counter(
    "reckoner_upstream_wait_seconds", "How long requests to upstream were held back so that its limits are kept, added up."
)
