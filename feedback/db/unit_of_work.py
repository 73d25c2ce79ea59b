"""One transaction for what belongs together, across services.

    with unit_of_work():
        annotations.submit(...)
        assignment_queue.next_assignment(...)

The outermost unit opens a transaction. A unit inside it joins that transaction without a savepoint: everything is kept
or nothing. So a service opens a unit around its own writes and need not know who calls it. An error has to leave the
outermost unit; whoever catches it earlier keeps half of what the service did.

Whoever has joined a unit must not wait for rows that others have locked: the unit holds locks that they may be waiting
for. Such a service asks `in_unit_of_work()`, and raises `WouldWait` before it has changed anything. The owner of the
unit then commits what it has and calls the service once more, outside.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import transaction

_open: ContextVar[bool] = ContextVar("unit_of_work_is_open", default=False)


class WouldWait(Exception):
    """The rows are locked by others, and this unit of work must not wait for them."""


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Open a transaction, or join the one that an outer unit of work has opened in this thread."""
    if _open.get():
        yield
        return
    token = _open.set(True)
    try:
        with transaction.atomic():
            yield
    finally:
        _open.reset(token)


def in_unit_of_work() -> bool:
    """Whether a unit of work is open in this thread, so that whatever is called now is a part of it."""
    return _open.get()
