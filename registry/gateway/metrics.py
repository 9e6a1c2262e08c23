"""What the lane counts for /metrics: requests by route and status, and how long they took. Never by model."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Histogram

REQUESTS = Counter("llmhub_lane_requests_total", "Requests that the lane answered.", ["route", "status"])
SECONDS = Histogram(
    "llmhub_lane_request_seconds",
    "Seconds until a request was answered whole, the provider's time included.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)


def count(route: str, status: int, seconds: float) -> None:
    """Note one answered request; `status` 499 is a client that left."""
    _requests(route, status).inc()
    _seconds(route).observe(seconds)


@cache
def _requests(route: str, status: int) -> Counter:
    return REQUESTS.labels(route, str(status))


@cache
def _seconds(route: str) -> Histogram:
    return SECONDS.labels(route)
