from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_beats(settings: Any) -> None:
    """A job's beats come by another connection, which on PostgreSQL cannot see the row that a test has not committed:
    a machine slow enough for one to come would take the job for lost."""
    settings.BEAT_SECONDS = 3600
