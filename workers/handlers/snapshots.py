"""Jobs about data: freezing a snapshot. Safe to repeat; its service says why."""

import time

from feedback import celery_app
from feedback.models import Annotation, DatasetSnapshot
from feedback.selectors.evaluation import labels_to_score
from feedback.selectors.platform import home
from feedback.services.data import snapshots
from feedback.services.evaluation import live_accuracy
from workers.job_context import Outcome, Work

FREEZING = 3600.0  # seconds: a snapshot of millions of rows is written in one step
SCORING = 30.0  # seconds that a freeze waits for labels to be scored
LOOK_SECONDS = 0.25


def freeze(work: Work) -> Outcome:
    """Write the snapshot that the payload names."""
    snapshot = DatasetSnapshot.objects.get(public_id=work.job.payload["snapshot"])
    snapshot = frozen(work, snapshot)
    return Outcome({"snapshot": str(snapshot.public_id), "hash": snapshot.content_hash})


def frozen(work: Work, snapshot: DatasetSnapshot) -> DatasetSnapshot:
    """The snapshot, frozen. Before, labels get their score by the newest reward model, which they will train next.

    Where these scores do not come in time, the snapshot is frozen all the same and an event says how many are missing.
    """
    asked = snapshot.state == DatasetSnapshot.State.DRAFT and snapshot.purpose == DatasetSnapshot.Purpose.FEEDBACK
    if asked:
        _wait_for_scores(work, snapshot)
    work.say(f"freezing snapshot {snapshot.number}")
    with work.long_step(FREEZING):
        snapshot = snapshots.freeze(snapshot)
    if asked:
        live_accuracy.tell_unknown(snapshot)
    return snapshot


def _wait_for_scores(work: Work, snapshot: DatasetSnapshot) -> None:
    """Wait until the labels that are there now are scored, but no longer than a worker is there and `SCORING`."""
    project = snapshot.project
    if not labels_to_score.waits(project):
        return
    live_accuracy.ask(project)
    newest = Annotation.objects.filter(project=project).order_by("-pk").values_list("pk", flat=True).first()
    until = time.monotonic() + SCORING
    while celery_app.GENERATE not in home.missing_queues() and time.monotonic() < until:
        work.check()
        work.say(f"scoring labels before freezing snapshot {snapshot.number}")
        if not labels_to_score.waits(project, up_to=newest):
            return
        time.sleep(LOOK_SECONDS)
