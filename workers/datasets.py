"""Jobs about data: freezing a snapshot, bringing a corpus in. Both are safe to repeat; their services say why."""

from feedback.models import DatasetSnapshot
from feedback.services import snapshots
from workers import corpora
from workers.work import Outcome, Work


def freeze(work: Work) -> Outcome:
    """Write the snapshot that the payload names."""
    snapshot = DatasetSnapshot.objects.get(public_id=work.job.payload["snapshot"])
    work.say(f"freezing snapshot {snapshot.number}")
    snapshot = snapshots.freeze(snapshot)
    return Outcome({"snapshot": str(snapshot.public_id), "hash": snapshot.content_hash})


def bring_in_corpus(work: Work) -> Outcome:
    """Write the documents that the payload names, and start the training it asks for."""
    return Outcome(dict(corpora.bring_in(work.job)))
