"""The bars that slow and greedy clients must not move: a minute of half-said requests, and a flood within the limits.

Latencies are compared with those of the same service at rest a moment before, on the same machine.
"""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.slow_clients import BODY, CHUNKS, HEAD, NOTHING, Stalled, ask, latencies, share
from tests.whole_service import House, house, wait_until

pytestmark = pytest.mark.long

WORKERS, THREADS = 2, 16
DESK = "/sign-in/"  # a page of its own weight, through threads and templates
HEALTHZ_P99, TIMES_IDLE = 0.1, 3
SECONDS = 60
FLOODED = ["/api/schema/?format=json", "/metrics", "/sign-in/", "/api/docs/", "/glossary/"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    environment = {"WEB_WORKERS": str(WORKERS), "WEB_THREADS": str(THREADS), "THROTTLE_ADDRESS": "6000/min"}
    with house(tmp_path_factory.mktemp("house") / "data", THROTTLE_CPU_SECONDS="4000", **environment) as made:
        made.start("--no-demo")
        wait_until(made.is_up, 60, "the service")
        wait_until(lambda: ask(made.port, FLOODED[0]) == 200, 60, "the schema")
        yield made


def at_rest(port: int) -> float:
    return share(latencies(port, DESK, 5), 0.95)


def test_a_minute_of_half_said_requests(service: House) -> None:
    """Twice as many as there are threads, of each kind, begun again as the server lets them go."""
    idle, end = at_rest(service.port), time.monotonic() + SECONDS
    health: list[float] = []
    desk: list[float] = []
    while time.monotonic() < end:
        with Stalled(service.port, [HEAD, BODY, CHUNKS, NOTHING] * (WORKERS * THREADS * 2)):
            health += latencies(service.port, "/healthz", 4, every=0.02)
            desk += latencies(service.port, DESK, 4)
    assert share(sorted(health), 0.99) <= HEALTHZ_P99
    assert share(sorted(desk), 0.95) <= TIMES_IDLE * idle


def test_a_flood_of_what_anybody_may_ask_for(service: House) -> None:
    idle, over = at_rest(service.port), threading.Event()

    def flood(path: str) -> None:
        while not over.wait(0.1):
            ask(service.port, path)

    threads = [threading.Thread(target=flood, args=[path], daemon=True) for path in FLOODED]
    for thread in threads:
        thread.start()
    try:
        health = latencies(service.port, "/healthz", SECONDS / 4, every=0.02)
        desk = latencies(service.port, DESK, SECONDS / 4)
    finally:
        over.set()
    assert share(health, 0.99) <= HEALTHZ_P99
    assert share(desk, 0.95) <= TIMES_IDLE * idle
