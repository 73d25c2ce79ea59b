"""A run of a pipeline run. The first one runs a preflight check of all stages before any of them is trained.

The trainer looks at each stage again when it begins, with the models that the ones before it have made by then.
"""

import shutil

from django.conf import settings

from feedback.models import Chain, DatasetSnapshot, TrainingRun
from feedback.services.data import snapshots
from feedback.services.training import preflight
from workers.handlers import preflight as preflight_workers
from workers.handlers import training
from workers.job_context import JobFailed, Outcome, Work


def carry_out(work: Work) -> Outcome:
    run = TrainingRun.objects.select_related("chain").get(job=work.job)
    if run.position == 0 and len(run.chain.stages) > 1 and not run.chain.looked_at:
        look_ahead(work, run.chain)
    return training.carry_out(work)


def look_ahead(work: Work, chain: Chain) -> None:
    """Freeze the training data of the pipeline run, and run a preflight check of every stage.

    Raises:
        JobFailed: something blocks it that was not to be ignored; the sentences say what, by stage.
    """
    plan = preflight.planned_of(chain)
    for snapshot in {planned.snapshot for planned in plan if planned.snapshot is not None}:
        if snapshot.state == DatasetSnapshot.State.DRAFT:
            work.say(f"freezing snapshot {snapshot.number}")
            snapshots.freeze(snapshot)
    work.say("checking " + ", ".join(planned.stage for planned in plan))
    root = settings.DATA_DIR / "preflights" / str(work.job.public_id)
    try:
        looked = preflight_workers.look(work, plan, root, chain.seed)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    found = preflight.blocking(looked, chain.ignore_findings)
    if found:
        first = found[0][1]
        sentences = " ".join(f"{stage}: {finding['sentence']}" for stage, finding in found)
        raise JobFailed(first["kind"], f"Nothing was trained. {sentences}", first["remedy"])
    Chain.objects.filter(pk=chain.pk).update(looked_at=True)
