"""Prompts of customers that come in while a service runs, over REST with a client's token.

They ask for combinations of item and problem that no model of the wide world was trained on (`world.further_prompts`),
in words of their own, and no text comes twice. So a contest finds prompts that neither of its models can have met.
"""

import threading
import time
from collections.abc import Iterator
from itertools import count
from random import Random

from workers.demo.client import Service
from workers.demo.world import askings, further_prompts, stable_seed

SOURCE = "customers"


def texts(seed: int) -> Iterator[str]:
    """All 4,032 texts, no two alike: pass after pass over the untrained combinations, in other words each time."""
    rng = Random(stable_seed("traffic", seed))
    _, untrained = further_prompts()
    ways = askings()
    own = {prompt: rng.sample(ways, len(ways)) for prompt in untrained}
    for turn in range(len(ways)):
        for prompt in rng.sample(untrained, len(untrained)):
            yield own[prompt][turn].format(item=prompt.item, problem=prompt.problem)


class Traffic(threading.Thread):
    """Customers who write, some a minute, until they are told to stop.

    Args:
        service: a connection with a token that may submit prompts.
        project: public id or short name.
        per_minute: prompts, over 0.
        seed: of what they write.
    """

    def __init__(self, service: Service, project: str, per_minute: float, seed: int = 0) -> None:
        super().__init__(name="customers", daemon=True)
        self.service, self.project, self.per_minute, self.seed = service, project, per_minute, seed
        self.over = threading.Event()
        self.sent = 0
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - raised by `end`, in the thread that waits
            self.failure = error
        finally:
            self.service.close()

    def _write(self) -> None:
        began = time.monotonic()
        for number, text in zip(count(), texts(self.seed), strict=False):
            due = began + 60 * number / self.per_minute
            if self.over.wait(max(0.0, due - time.monotonic())):
                return
            self.service.post(
                "prompts/",
                {
                    "project": self.project,
                    "text": text,
                    "source": SOURCE,
                    "external_id": f"customer-{self.seed}-{number}",
                },
            )
            self.sent += 1

    def end(self) -> int:
        """Stop, and return how many prompts were sent.

        Raises:
            Exception: what it failed with.
        """
        self.over.set()
        if self.is_alive():
            self.join()
        if self.failure is not None:
            raise self.failure
        return self.sent
