"""Metrics for Prometheus, by part of the service and by class of status, so that the series stay few."""

import hmac
import os
from functools import cache
from typing import NamedTuple

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest

PROBES = ("/healthz", "/readyz", "/metrics")
ROOMS = (("/api/", "api"), ("/v1/", "openai"), ("/static/", "static"), *((path, "probes") for path in PROBES))
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
INNER = "touchstone.inner"  # in the environment of a request that came to METRICS_BIND


class Series(NamedTuple):
    """The metrics of one part of the service and one class of status."""

    requests: Counter
    seconds: Histogram
    cpu: Counter


class Counts:
    def __init__(self) -> None:
        self.requests = Counter("touchstone_requests", "Replies.", ["room", "status"])
        self.seconds = Histogram("touchstone_request_seconds", "Until the reply began.", ["room"], buckets=BUCKETS)
        self.cpu = Counter("touchstone_request_cpu_seconds", "CPU time of replies.", ["room"])
        self.known: dict[tuple[str, int], Series] = {}


@cache
def _counts() -> Counts:
    """Created at the first request, because the environment decides how values are kept."""
    return Counts()


def _room_of(path: str) -> str:
    for beginning, room in ROOMS:
        if path.startswith(beginning):
            return room
    return "pages"


def count(path: str, status: int, seconds: float, cpu: float) -> None:
    """Count one reply, with the seconds until it began and its CPU seconds."""
    counts = _counts()
    room = _room_of(path)
    key = (room, status // 100)
    found = counts.known.get(key)
    if found is None:
        found = counts.known[key] = Series(
            counts.requests.labels(room, f"{status // 100}xx"),
            counts.seconds.labels(room),
            counts.cpu.labels(room),
        )
    found.requests.inc()
    found.seconds.observe(seconds)
    found.cpu.inc(max(0.0, cpu))


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics, for callers at METRICS_BIND or with METRICS_TOKEN; 404 for all others."""
    if not request.META.get(INNER) and not _has_token(request):
        raise Http404
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    wanted = settings.METRICS_TOKEN
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def _registry() -> CollectorRegistry:
    """The metrics of all web processes, if they share a folder (`gunicorn_config`)."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return registry
