"""Jobs about data: freezing a snapshot. Safe to repeat; its service says why."""

from feedback.models import DatasetSnapshot
from feedback.services import snapshots
from workers.work import Outcome, Work


def freeze(work: Work) -> Outcome:
    """Write the snapshot that the payload names."""
    snapshot = DatasetSnapshot.objects.get(public_id=work.job.payload["snapshot"])
    work.say(f"freezing snapshot {snapshot.number}")
    snapshot = snapshots.freeze(snapshot)
    return Outcome({"snapshot": str(snapshot.public_id), "hash": snapshot.content_hash})
