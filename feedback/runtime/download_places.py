"""Places for replies that hold a thread while they are sent: limited per process and per caller."""

import threading
from collections import Counter
from collections.abc import Hashable

from feedback.errors import TooManyRequests, TooManyStreams

YOURS = "You reached the limit of concurrent downloads."


class DownloadPlaces:
    """Args:
    total: places of this process.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.for_one = max(1, (total + 1) // 2)
        self.taken: Counter[Hashable] = Counter()
        self.lock = threading.Lock()

    def take(self, caller: Hashable) -> None:
        """Raises:
        TooManyStreams: all places are taken.
        TooManyRequests: this caller has their share.
        """
        with self.lock:
            if self.taken.total() >= self.total:
                raise TooManyStreams
            if self.taken[caller] >= self.for_one:
                raise TooManyRequests(3, YOURS)
            self.taken[caller] += 1

    def give_back(self, caller: Hashable) -> None:
        with self.lock:
            self.taken[caller] -= 1
            if not self.taken[caller]:
                del self.taken[caller]
