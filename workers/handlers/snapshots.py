"""Jobs about data: freezing a snapshot. Safe to repeat; its service says why."""

from feedback.models import DatasetSnapshot
from feedback.services.data import snapshots
from workers.job_context import Outcome, Work

FREEZING = 3600.0  # seconds: a snapshot of millions of rows is written in one step


def freeze(work: Work) -> Outcome:
    """Write the snapshot that the payload names."""
    snapshot = DatasetSnapshot.objects.get(public_id=work.job.payload["snapshot"])
    work.say(f"freezing snapshot {snapshot.number}")
    with work.long_step(FREEZING):
        snapshot = snapshots.freeze(snapshot)
    return Outcome({"snapshot": str(snapshot.public_id), "hash": snapshot.content_hash})
